//! Queries about events.

use chrono::{DateTime, NaiveDate, Utc};
use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

use crate::event::{Draft, Source};
use crate::packed;

/// Adds the events whose ids are new, and says which these are. Ids are distinct; they are taken in order, so that two
/// who record the same ones wait for each other instead of for ever.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    source: Source,
    events: &[(i32, &Draft)],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    let ordinals: Vec<i32> = events.iter().map(|(ordinal, _)| *ordinal).collect();
    let ids: Vec<String> = events.iter().map(|(_, event)| event.id.clone()).collect();
    let names: Vec<String> = events.iter().map(|(_, event)| event.name.clone()).collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|(_, event)| event.time).collect();
    let properties: Vec<Vec<u8>> =
        events.iter().map(|(_, event)| packed::pack_properties(&event.properties)).collect();
    sqlx::query_scalar!(
        "with told as (
             select * from unnest($3::int[], $4::text[], $5::text[], $6::timestamptz[], $7::bytea[])
                 as told (ordinal, event_id, event_name, event_time, properties)
         ), fresh as (
             insert into event_ids (workspace_id, source, event_id)
             select $1, $2, event_id from told order by event_id
             on conflict do nothing
             returning event_id
         ), added as (
             insert into events
                 (workspace_id, event_name, ordinal, event_time, event_id, properties, record_time)
             select $1, event_name, ordinal, event_time, event_id, properties, $8
             from told join fresh using (event_id)
         )
         select event_id from fresh",
        workspace.as_ref(),
        source.as_str(),
        &ordinals,
        &ids,
        &names,
        &times,
        &properties,
        now,
    )
    .fetch_all(conn)
    .await
}

/// Takes ids for what is no event but is told as one: nobody else can take them. Says which were free.
pub(crate) async fn claim(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    source: Source,
    ids: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "insert into event_ids (workspace_id, source, event_id)
         select $1, $2, event_id from unnest($3::text[]) as told (event_id) order by event_id
         on conflict do nothing
         returning event_id",
        workspace.as_ref(),
        source.as_str(),
        ids,
    )
    .fetch_all(conn)
    .await
}

/// Which of some ids are taken.
pub(crate) async fn known(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    source: Source,
    ids: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select event_id from event_ids
         where workspace_id = $1 and source = $2 and event_id = any($3)",
        workspace.as_ref(),
        source.as_str(),
        ids,
    )
    .fetch_all(conn)
    .await
}

/// Makes the partition of a month, unless it is there.
pub(crate) async fn create_partition(
    conn: &mut PgConnection,
    month: NaiveDate,
) -> sqlx::Result<()> {
    sqlx::query!("select create_events_partition($1)", month).fetch_one(conn).await?;
    Ok(())
}
