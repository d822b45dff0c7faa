//! Queries about blocks of contacts: what changed in them, when they change next, and what they hold.

use std::ops::Range;

use chrono::{DateTime, Utc};
use cursus_ids::WorkspaceId;
use futures::TryStreamExt;
use sqlx::PgConnection;

use super::id;
use crate::block::{BlockName, Change};
use crate::error::Error;

/// Says that blocks changed, and wakes the owners of their partitions when the transaction commits.
pub(crate) async fn insert_changes(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    changes: &[(BlockName, Option<Vec<u16>>)],
    names: Option<&[String]>,
) -> sqlx::Result<()> {
    let partitions: Vec<i16> = changes.iter().map(|(block, _)| block.partition()).collect();
    let blocks: Vec<i32> = changes.iter().map(|(block, _)| block.index).collect();
    let slots: Vec<Option<Vec<u8>>> = changes
        .iter()
        .map(|(_, slots)| {
            Some(slots.as_ref()?.iter().flat_map(|slot| slot.to_le_bytes()).collect())
        })
        .collect();
    sqlx::query!(
        "with changed as (
             select * from unnest($2::smallint[], $3::int[], $4::bytea[])
                 as changed (partition, block, slots)
         ), added as (
             insert into block_changes (partition, workspace_id, block, slots, names)
             select partition, $1, block, slots, $5 from changed
         )
         select pg_notify('block_changes', partition::text)
         from (select distinct partition from changed) as changed",
        workspace.as_ref(),
        &partitions,
        &blocks,
        &slots as _,
        names,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` blocks of a partition that changed, or that time may have changed by now.
pub(crate) async fn pending(
    conn: &mut PgConnection,
    partition: i16,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<BlockName>, Error> {
    let rows = sqlx::query!(
        r#"select workspace_id as "workspace_id!", block as "block!" from (
             (select distinct workspace_id, block from block_changes where partition = $1 limit $3)
             union
             (select workspace_id, block from blocks
              where partition = $1 and next_change_time <= $2
              order by next_change_time
              limit $3)
         ) as pending"#,
        partition,
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok(BlockName::new(id(&row.workspace_id)?, row.block))).collect()
}

/// The first moment at which time may change a block of the partition.
pub(crate) async fn next_change(
    conn: &mut PgConnection,
    partition: i16,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select min(next_change_time) from blocks where partition = $1", partition)
        .fetch_one(conn)
        .await
}

/// What changed in a block since its changes were deleted last.
pub(crate) async fn changes(
    conn: &mut PgConnection,
    block: &BlockName,
) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query!(
        "select slots, names from block_changes
         where partition = $1 and workspace_id = $2 and block = $3",
        block.partition(),
        block.workspace.as_ref(),
        block.index,
    )
    .fetch_all(conn)
    .await?;
    let slots =
        |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    Ok(rows
        .into_iter()
        .map(|row| Change { slots: row.slots.map(slots), names: row.names })
        .collect())
}

/// Deletes the changes of a block that the transaction sees: in one that reads as of one moment, those it has read.
pub(crate) async fn delete_changes(conn: &mut PgConnection, block: &BlockName) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from block_changes where partition = $1 and workspace_id = $2 and block = $3",
        block.partition(),
        block.workspace.as_ref(),
        block.index,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Remembers when a block changes next.
pub(crate) async fn set_next_change(
    conn: &mut PgConnection,
    block: &BlockName,
    next: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into blocks (workspace_id, block, partition, next_change_time)
         values ($1, $2, $3, $4)
         on conflict (workspace_id, block) do update set next_change_time = excluded.next_change_time
         where blocks.next_change_time is distinct from excluded.next_change_time",
        block.workspace.as_ref(),
        block.index,
        block.partition(),
        next,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is stored about one contact.
pub(crate) struct ContactRow {
    pub(crate) ordinal: i32,
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

/// Reads a run of contacts, one after another.
pub(crate) async fn each_contact(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
    mut each: impl FnMut(ContactRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        ContactRow,
        "select ordinal, email, create_time, attributes from contacts
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
        "select ordinal, email, create_time, attributes from contacts
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

/// Reads the events of some contacts, one after another.
pub(crate) async fn each_event_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
    wanted: EventsWanted<'_>,
    mut each: impl FnMut(EventRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        EventRow,
        "select ordinal, event_time, case when $4 then properties end as properties from events
         where workspace_id = $1
             and event_name = $2
             and ordinal = any($3)
             and event_time >= coalesce($5, '-infinity'::timestamptz)",
        workspace.as_ref(),
        wanted.name,
        ordinals,
        wanted.with_properties,
        wanted.since,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Whether a change of everything about one contact, as when it departed, waits for evaluation.
pub(crate) async fn awaits(
    conn: &mut PgConnection,
    block: &BlockName,
    slot: u16,
) -> sqlx::Result<bool> {
    let slots = slot.to_le_bytes();
    sqlx::query_scalar!(
        r#"select exists (
             select from block_changes
             where partition = $1
                 and workspace_id = $2
                 and block = $3
                 and slots = $4
                 and names is null) as "awaits!""#,
        block.partition(),
        block.workspace.as_ref(),
        block.index,
        slots.as_slice(),
    )
    .fetch_one(conn)
    .await
}
