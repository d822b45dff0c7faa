//! Queries about accounts, and about the contacts that belong to them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use chrono::{DateTime, Utc};
use cursus_ids::{AccountId, AccountName, WorkspaceId};
use futures::TryStreamExt;
use sqlx::PgConnection;

use super::id;
use crate::account::{Account, Holding};
use crate::attribute::{Entity, Vocabulary};
use crate::block::MOST_SLOTS;
use crate::error::Error;
use crate::packed;
use crate::value::Value;

/// An account as stored.
pub(crate) struct Stored {
    pub(crate) account_id: String,
    pub(crate) display_name: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) attributes: Vec<u8>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
}

impl Stored {
    pub(crate) fn holding(&self) -> Result<Holding, Error> {
        let attributes = packed::attributes(&self.attributes)
            .map(|read| read.map(|(number, value)| (number, value.into())))
            .collect::<Result<_, _>>()?;
        Ok(Holding {
            display_name: self.display_name.clone(),
            parent: self.parent_id.as_deref().map(id).transpose()?,
            attributes,
        })
    }

    pub(crate) fn into_account(
        self,
        workspace: &WorkspaceId,
        names: &Vocabulary,
    ) -> Result<Account, Error> {
        let name = |id| AccountName::new(workspace.clone(), id);
        Ok(Account {
            name: name(id(&self.account_id)?),
            display_name: self.display_name,
            parent: self.parent_id.as_deref().map(id).transpose()?.map(name),
            attributes: identified(&self.attributes, Entity::Account, names)?,
            create_time: self.create_time,
            update_time: self.update_time,
        })
    }
}

/// Packed values by their identifiers within an entity.
pub(crate) fn identified(
    packed: &[u8],
    entity: Entity,
    names: &Vocabulary,
) -> Result<BTreeMap<String, Value>, Error> {
    let mut values = BTreeMap::new();
    for read in packed::attributes(packed) {
        let (number, value) = read?;
        let identifier = names.name(number).and_then(|name| entity.identifier(name));
        let identifier = identifier.ok_or(Error::Corrupt("attribute"))?;
        values.insert(identifier.to_owned(), value.into());
    }
    Ok(values)
}

/// The accounts with these ids that exist.
pub(crate) async fn by_id(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        "select account_id, display_name, parent_id, attributes, create_time, update_time
         from accounts
         where workspace_id = $1 and account_id = any($2)",
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await
}

/// Accounts in the order of their ids.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        "select account_id, display_name, parent_id, attributes, create_time, update_time
         from accounts
         where workspace_id = $1 and account_id > $2
         order by account_id
         limit $3",
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Locks accounts in the order of their ids against whoever changes them, or moves contacts to them, and reads them.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        "select account_id, display_name, parent_id, attributes, create_time, update_time
         from accounts
         where workspace_id = $1 and account_id = any($2)
         order by account_id
         for no key update",
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await
}

