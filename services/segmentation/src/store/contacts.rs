//! Queries about contacts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_ids::{AccountName, ContactId, ContactName, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use crate::attribute::Vocabulary;
use crate::contact::{Contact, Holding};
use crate::error::Error;
use crate::packed;

/// A contact as stored.
pub(crate) struct Stored {
    pub(crate) contact_id: String,
    pub(crate) ordinal: i32,
    pub(crate) email: String,
    pub(crate) account_id: Option<String>,
    pub(crate) attributes: Vec<u8>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
}

/// What a contact is to hold.
pub(crate) struct Write {
    pub(crate) contact_id: String,
    pub(crate) email: String,
    pub(crate) account_id: Option<String>,
    pub(crate) attributes: Vec<u8>,
}

impl Stored {
    pub(crate) fn holding(&self) -> Result<Holding, Error> {
        let attributes = packed::attributes(&self.attributes)
            .map(|read| read.map(|(number, value)| (number, value.into())))
            .collect::<Result<_, _>>()?;
        let account = self.account_id.as_deref().map(id).transpose()?;
        Ok(Holding { email: self.email.clone(), account, attributes })
    }

    pub(crate) fn into_contact(
        self,
        workspace: &WorkspaceId,
        names: &Vocabulary,
    ) -> Result<Contact, Error> {
        let mut attributes = BTreeMap::new();
        for read in packed::attributes(&self.attributes) {
            let (number, value) = read?;
            let name = names.name(number).ok_or(Error::Corrupt("attribute"))?;
            attributes.insert(name.to_owned(), value.into());
        }
        let account = self.account_id.as_deref().map(id).transpose()?;
        Ok(Contact {
            name: ContactName::new(workspace.clone(), id(&self.contact_id)?),
            email: self.email,
            account: account.map(|account| AccountName::new(workspace.clone(), account)),
            attributes,
            create_time: self.create_time,
            update_time: self.update_time,
        })
    }
}

/// The contacts that some ids stand for, each with the id asked for, in the order in which they were first written. One that
/// was merged into another is that other.
pub(crate) async fn by_id(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<Vec<(String, Stored)>> {
    let rows = sqlx::query!(
        r#"select contact_id as "asked!", contact_id as "contact_id!", ordinal as "ordinal!",
             email as "email!", account_id, attributes as "attributes!",
             create_time as "create_time!", update_time as "update_time!"
         from contacts
         where workspace_id = $1 and contact_id = any($2)
         union all
         select alias, contact_id, contacts.ordinal, email, account_id, attributes, create_time, update_time
         from departures
             join contacts
                 on contacts.workspace_id = departures.workspace_id
                     and contacts.ordinal = target_ordinal
         where departures.workspace_id = $1 and alias = any($2)
         order by 3"#,
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    let found = rows.into_iter().map(|row| {
        let stored = Stored {
            contact_id: row.contact_id,
            ordinal: row.ordinal,
            email: row.email,
            account_id: row.account_id,
            attributes: row.attributes,
            create_time: row.create_time,
            update_time: row.update_time,
        };
        (row.asked, stored)
    });
    Ok(found.collect())
}

/// The contacts with these ordinals, in the order in which they were first written.
pub(crate) async fn by_ordinal(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        "select contact_id, ordinal, email, account_id, attributes, create_time, update_time
         from contacts
         where workspace_id = $1 and ordinal = any($2)
         order by ordinal",
        workspace.as_ref(),
        ordinals,
    )
    .fetch_all(conn)
    .await
}

/// Locks contacts in the order of their ordinals, and reads them.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        "select contact_id, ordinal, email, account_id, attributes, create_time, update_time
         from contacts
         where workspace_id = $1 and ordinal = any($2)
         order by ordinal
         for no key update",
        workspace.as_ref(),
        ordinals,
    )
    .fetch_all(conn)
    .await
}

/// Contacts in the order in which they were first written.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: i32,
    limit: i64,
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        "select contact_id, ordinal, email, account_id, attributes, create_time, update_time
         from contacts
         where workspace_id = $1 and ordinal > $2
         order by ordinal
         limit $3",
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// The ordinals of the contacts that some ids stand for, each with the id asked for.
pub(crate) async fn ordinals(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<Vec<(String, i32)>> {
    let rows = sqlx::query!(
        r#"select contact_id as "asked!", ordinal as "ordinal!" from contacts
         where workspace_id = $1 and contact_id = any($2)
         union all
         select alias, target_ordinal from departures where workspace_id = $1 and alias = any($2)"#,
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.asked, row.ordinal)).collect())
}

