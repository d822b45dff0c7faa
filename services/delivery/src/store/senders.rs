//! Queries about senders: whom mail comes from.

use chrono::{DateTime, Utc};
use cursus_ids::{SenderId, SenderName, WorkspaceId};
use cursus_mail::HeaderText;
use sqlx::PgConnection;

use super::decoded;
use crate::address::Address;
use crate::sender::Sender;

struct Row {
    sender_id: String,
    display_name: String,
    address: String,
    reply_to: String,
    create_time: DateTime<Utc>,
}

impl Row {
    fn into_sender(self, workspace: &WorkspaceId) -> Result<Sender, sqlx::Error> {
        let address = |text: &str| decoded(Address::parse(text).ok_or("a sender has no address"));
        let reply_to = (!self.reply_to.is_empty()).then(|| address(&self.reply_to)).transpose()?;
        Ok(Sender {
            name: SenderName::new(workspace.clone(), decoded(self.sender_id.parse())?),
            display_name: decoded(HeaderText::new(&self.display_name))?,
            address: address(&self.address)?,
            reply_to,
            create_time: self.create_time,
        })
    }
}

/// Says whether it is new.
pub(crate) async fn insert(conn: &mut PgConnection, sender: &Sender) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into senders (workspace_id, sender_id, display_name, address, reply_to, create_time)
         values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        sender.name.workspace.as_ref(),
        sender.name.id.as_ref(),
        sender.display_name.as_str(),
        sender.address.as_str(),
        sender.reply_to.as_ref().map_or("", Address::as_str),
        sender.create_time,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    id: &SenderId,
) -> Result<Option<Sender>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select sender_id, display_name, address, reply_to, create_time
         from senders
         where workspace_id = $1 and sender_id = $2",
        workspace.as_ref(),
        id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.into_sender(workspace)).transpose()
}

pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> Result<Vec<Sender>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select sender_id, display_name, address, reply_to, create_time
         from senders
         where workspace_id = $1 and sender_id > $2
         order by sender_id
         limit $3",
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.into_sender(workspace)).collect()
}
