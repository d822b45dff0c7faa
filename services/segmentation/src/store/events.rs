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

/// The names of the workspace's events, in order: the index leads by name, so a contact's events are found by names. Steps
/// from name to name instead of reading the events.
pub(crate) async fn names(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"with recursive names as (
             (select event_name from events where workspace_id = $1 order by event_name limit 1)
             union all
             select (select events.event_name from events
                 where workspace_id = $1 and events.event_name > names.event_name
                 order by events.event_name
                 limit 1)
             from names
             where names.event_name is not null
         )
         select event_name as "event_name!" from names where event_name is not null"#,
        workspace.as_ref(),
    )
    .fetch_all(conn)
    .await
}

/// Gives the events of a contact to another.
pub(crate) async fn give(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    names: &[String],
    (source, target): (i32, i32),
) -> sqlx::Result<()> {
    sqlx::query!(
        "update events set ordinal = $4
         where workspace_id = $1 and event_name = any($2) and ordinal = $3",
        workspace.as_ref(),
        names,
        source,
        target,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` events of a contact and their ids, and says how many. What delivery observed has its own ids,
/// and is told apart by the prefix that is reserved for it.
pub(crate) async fn delete(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    (names, observed): (&[String], &str),
    ordinal: i32,
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"with doomed as (
             select event_name, event_time, event_id from events
             where workspace_id = $1 and event_name = any($2) and ordinal = $4
             limit $5
         ), deleted as (
             delete from events using doomed
             where events.workspace_id = $1
                 and events.event_name = any($2)
                 and events.ordinal = $4
                 and events.event_name = doomed.event_name
                 and events.event_time = doomed.event_time
                 and events.event_id = doomed.event_id
             returning events.event_name, events.event_id
         ), forgotten as (
             delete from event_ids using deleted
             where event_ids.workspace_id = $1
                 and event_ids.source =
                     case when starts_with(deleted.event_name, $3) then 'delivery' else 'caller' end
                 and event_ids.event_id = deleted.event_id
         )
         select count(*) as "count!" from deleted"#,
        workspace.as_ref(),
        names,
        observed,
        ordinal,
        limit,
    )
    .fetch_one(conn)
    .await
}