/// Keeps whoever changes accounts waiting, but not those who move contacts to them, and says which exist.
pub(crate) async fn share(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<HashSet<String>> {
    let known = sqlx::query_scalar!(
        "select account_id from accounts
         where workspace_id = $1 and account_id = any($2)
         order by account_id
         for share",
        workspace.as_ref(),
        ids,
    );
    Ok(known.fetch_all(conn).await?.into_iter().collect())
}

/// Keeps accounts from being deleted, and says which exist.
pub(crate) async fn hold(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<HashSet<String>> {
    let known = sqlx::query_scalar!(
        "select account_id from accounts
         where workspace_id = $1 and account_id = any($2)
         order by account_id
         for key share",
        workspace.as_ref(),
        ids,
    );
    Ok(known.fetch_all(conn).await?.into_iter().collect())
}

/// Adds accounts, which nobody else can be doing because the workspace is locked.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    accounts: Vec<(AccountId, Holding)>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Columns { ids, display_names, parents, attributes } = columns(accounts);
    sqlx::query!(
        "insert into accounts
             (workspace_id, account_id, display_name, parent_id, attributes, create_time, update_time)
         select $1, account_id, display_name, parent_id, attributes, $2, $2
         from unnest($3::text[], $4::text[], $5::text[], $6::bytea[])
             as added (account_id, display_name, parent_id, attributes)",
        workspace.as_ref(),
        now,
        &ids,
        &display_names,
        &parents as _,
        &attributes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes accounts, which are locked.
pub(crate) async fn update(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    accounts: Vec<(AccountId, Holding)>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Columns { ids, display_names, parents, attributes } = columns(accounts);
    sqlx::query!(
        "update accounts
         set display_name = changed.display_name,
             parent_id = changed.parent_id,
             attributes = changed.attributes,
             update_time = $2
         from unnest($3::text[], $4::text[], $5::text[], $6::bytea[])
             as changed (account_id, display_name, parent_id, attributes)
         where workspace_id = $1 and accounts.account_id = changed.account_id",
        workspace.as_ref(),
        now,
        &ids,
        &display_names,
        &parents as _,
        &attributes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks an account against everybody, and says whether it exists.
pub(crate) async fn lock_to_delete(
    conn: &mut PgConnection,
    name: &AccountName,
) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "select account_id from accounts where workspace_id = $1 and account_id = $2 for update",
        name.workspace.as_ref(),
        name.id.as_ref(),
    );
    Ok(found.fetch_optional(conn).await?.is_some())
}

/// Whether a contact, a deal or another account names an account.
pub(crate) async fn is_named(conn: &mut PgConnection, name: &AccountName) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from contacts where workspace_id = $1 and account_id = $2)
             or exists (select from deals where workspace_id = $1 and account_id = $2)
             or exists (select from accounts where workspace_id = $1 and parent_id = $2) as "is_named!""#,
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_one(conn)
    .await
}

/// Deletes an account.
pub(crate) async fn delete(conn: &mut PgConnection, name: &AccountName) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from accounts where workspace_id = $1 and account_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The blocks with contacts of some accounts, or with some contacts besides, and their slots where those are few. An
/// account may have a million contacts, so that they are counted before they are listed.
pub(crate) async fn concerned(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    accounts: &[String],
    ordinals: &[i32],
) -> sqlx::Result<Vec<(i32, Option<Vec<i32>>)>> {
    let rows = sqlx::query!(
        r#"with concerned as not materialized (
             select ordinal from contacts where workspace_id = $1 and account_id = any($2)
             union all
             select unnest($3::int[])
         ), counted as (
             select ordinal >> 16 as block, count(*) <= $4 as are_few from concerned group by block
         )
         select block as "block!", array_agg(ordinal & 65535) filter (where are_few) as slots
         from concerned join counted on block = ordinal >> 16
         group by block"#,
        workspace.as_ref(),
        accounts,
        ordinals,
        i64::try_from(MOST_SLOTS).unwrap_or(i64::MAX),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.block, row.slots)).collect())
}

/// What is stored about the account of one contact.
pub(crate) struct AccountRow {
    pub(crate) ordinal: i32,
    pub(crate) account_id: String,
    pub(crate) display_name: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) attributes: Vec<u8>,
}

/// Reads the accounts of a run of contacts, one contact after another.
pub(crate) async fn each(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
    mut each: impl FnMut(AccountRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        AccountRow,
        r#"select ordinal, account_id as "account_id!", display_name, parent_id, accounts.create_time,
             accounts.attributes
         from contacts join accounts using (workspace_id, account_id)
         where workspace_id = $1 and ordinal >= $2 and ordinal < $3"#,
        workspace.as_ref(),
        ordinals.start,
        ordinals.end,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Reads the accounts of some contacts, one contact after another.
pub(crate) async fn each_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
    mut each: impl FnMut(AccountRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        AccountRow,
        r#"select ordinal, account_id as "account_id!", display_name, parent_id, accounts.create_time,
             accounts.attributes
         from contacts join accounts using (workspace_id, account_id)
         where workspace_id = $1 and ordinal = any($2)"#,
        workspace.as_ref(),
        ordinals,
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
    display_names: Vec<String>,
    parents: Vec<Option<String>>,
    attributes: Vec<Vec<u8>>,
}

fn columns(accounts: Vec<(AccountId, Holding)>) -> Columns {
    let mut columns = Columns::default();
    for (id, holding) in accounts {
        columns.ids.push(id.into());
        columns.display_names.push(holding.display_name);
        columns.parents.push(holding.parent.map(Into::into));
        columns.attributes.push(packed::pack_attributes(&holding.attributes));
    }
    columns
}