/// Keeps the contacts that some ids stand for from departing before the transaction ends, and says who they are. Waits for
/// those who merge or erase them and for nobody else; in the order of ordinals, like everybody who locks contacts.
pub(crate) async fn hold(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> Result<Vec<(i32, ContactId)>, Error> {
    let rows = sqlx::query!(
        "select ordinal, contact_id from contacts
         where workspace_id = $1
             and ordinal = any (array(
                 select ordinal from contacts where workspace_id = $1 and contact_id = any($2)
                 union all
                 select target_ordinal from departures
                 where workspace_id = $1 and alias = any($2)))
         order by ordinal
         for key share",
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.ordinal, id(&row.contact_id)?))).collect()
}

/// Locks contacts of which some are to depart: nobody writes them or records anything for them meanwhile.
pub(crate) async fn lock_departing(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        "select contact_id, ordinal, email, account_id, attributes, create_time, update_time
         from contacts
         where workspace_id = $1 and ordinal = any($2)
         order by ordinal
         for update",
        workspace.as_ref(),
        ordinals,
    )
    .fetch_all(conn)
    .await
}

/// The addresses of contacts, in the order in which they were first written.
pub(crate) async fn addresses(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
) -> Result<Vec<(i32, ContactId, String)>, Error> {
    let rows = sqlx::query!(
        "select ordinal, contact_id, email from contacts
         where workspace_id = $1 and ordinal = any($2)
         order by ordinal",
        workspace.as_ref(),
        ordinals,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.ordinal, id(&row.contact_id)?, row.email))).collect()
}

/// The ids of contacts, by ordinal.
pub(crate) async fn names(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
) -> Result<Vec<(i32, ContactId)>, Error> {
    let rows = sqlx::query!(
        "select ordinal, contact_id from contacts where workspace_id = $1 and ordinal = any($2)",
        workspace.as_ref(),
        ordinals,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.ordinal, id(&row.contact_id)?))).collect()
}

/// Adds contacts, which nobody else can be doing because the workspace is locked. The first gets the ordinal `first`.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    first: i32,
    contacts: Vec<Write>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Columns { ids, emails, accounts, attributes } = columns(contacts);
    sqlx::query!(
        "with added as (
             insert into contacts
                 (workspace_id, ordinal, contact_id, email, account_id, attributes, create_time, update_time)
             select $1, $2 + position::int - 1, contact_id, email, account_id, attributes, $3, $3
             from unnest($4::text[], $5::text[], $6::text[], $7::bytea[])
                 with ordinality as added (contact_id, email, account_id, attributes, position)
         )
         update workspaces set contact_count = $2 + cardinality($4) where workspace_id = $1",
        workspace.as_ref(),
        first,
        now,
        &ids,
        &emails,
        &accounts as _,
        &attributes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes contacts, which are locked.
pub(crate) async fn update(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    contacts: Vec<(i32, Write)>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (ordinals, contacts): (Vec<i32>, Vec<Write>) = contacts.into_iter().unzip();
    let Columns { emails, accounts, attributes, .. } = columns(contacts);
    sqlx::query!(
        "update contacts
         set email = changed.email,
             account_id = changed.account_id,
             attributes = changed.attributes,
             update_time = $2
         from unnest($3::int[], $4::text[], $5::text[], $6::bytea[])
             as changed (ordinal, email, account_id, attributes)
         where workspace_id = $1 and contacts.ordinal = changed.ordinal",
        workspace.as_ref(),
        now,
        &ordinals,
        &emails,
        &accounts as _,
        &attributes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what a contact holds after another was merged into it. Both are locked.
pub(crate) async fn update_merged(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    contact: &Stored,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update contacts set email = $3, account_id = $4, attributes = $5, create_time = $6, update_time = $7
         where workspace_id = $1 and ordinal = $2",
        workspace.as_ref(),
        contact.ordinal,
        contact.email,
        contact.account_id,
        contact.attributes,
        contact.create_time,
        contact.update_time,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes a contact, which is locked.
pub(crate) async fn delete(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinal: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from contacts where workspace_id = $1 and ordinal = $2",
        workspace.as_ref(),
        ordinal,
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    emails: Vec<String>,
    accounts: Vec<Option<String>>,
    attributes: Vec<Vec<u8>>,
}

fn columns(contacts: Vec<Write>) -> Columns {
    let mut columns = Columns::default();
    for Write { contact_id, email, account_id, attributes } in contacts {
        columns.ids.push(contact_id);
        columns.emails.push(email);
        columns.accounts.push(account_id);
        columns.attributes.push(attributes);
    }
    columns
}
