//! Queries about blocks of contacts: when they change next, and what they hold.

use std::ops::Range;

use chrono::{DateTime, Utc};
use cursus_ids::WorkspaceId;
use futures::TryStreamExt;
use sqlx::PgConnection;

use super::{id, position};
use crate::block::BlockName;
use crate::error::Error;

/// The blocks of a partition in which time alone changes something, and when it does next.
pub(crate) async fn scheduled(
    conn: &mut PgConnection,
    partition: i16,
) -> Result<Vec<(BlockName, DateTime<Utc>)>, Error> {
    let rows = sqlx::query!(
        r#"select workspace_id, block, next_change_time as "next_change_time!" from blocks
         where partition = $1 and next_change_time is not null"#,
        partition,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok((BlockName::new(id(&row.workspace_id)?, row.block), row.next_change_time)))
        .collect()
}

/// When a block changes next by time alone, as far as that is remembered.
pub(crate) async fn next_change(
    conn: &mut PgConnection,
    block: &BlockName,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let next = sqlx::query_scalar!(
        "select next_change_time from blocks where workspace_id = $1 and block = $2",
        block.workspace.as_ref(),
        block.index,
    );
    Ok(next.fetch_optional(conn).await?.flatten())
}

/// Remembers when blocks change next.
pub(crate) async fn set_next_changes(
    conn: &mut PgConnection,
    changes: &[(BlockName, Option<DateTime<Utc>>)],
) -> sqlx::Result<()> {
    let workspaces: Vec<String> =
        changes.iter().map(|(block, _)| block.workspace.to_string()).collect();
    let blocks: Vec<i32> = changes.iter().map(|(block, _)| block.index).collect();
    let partitions: Vec<i16> = changes.iter().map(|(block, _)| block.partition()).collect();
    let next: Vec<Option<DateTime<Utc>>> = changes.iter().map(|(_, next)| *next).collect();
    sqlx::query!(
        "insert into blocks (workspace_id, block, partition, next_change_time)
         select * from unnest($1::text[], $2::int[], $3::smallint[], $4::timestamptz[])
         on conflict (workspace_id, block) do update set next_change_time = excluded.next_change_time",
        &workspaces,
        &blocks,
        &partitions,
        &next as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is stored about one contact.
pub(crate) struct ContactRow {
    pub(crate) ordinal: i32,
    pub(crate) contact_id: String,
    pub(crate) email: String,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) attributes: Vec<u8>,
}

/// What is stored about one event.
pub(crate) struct EventRow {
    pub(crate) ordinal: i32,
    pub(crate) event_time: DateTime<Utc>,
    /// Only if they are asked for.
    pub(crate) properties: Option<Vec<u8>>,
}

/// Which events are read.
pub(crate) struct EventsWanted<'a> {
    pub(crate) name: &'a str,
    /// Those at this time or later; `None` for all.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) with_properties: bool,
}

/// Has every query of this transaction be planned for the values it is asked with. A plan for any values takes a block
/// for few rows and visits the table for each, where the index alone would do; and compiling takes longer than reading.
pub(crate) async fn plan_for_values(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Reads a run of contacts, one after another.
pub(crate) async fn each_contact(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
    mut each: impl FnMut(ContactRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        ContactRow,
        "select ordinal, contact_id, email, create_time, attributes from contacts
         where workspace_id = $1 and ordinal >= $2 and ordinal < $3",
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

/// Reads some contacts, one after another.
pub(crate) async fn each_contact_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
    mut each: impl FnMut(ContactRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        ContactRow,
        "select ordinal, contact_id, email, create_time, attributes from contacts
         where workspace_id = $1 and ordinal = any($2)",
        workspace.as_ref(),
        ordinals,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Reads the events of a run of contacts, one after another.
pub(crate) async fn each_event(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
    wanted: EventsWanted<'_>,
    mut each: impl FnMut(EventRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        EventRow,
        "select ordinal, event_time, case when $5 then properties end as properties from events
         where workspace_id = $1
             and event_name = $2
             and ordinal >= $3
             and ordinal < $4
             and event_time >= coalesce($6, '-infinity'::timestamptz)",
        workspace.as_ref(),
        wanted.name,
        ordinals.start,
        ordinals.end,
        wanted.with_properties,
        wanted.since,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Reads events one after another: those of some names of some contacts, and of other names of others.
pub(crate) async fn each_event_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    wanted: &[(Vec<EventsWanted<'_>>, Vec<i32>)],
    mut each: impl FnMut(&str, EventRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut names, mut since, mut with_properties) = (Vec::new(), Vec::new(), Vec::new());
    // Each name has a slice of all ordinals.
    let (mut all_ordinals, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for (wanted, ordinals) in wanted {
        let first = position(all_ordinals.len() + 1);
        all_ordinals.extend_from_slice(ordinals);
        for event in wanted {
            names.push(event.name.to_owned());
            since.push(event.since);
            with_properties.push(event.with_properties);
            firsts.push(first);
            lasts.push(position(all_ordinals.len()));
        }
    }
    let mut rows = sqlx::query!(
        r#"select wanted.event_name as "event_name!", ordinal as "ordinal!",
             event_time as "event_time!", properties
         from unnest($2::text[], $3::timestamptz[], $4::bool[], $5::int[], $6::int[])
             as wanted (event_name, since, with_properties, first_ordinal, last_ordinal)
         cross join lateral (
             select ordinal, event_time, case when with_properties then properties end as properties
             from events
             where workspace_id = $1
                 and events.event_name = wanted.event_name
                 and ordinal = any(($7::int[])[first_ordinal:last_ordinal])
                 and event_time >= coalesce(since, '-infinity'::timestamptz)
         ) as found"#,
        workspace.as_ref(),
        &names,
        &since as _,
        &with_properties,
        &firsts,
        &lasts,
        &all_ordinals,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let event = EventRow {
            ordinal: row.ordinal,
            event_time: row.event_time,
            properties: row.properties,
        };
        each(&row.event_name, event)?;
    }
    Ok(())
}
