//! What a lane reads and writes: leases, intents and results. Every change asks for the state it comes from, so that
//! whoever comes too late changes nothing. Those that name messages ask with `is not distinct from`, which no index serves:
//! a plan made when few messages were leased must not look for them among all that are.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use cursus_ids::{BroadcastName, WorkspaceId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::decoded;
use crate::broadcast::Variant;
use crate::message::{Key, State};

/// A message that a lane has taken.
#[derive(Clone, Debug)]
pub(crate) struct Leased {
    pub(crate) key: Key,
    pub(crate) contact_id: String,
    pub(crate) arm: String,
    pub(crate) released: bool,
    pub(crate) address: String,
    pub(crate) labels: i64,
    pub(crate) attempt_count: i32,
    pub(crate) first_attempt_time: Option<DateTime<Utc>>,
    /// Whether machines opened earlier messages to the contact, if somebody asked.
    pub(crate) privacy_proxy: bool,
}

/// What changes about a message once something has come of it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) reason: &'static str,
    pub(crate) reply: String,
    /// Set for what is to be tried again later; otherwise the time stays as it is.
    pub(crate) next_attempt_time: Option<DateTime<Utc>>,
    /// 1 if it was tried and not yet counted.
    pub(crate) attempts: i32,
}

/// What of a broadcast never changes and sending needs.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) sender_id: String,
    pub(crate) experiment: String,
    pub(crate) campaign: String,
    pub(crate) labels: Vec<String>,
    /// With how many links each has.
    pub(crate) variants: Vec<(Variant, u16)>,
}

/// A broadcast with a message that is due in this partition: the next one after `after`, in a circle.
pub(crate) async fn due_broadcast(
    conn: &mut PgConnection,
    partition: i16,
    after: Option<&BroadcastName>,
    now: DateTime<Utc>,
) -> Result<Option<BroadcastName>, sqlx::Error> {
    let row = sqlx::query!(
        // The inner limit keeps Postgres from looking at more than one message of each broadcast.
        "select workspace_id, broadcast_id
         from broadcasts as b
         cross join lateral (
             select from messages as m
             where m.workspace_id = b.workspace_id and m.broadcast_id = b.broadcast_id
                 and m.partition = $1 and m.state = 'queued' and m.next_attempt_time <= $2
             limit 1
         ) as due
         where not closed and status = 'open'
         order by (workspace_id, broadcast_id) <= ($3::text, $4::text), workspace_id, broadcast_id
         limit 1",
        partition,
        now,
        after.map_or("", |name| name.workspace.as_ref()),
        after.map_or("", |name| name.id.as_ref()),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let workspace = decoded(row.workspace_id.parse())?;
        Ok(BroadcastName::new(workspace, decoded(row.broadcast_id.parse())?))
    })
    .transpose()
}

