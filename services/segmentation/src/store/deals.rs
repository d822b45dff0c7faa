//! Queries about deals, and about the contacts that they are with.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, Utc};
use cursus_ids::{AccountName, ContactName, DealId, DealName, WorkspaceId};
use futures::TryStreamExt;
use sqlx::PgConnection;

use super::accounts::identified;
use super::id;
use crate::attribute::{Entity, Vocabulary};
use crate::deal::{Deal, Holding, Terms};
use crate::error::Error;
use crate::packed;

/// A deal as stored, with the ids of the contacts that it names.
pub(crate) struct Stored {
    deal_id: String,
    account_id: Option<String>,
    stage: String,
    amount: Option<f64>,
    currency_code: Option<String>,
    create_time: DateTime<Utc>,
    close_time: Option<DateTime<Utc>>,
    properties: Vec<u8>,
    update_time: DateTime<Utc>,
    contacts: Vec<String>,
}

impl Stored {
    pub(crate) fn into_deal(
        self,
        workspace: &WorkspaceId,
        names: &Vocabulary,
    ) -> Result<Deal, Error> {
        let account = self.account_id.as_deref().map(id).transpose()?;
        let contact = |text: &String| Ok(ContactName::new(workspace.clone(), id(text)?));
        Ok(Deal {
            name: DealName::new(workspace.clone(), id(&self.deal_id)?),
            account: account.map(|id| AccountName::new(workspace.clone(), id)),
            contacts: self.contacts.iter().map(contact).collect::<Result<_, Error>>()?,
            terms: Terms {
                stage: self.stage,
                amount: self.amount,
                currency_code: self.currency_code,
                create_time: self.create_time,
                close_time: self.close_time,
            },
            properties: identified(&self.properties, Entity::Deal, names)?,
            update_time: self.update_time,
        })
    }
}

/// The deals with these ids that exist.
pub(crate) async fn by_id(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"select deal_id, account_id, stage, amount, currency_code, create_time, close_time, properties,
             update_time,
             array(
                 select contact_id from deal_contacts join contacts using (workspace_id, ordinal)
                 where deal_contacts.workspace_id = $1 and deal_contacts.deal_id = deals.deal_id
                 order by contact_id
             ) as "contacts!"
         from deals
         where workspace_id = $1 and deal_id = any($2)"#,
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await
}

/// Deals in the order of their ids.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"select deal_id, account_id, stage, amount, currency_code, create_time, close_time, properties,
             update_time,
             array(
                 select contact_id from deal_contacts join contacts using (workspace_id, ordinal)
                 where deal_contacts.workspace_id = $1 and deal_contacts.deal_id = deals.deal_id
                 order by contact_id
             ) as "contacts!"
         from deals
         where workspace_id = $1 and deal_id > $2
         order by deal_id
         limit $3"#,
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// How many of these ids are those of deals.
pub(crate) async fn known(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<usize> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from deals where workspace_id = $1 and deal_id = any($2)"#,
        workspace.as_ref(),
        ids,
    );
    Ok(usize::try_from(count.fetch_one(conn).await?).unwrap_or(0))
}

/// Locks deals in the order of their ids, and reads what they hold.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> Result<Vec<(String, Holding)>, Error> {
    let locked = sqlx::query!(
        "select deal_id, account_id, stage, amount, currency_code, create_time, close_time, properties
         from deals
         where workspace_id = $1 and deal_id = any($2)
         order by deal_id
         for no key update",
        workspace.as_ref(),
        ids,
    );
    let locked = locked.fetch_all(&mut *conn).await?;
    // Read after the lock: whoever held it before may have changed them.
    let named = sqlx::query!(
        "select deal_id, ordinal from deal_contacts where workspace_id = $1 and deal_id = any($2)",
        workspace.as_ref(),
        ids,
    );
    let mut contacts: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for row in named.fetch_all(conn).await? {
        contacts.entry(row.deal_id).or_default().push(row.ordinal);
    }
    let holding = locked.into_iter().map(|row| {
        let properties = packed::attributes(&row.properties)
            .map(|read| read.map(|(number, value)| (number, value.into())))
            .collect::<Result<_, _>>()?;
        let holding = Holding {
            account: row.account_id.as_deref().map(id).transpose()?,
            contacts: contacts.remove(&row.deal_id).into_iter().flatten().collect(),
            terms: Terms {
                stage: row.stage,
                amount: row.amount,
                currency_code: row.currency_code,
                create_time: row.create_time,
                close_time: row.close_time,
            },
            properties,
        };
        Ok((row.deal_id, holding))
    });
    holding.collect()
}

/// How many deals each of these accounts has, of those that exist.
pub(crate) async fn counts(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    accounts: &[String],
) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"select account_id,
             (
                 select count(*) from deals
                 where deals.workspace_id = $1 and deals.account_id = accounts.account_id
             ) as "count!"
         from accounts
         where workspace_id = $1 and account_id = any($2)"#,
        workspace.as_ref(),
        accounts,
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.account_id, row.count)).collect())
}

