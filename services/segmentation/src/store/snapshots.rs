//! Queries about snapshots.

use chrono::{DateTime, Utc};
use cursus_ids::{SegmentId, SnapshotId, SnapshotName, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use crate::error::Error;
use crate::snapshot::Snapshot;

/// A block of a snapshot that has members, packed.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) index: i32,
    pub(crate) members: Vec<u8>,
    /// In the order of the snapshot's labels.
    pub(crate) labels: Vec<Vec<u8>>,
}

/// Keeps a snapshot, unless there is one of its name.
pub(crate) async fn insert(conn: &mut PgConnection, snapshot: &Snapshot) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into snapshots
             (workspace_id, snapshot_id, include, exclude, labels, member_count, label_counts,
              revisions, create_time, expire_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict do nothing",
        snapshot.name.workspace.as_ref(),
        snapshot.name.id.as_ref(),
        &texts(&snapshot.include),
        &texts(&snapshot.exclude),
        &texts(&snapshot.labels),
        snapshot.member_count,
        &snapshot.label_counts,
        &snapshot.revisions,
        snapshot.create_time,
        snapshot.expire_time,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Keeps a block of a snapshot.
pub(crate) async fn insert_block(
    conn: &mut PgConnection,
    name: &SnapshotName,
    block: &Block,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into snapshot_blocks (workspace_id, snapshot_id, block, members, labels)
         values ($1, $2, $3, $4, $5)",
        name.workspace.as_ref(),
        name.id.as_ref(),
        block.index,
        block.members,
        &block.labels,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    name: &SnapshotName,
) -> Result<Option<Snapshot>, Error> {
    let row = sqlx::query!(
        "select include, exclude, labels, member_count, label_counts, revisions, create_time,
             expire_time
         from snapshots
         where workspace_id = $1 and snapshot_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Snapshot {
        name: name.clone(),
        include: ids(&row.include)?,
        exclude: ids(&row.exclude)?,
        labels: ids(&row.labels)?,
        member_count: row.member_count,
        label_counts: row.label_counts,
        revisions: row.revisions,
        create_time: row.create_time,
        expire_time: row.expire_time,
    }))
}

/// Up to `limit` blocks, from one on.
pub(crate) async fn blocks(
    conn: &mut PgConnection,
    name: &SnapshotName,
    first: i32,
    limit: i64,
) -> sqlx::Result<Vec<Block>> {
    sqlx::query_as!(
        Block,
        "select block as index, members, labels from snapshot_blocks
         where workspace_id = $1 and snapshot_id = $2 and block >= $3
         order by block
         limit $4",
        name.workspace.as_ref(),
        name.id.as_ref(),
        first,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// The members of a snapshot in some blocks, packed.
pub(crate) async fn members_of(
    conn: &mut PgConnection,
    name: &SnapshotName,
    blocks: &[i32],
) -> sqlx::Result<Vec<(i32, Vec<u8>)>> {
    let rows = sqlx::query!(
        "select block, members from snapshot_blocks
         where workspace_id = $1 and snapshot_id = $2 and block = any($3)",
        name.workspace.as_ref(),
        name.id.as_ref(),
        blocks,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.block, row.members)).collect())
}

/// Up to `limit` snapshots of a workspace that have members in a block, in the order of their ids, with these.
pub(crate) async fn with_block(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    block: i32,
    (after, limit): (&str, i64),
) -> Result<Vec<(SnapshotId, Vec<u8>)>, Error> {
    let rows = sqlx::query!(
        "select snapshot_id, members from snapshot_blocks
         where workspace_id = $1 and snapshot_id > $2 and block = $3
         order by snapshot_id
         limit $4",
        workspace.as_ref(),
        after,
        block,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((id(&row.snapshot_id)?, row.members))).collect()
}

/// Locks a snapshot, and reads one of its blocks.
pub(crate) async fn lock_block(
    conn: &mut PgConnection,
    name: &SnapshotName,
    block: i32,
) -> sqlx::Result<Option<Block>> {
    let locked = sqlx::query!(
        "select from snapshots where workspace_id = $1 and snapshot_id = $2 for update",
        name.workspace.as_ref(),
        name.id.as_ref(),
    );
    locked.fetch_optional(&mut *conn).await?;
    sqlx::query_as!(
        Block,
        "select block as index, members, labels from snapshot_blocks
         where workspace_id = $1 and snapshot_id = $2 and block = $3",
        name.workspace.as_ref(),
        name.id.as_ref(),
        block,
    )
    .fetch_optional(conn)
    .await
}

/// Writes a block of a snapshot, which is locked.
pub(crate) async fn update_block(
    conn: &mut PgConnection,
    name: &SnapshotName,
    block: &Block,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update snapshot_blocks set members = $4, labels = $5
         where workspace_id = $1 and snapshot_id = $2 and block = $3",
        name.workspace.as_ref(),
        name.id.as_ref(),
        block.index,
        block.members,
        &block.labels,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts one member less, and of each label as many less as are told.
pub(crate) async fn count_less(
    conn: &mut PgConnection,
    name: &SnapshotName,
    labels: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "update snapshots
         set member_count = member_count - 1,
             label_counts = array(
                 select count - less
                 from unnest(label_counts, $3::bigint[]) with ordinality as label (count, less, place)
                 order by place)
         where workspace_id = $1 and snapshot_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
        labels,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes some snapshots whose time has passed, and says how many.
pub(crate) async fn delete_expired(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from snapshots where (workspace_id, snapshot_id) in (
             select workspace_id, snapshot_id from snapshots
             where expire_time < $1
             order by expire_time
             limit 100
         )",
        now,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

fn texts(ids: &[SegmentId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn ids(texts: &[String]) -> Result<Vec<SegmentId>, Error> {
    texts.iter().map(|text| id(text)).collect()
}
