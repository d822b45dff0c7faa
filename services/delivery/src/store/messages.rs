//! Rows of the ledger, as shown.

use chrono::{DateTime, Utc};
use cursus_ids::BroadcastName;
use sqlx::PgConnection;
use uuid::Uuid;

use super::decoded;
use crate::message::{Key, Message, State};

struct Row {
    message_id: Uuid,
    contact_id: String,
    arm: String,
    released: bool,
    state: String,
    reason: String,
    last_reply: String,
    attempt_count: i32,
    update_time: DateTime<Utc>,
}

impl Row {
    fn into_message(self) -> Result<Message, sqlx::Error> {
        Ok(Message {
            key: self.message_id.into(),
            contact: decoded(self.contact_id.parse())?,
            arm: self.arm,
            released: self.released,
            state: decoded(self.state.parse())?,
            reason: self.reason,
            last_reply: self.last_reply,
            attempt_count: self.attempt_count,
            update_time: self.update_time,
        })
    }
}

/// In ledger order, those after `after`.
pub(crate) async fn list(
    conn: &mut PgConnection,
    broadcast: &BroadcastName,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Message>, sqlx::Error> {
    let (low, high) = Key::range(broadcast);
    let rows = sqlx::query_as!(
        Row,
        "select message_id, contact_id, arm, released, state, reason, last_reply, attempt_count,
             update_time
         from messages
         where workspace_id = $1 and message_id between $3 and $4 and broadcast_id = $2
             and ($5::uuid is null or message_id > $5)
         order by message_id
         limit $6",
        broadcast.workspace.as_ref(),
        broadcast.id.as_ref(),
        low.uuid(),
        high.uuid(),
        after.map(Key::uuid),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_message).collect()
}

/// In ledger order, those in one state after `after`.
pub(crate) async fn list_in_state(
    conn: &mut PgConnection,
    broadcast: &BroadcastName,
    state: State,
    (after, limit): (Option<Key>, i64),
) -> Result<Vec<Message>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select message_id, contact_id, arm, released, state, reason, last_reply, attempt_count,
             update_time
         from messages
         where workspace_id = $1 and broadcast_id = $2 and state = $3
             and ($4::uuid is null or message_id > $4)
         order by message_id
         limit $5",
        broadcast.workspace.as_ref(),
        broadcast.id.as_ref(),
        state.as_str(),
        after.map(Key::uuid),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_message).collect()
}