pub(crate) async fn terms(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<Terms, sqlx::Error> {
    let row = sqlx::query!(
        r#"select sender_id, experiment, campaign, labels,
             array(select arm from variants as v
                 where v.workspace_id = b.workspace_id and v.broadcast_id = b.broadcast_id
                 order by position) as "arms!",
             array(select template_version from variants as v
                 where v.workspace_id = b.workspace_id and v.broadcast_id = b.broadcast_id
                 order by position) as "template_versions!",
             array(select cardinality(links) from variants as v
                 where v.workspace_id = b.workspace_id and v.broadcast_id = b.broadcast_id
                 order by position) as "link_counts!"
         from broadcasts as b
         where workspace_id = $1 and broadcast_id = $2"#,
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_one(conn)
    .await?;
    let variants = row.arms.iter().zip(&row.template_versions).zip(&row.link_counts);
    let variants = variants.map(|((arm, version), links)| {
        let template_version = decoded(version.parse())?;
        let variant = Variant { arm: decoded(arm.parse())?, template_version };
        Ok((variant, decoded(u16::try_from(*links))?))
    });
    Ok(Terms {
        sender_id: row.sender_id,
        experiment: row.experiment,
        campaign: row.campaign,
        labels: row.labels,
        variants: variants.collect::<Result<_, sqlx::Error>>()?,
    })
}

/// Takes due messages of an open broadcast, and settles those whose address was suppressed since they were planned. The
/// caller shares the gate.
pub(crate) async fn lease(
    conn: &mut PgConnection,
    name: &BroadcastName,
    (partition, limit): (i16, i64),
    now: DateTime<Utc>,
) -> Result<Vec<Leased>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with due as materialized (
             select m.message_id, m.address_hash
             from messages as m
             where m.workspace_id = $1 and m.broadcast_id = $2 and m.partition = $3
                 and m.state = 'queued' and m.next_attempt_time <= $4
                 and exists (
                     select from broadcasts as b
                     where b.workspace_id = $1 and b.broadcast_id = $2 and b.status = 'open')
             order by m.next_attempt_time
             limit $5
         ), moved as (
             update messages as m
             set state = case when blocked.reason is null then 'leased' else 'suppressed' end,
                 reason = coalesce(blocked.reason::text, ''),
                 address = case when blocked.reason is null then address end,
                 update_time = $4
             from due
             left join lateral (
                 select min(s.reason) as reason from suppressions as s
                 where s.workspace_id = $1 and s.address_hash = due.address_hash
             ) as blocked on true
             where m.workspace_id = $1 and m.message_id = due.message_id
                 and m.state is not distinct from 'queued'
             returning m.*
         )
         select message_id, contact_id, arm, released, address as "address!", labels, attempt_count,
             first_attempt_time
         from moved
         where state = 'leased'"#,
        name.workspace.as_ref(),
        name.id.as_ref(),
        partition,
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let leased = rows.into_iter().map(|row| Leased {
        key: row.message_id.into(),
        contact_id: row.contact_id,
        arm: row.arm,
        released: row.released,
        address: row.address,
        labels: row.labels,
        attempt_count: row.attempt_count,
        first_attempt_time: row.first_attempt_time,
        privacy_proxy: false,
    });
    Ok(leased.collect())
}

/// Declares that the final dots of these are about to be sent, and says which of them may be: those still leased, of a
/// broadcast still open. The caller shares the gate, and sends nothing before this is committed.
pub(crate) async fn intend(
    conn: &mut PgConnection,
    name: &BroadcastName,
    keys: &[Key],
    now: DateTime<Utc>,
) -> Result<HashSet<Key>, sqlx::Error> {
    let keys: Vec<Uuid> = keys.iter().map(|key| key.uuid()).collect();
    let intended = sqlx::query_scalar!(
        "update messages as m
         set state = 'committing', attempt_count = attempt_count + 1, update_time = $4,
             first_attempt_time = coalesce(first_attempt_time, $4)
         from broadcasts as b
         where b.workspace_id = $1 and b.broadcast_id = $2 and b.status = 'open'
             and m.workspace_id = $1 and m.message_id = any($3)
             and m.state is not distinct from 'leased'
         returning m.message_id",
        name.workspace.as_ref(),
        name.id.as_ref(),
        &keys,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(intended.into_iter().map(Key::from).collect())
}

/// Records what came of messages, and says for which of them it was news.
pub(crate) async fn record(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    changes: &[Change],
    now: DateTime<Utc>,
) -> Result<HashSet<Key>, sqlx::Error> {
    let keys: Vec<Uuid> = changes.iter().map(|change| change.key.uuid()).collect();
    let from: Vec<String> = changes.iter().map(|change| change.from.as_str().to_owned()).collect();
    let to: Vec<String> = changes.iter().map(|change| change.to.as_str().to_owned()).collect();
    let reasons: Vec<String> = changes.iter().map(|change| change.reason.to_owned()).collect();
    let replies: Vec<String> = changes.iter().map(|change| change.reply.clone()).collect();
    let next: Vec<_> = changes.iter().map(|change| change.next_attempt_time).collect();
    let attempts: Vec<i32> = changes.iter().map(|change| change.attempts).collect();
    let recorded = sqlx::query_scalar!(
        "update messages as m
         set state = change.to, reason = change.reason,
             last_reply = case when change.reply = '' then m.last_reply else change.reply end,
             address = case when change.to = 'queued' then m.address end,
             attempt_count = m.attempt_count + change.attempts,
             first_attempt_time = case when change.attempts = 0 then m.first_attempt_time
                 else coalesce(m.first_attempt_time, $9) end,
             next_attempt_time = coalesce(change.next_attempt_time, m.next_attempt_time),
             update_time = $9
         from unnest(
             $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::integer[])
             as change (message_id, origin, \"to\", reason, reply, next_attempt_time, attempts)
         where m.workspace_id = $1 and m.message_id = change.message_id
             and m.state is not distinct from change.origin
         returning m.message_id",
        workspace.as_ref(),
        &keys,
        &from,
        &to,
        &reasons,
        &replies,
        &next as &[Option<DateTime<Utc>>],
        &attempts,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(recorded.into_iter().map(Key::from).collect())
}

/// The addresses of messages, for suppressing them.
pub(crate) async fn address_hashes(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    keys: &[Key],
) -> Result<Vec<crate::address::AddressHash>, sqlx::Error> {
    let keys: Vec<Uuid> = keys.iter().map(|key| key.uuid()).collect();
    let hashes = sqlx::query_scalar!(
        r#"select address_hash as "address_hash!" from messages
         where workspace_id = $1 and message_id = any($2) and address_hash is not null"#,
        workspace.as_ref(),
        &keys,
    )
    .fetch_all(conn)
    .await?;
    hashes.iter().map(|bytes| super::suppressions::hash(bytes)).collect()
}

/// The broadcasts of which whoever had this partition before has left messages under way.
pub(crate) async fn left_behind(
    conn: &mut PgConnection,
    partition: i16,
) -> Result<Vec<BroadcastName>, sqlx::Error> {
    let rows = sqlx::query!(
        "select distinct b.workspace_id, b.broadcast_id
         from broadcasts as b
         join ledger_counts as counts using (workspace_id, broadcast_id)
         where not b.closed and counts.partition = $1 and counts.state in ('leased', 'committing')
             and counts.count > 0
         order by b.workspace_id, b.broadcast_id",
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

/// Queues again what was leased: nothing of it was sent.
pub(crate) async fn return_leased(
    conn: &mut PgConnection,
    name: &BroadcastName,
    partition: i16,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update messages set state = 'queued', update_time = $4
         where workspace_id = $1 and broadcast_id = $2 and partition = $3 and state = 'leased'",
        name.workspace.as_ref(),
        name.id.as_ref(),
        partition,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up on what may or may not have arrived, and says what it was.
pub(crate) async fn doubt_committing(
    conn: &mut PgConnection,
    name: &BroadcastName,
    partition: i16,
    now: DateTime<Utc>,
) -> Result<Vec<Leased>, sqlx::Error> {
    let rows = sqlx::query!(
        "update messages
         set state = 'ambiguous', address = null, update_time = $4,
             last_reply = 'the worker ended before the reply was recorded'
         where workspace_id = $1 and broadcast_id = $2 and partition = $3 and state = 'committing'
         returning message_id, contact_id, arm, released, labels, attempt_count, first_attempt_time",
        name.workspace.as_ref(),
        name.id.as_ref(),
        partition,
        now,
    )
    .fetch_all(conn)
    .await?;
    let doubtful = rows.into_iter().map(|row| Leased {
        key: row.message_id.into(),
        contact_id: row.contact_id,
        arm: row.arm,
        released: row.released,
        address: String::new(),
        labels: row.labels,
        attempt_count: row.attempt_count,
        first_attempt_time: row.first_attempt_time,
        privacy_proxy: false,
    });
    Ok(doubtful.collect())
}