/// Writes deals, the new ones in a workspace that is locked and the others locked themselves.
pub(crate) async fn write(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    deals: BTreeMap<DealId, Holding>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Columns { ids, accounts, stages, amounts, currencies, begins, closes, properties, named } =
        columns(deals);
    sqlx::query!(
        "insert into deals
             (workspace_id, deal_id, account_id, stage, amount, currency_code, create_time, close_time,
              properties, update_time)
         select $1, deal_id, account_id, stage, amount, currency_code, create_time, close_time, properties, $2
         from unnest($3::text[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::timestamptz[],
                 $9::timestamptz[], $10::bytea[])
             as told (deal_id, account_id, stage, amount, currency_code, create_time, close_time, properties)
         on conflict (workspace_id, deal_id) do update
         set account_id = excluded.account_id,
             stage = excluded.stage,
             amount = excluded.amount,
             currency_code = excluded.currency_code,
             create_time = excluded.create_time,
             close_time = excluded.close_time,
             properties = excluded.properties,
             update_time = excluded.update_time",
        workspace.as_ref(),
        now,
        &ids,
        &accounts as _,
        &stages,
        &amounts as _,
        &currencies as _,
        &begins,
        &closes as _,
        &properties,
    )
    .execute(&mut *conn)
    .await?;
    let (of, ordinals): (Vec<String>, Vec<i32>) = named.into_iter().unzip();
    sqlx::query!(
        "with named as (
             select * from unnest($3::text[], $4::int[]) as named (deal_id, ordinal)
         ), removed as (
             delete from deal_contacts
             where workspace_id = $1
                 and deal_id = any($2)
                 and (deal_id, ordinal) not in (select deal_id, ordinal from named)
         )
         insert into deal_contacts (workspace_id, deal_id, ordinal)
         select $1, deal_id, ordinal from named
         on conflict do nothing",
        workspace.as_ref(),
        &ids,
        &of,
        &ordinals,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes a deal.
pub(crate) async fn delete(conn: &mut PgConnection, name: &DealName) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from deals where workspace_id = $1 and deal_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks the deals that name a contact, in the order of their ids.
pub(crate) async fn lock_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinal: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "select from deals
         where workspace_id = $1
             and deal_id in (
                 select deal_id from deal_contacts where workspace_id = $1 and ordinal = $2)
         order by deal_id
         for no key update",
        workspace.as_ref(),
        ordinal,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has the deals that name a contact name another.
pub(crate) async fn give(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    (source, target): (i32, i32),
) -> sqlx::Result<()> {
    sqlx::query!(
        "with given as (
             delete from deal_contacts where workspace_id = $1 and ordinal = $2 returning deal_id
         )
         insert into deal_contacts (workspace_id, deal_id, ordinal)
         select $1, deal_id, $3 from given
         on conflict do nothing",
        workspace.as_ref(),
        source,
        target,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has no deal name a contact any more.
pub(crate) async fn withdraw(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinal: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from deal_contacts where workspace_id = $1 and ordinal = $2",
        workspace.as_ref(),
        ordinal,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is stored about one deal of one contact.
pub(crate) struct DealRow {
    pub(crate) ordinal: i32,
    pub(crate) stage: String,
    pub(crate) amount: Option<f64>,
    pub(crate) currency_code: Option<String>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) close_time: Option<DateTime<Utc>>,
    /// Only if they are asked for.
    pub(crate) properties: Option<Vec<u8>>,
}

/// Reads the deals of a run of contacts, one after another: those of their accounts, and of the deals that name them
/// those that are not among these. The planner does not conclude from one range that the other is the same.
pub(crate) async fn each(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
    with_properties: bool,
    mut each: impl FnMut(DealRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        DealRow,
        r#"select ordinal as "ordinal!", stage as "stage!", amount, currency_code,
             deals.create_time as "create_time!", close_time,
             case when $4 then properties end as properties
         from contacts join deals using (workspace_id, account_id)
         where workspace_id = $1 and ordinal >= $2 and ordinal < $3
         union all
         select ordinal, stage, amount, currency_code, deals.create_time, close_time,
             case when $4 then properties end as properties
         from deal_contacts
             join deals using (workspace_id, deal_id)
             join contacts using (workspace_id, ordinal)
         where workspace_id = $1
             and ordinal >= $2
             and ordinal < $3
             and contacts.ordinal >= $2
             and contacts.ordinal < $3
             and (contacts.account_id = deals.account_id) is not true"#,
        workspace.as_ref(),
        ordinals.start,
        ordinals.end,
        with_properties,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Reads the deals of some contacts, one after another, as above.
pub(crate) async fn each_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
    with_properties: bool,
    mut each: impl FnMut(DealRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        DealRow,
        r#"select ordinal as "ordinal!", stage as "stage!", amount, currency_code,
             deals.create_time as "create_time!", close_time,
             case when $3 then properties end as properties
         from contacts join deals using (workspace_id, account_id)
         where workspace_id = $1 and ordinal = any($2)
         union all
         select ordinal, stage, amount, currency_code, deals.create_time, close_time,
             case when $3 then properties end as properties
         from deal_contacts
             join deals using (workspace_id, deal_id)
             join contacts using (workspace_id, ordinal)
         where workspace_id = $1
             and ordinal = any($2)
             and (contacts.account_id = deals.account_id) is not true"#,
        workspace.as_ref(),
        ordinals,
        with_properties,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    accounts: Vec<Option<String>>,
    stages: Vec<String>,
    amounts: Vec<Option<f64>>,
    currencies: Vec<Option<String>>,
    begins: Vec<DateTime<Utc>>,
    closes: Vec<Option<DateTime<Utc>>>,
    properties: Vec<Vec<u8>>,
    /// The contacts that each names.
    named: Vec<(String, i32)>,
}

fn columns(deals: BTreeMap<DealId, Holding>) -> Columns {
    let mut columns = Columns::default();
    for (id, holding) in deals {
        let Terms { stage, amount, currency_code, create_time, close_time } = holding.terms;
        columns.named.extend(holding.contacts.into_iter().map(|ordinal| (id.to_string(), ordinal)));
        columns.ids.push(id.into());
        columns.accounts.push(holding.account.map(Into::into));
        columns.stages.push(stage);
        columns.amounts.push(amount);
        columns.currencies.push(currency_code);
        columns.begins.push(create_time);
        columns.closes.push(close_time);
        columns.properties.push(packed::pack_attributes(&holding.properties));
    }
    columns
}
