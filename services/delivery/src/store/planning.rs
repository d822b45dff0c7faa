//! What the planner reads and writes: pages of the ledger, and the chunks in which a remainder is released or a broadcast
//! cancelled.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use cursus_ids::{ArmId, BroadcastName};
use sqlx::PgConnection;

use super::decoded;
use super::suppressions::{bytes, hash};
use crate::address::AddressHash;
use crate::planner::page::Row;

/// How many rows one statement moves: readers of the feed wait for the oldest transaction.
pub(crate) const CHUNK: i64 = 5_000;

/// Where planning goes on.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) token: String,
    pub(crate) labels: Vec<String>,
}

/// The broadcasts of one part of the planning that can still change.
pub(crate) async fn open_broadcasts(
    conn: &mut PgConnection,
    partition: i16,
) -> Result<Vec<BroadcastName>, sqlx::Error> {
    let rows = sqlx::query!(
        "select workspace_id, broadcast_id from broadcasts
         where not closed and partition = $1
         order by workspace_id, broadcast_id",
        partition,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let workspace = decoded(row.workspace_id.parse())?;
            Ok(BroadcastName::new(workspace, decoded(row.broadcast_id.parse())?))
        })
        .collect()
}

pub(crate) async fn progress(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<Progress, sqlx::Error> {
    sqlx::query_as!(
        Progress,
        "select plan_token as token, labels from broadcasts
         where workspace_id = $1 and broadcast_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_one(conn)
    .await
}

/// Which of these addresses the ledger has already.
pub(crate) async fn known_addresses(
    conn: &mut PgConnection,
    name: &BroadcastName,
    addresses: &[AddressHash],
) -> Result<HashSet<AddressHash>, sqlx::Error> {
    let known = sqlx::query_scalar!(
        r#"select address_hash as "address_hash!" from messages
         where workspace_id = $1 and broadcast_id = $2 and address_hash = any($3)"#,
        name.workspace.as_ref(),
        name.id.as_ref(),
        &bytes(addresses),
    )
    .fetch_all(conn)
    .await?;
    known.iter().map(|bytes| hash(bytes)).collect()
}

/// Adds a page to the ledger. Contacts that are in it already stay as they are.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    name: &BroadcastName,
    rows: &[Row],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let keys: Vec<_> = rows.iter().map(|row| row.key.uuid()).collect();
    let contacts: Vec<_> = rows.iter().map(|row| row.contact.to_string()).collect();
    let partitions: Vec<_> = rows.iter().map(|row| row.key.partition()).collect();
    let states: Vec<_> = rows.iter().map(|row| row.place.state().as_str().to_owned()).collect();
    let reasons: Vec<_> = rows.iter().map(|row| row.place.reason().to_owned()).collect();
    let arms: Vec<_> = rows.iter().map(|row| row.place.arm().to_owned()).collect();
    let addresses: Vec<_> = rows.iter().map(|row| row.kept_address().map(str::to_owned)).collect();
    let hashes: Vec<_> = rows.iter().map(|row| row.hash.map(|it| it.as_bytes().to_vec())).collect();
    let labels: Vec<_> = rows.iter().map(|row| row.labels).collect();
    sqlx::query!(
        "insert into messages (
             workspace_id, broadcast_id, message_id, contact_id, partition, state, reason, arm,
             address, address_hash, labels, next_attempt_time, update_time)
         select $1, $2, message_id, contact_id, partition, state, reason, arm, address, address_hash,
             labels, case when state = 'queued' then $12::timestamptz end, $12
         from unnest(
             $3::uuid[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::text[], $9::text[],
             $10::bytea[], $11::bigint[])
             as planned (message_id, contact_id, partition, state, reason, arm, address,
                 address_hash, labels)
         on conflict do nothing",
        name.workspace.as_ref(),
        name.id.as_ref(),
        &keys,
        &contacts,
        &partitions,
        &states,
        &reasons,
        &arms,
        &addresses as &[Option<String>],
        &hashes as &[Option<Vec<u8>>],
        &labels,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves on from one page to the next, or to the end. Says whether planning still stood there.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    name: &BroadcastName,
    (from, to): (&str, &str),
    plan_time: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    let advanced = sqlx::query!(
        "update broadcasts
         set plan_token = $4, plan_time = $5
         where workspace_id = $1 and broadcast_id = $2 and plan_token = $3 and plan_time is null
             and status <> 'cancelled'",
        name.workspace.as_ref(),
        name.id.as_ref(),
        from,
        to,
        plan_time,
    )
    .execute(conn)
    .await?;
    Ok(advanced.rows_affected() == 1)
}

/// Queues a part of the remainder with its arm, and says how many. The caller has closed the gate.
pub(crate) async fn release_chunk(
    conn: &mut PgConnection,
    name: &BroadcastName,
    arm: &ArmId,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let released = sqlx::query!(
        "update messages
         set state = 'queued', arm = $3, released = true, next_attempt_time = $4, update_time = $4
         where workspace_id = $1 and message_id in (
             select message_id from messages
             where workspace_id = $1 and broadcast_id = $2 and state = 'held'
             order by message_id
             limit $5)",
        name.workspace.as_ref(),
        name.id.as_ref(),
        arm.as_ref(),
        now,
        CHUNK,
    )
    .execute(conn)
    .await?;
    Ok(released.rows_affected())
}

/// Cancels a part of what was not sent, and says how many. The caller has closed the gate, so nobody is about to send
/// what is leased.
pub(crate) async fn cancel_chunk(
    conn: &mut PgConnection,
    name: &BroadcastName,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let cancelled = sqlx::query!(
        "update messages
         set state = 'cancelled', address = null, update_time = $3
         where workspace_id = $1 and message_id in (
             select message_id from messages
             where workspace_id = $1 and broadcast_id = $2 and state in ('held', 'queued', 'leased')
             limit $4)",
        name.workspace.as_ref(),
        name.id.as_ref(),
        now,
        CHUNK,
    )
    .execute(conn)
    .await?;
    Ok(cancelled.rows_affected())
}

/// Remembers the first moment at which nothing was left to hand over: that of the last change.
pub(crate) async fn set_idle(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update broadcasts
         set idle_time = greatest(plan_time, (
             select max(update_time) from ledger_counts where workspace_id = $1 and broadcast_id = $2))
         where workspace_id = $1 and broadcast_id = $2 and idle_time is null",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn set_closed(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update broadcasts set closed = true where workspace_id = $1 and broadcast_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
