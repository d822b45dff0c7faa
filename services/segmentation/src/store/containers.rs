//! Queries about containers: who of a block is in a segment.

use chrono::{DateTime, Utc};
use cursus_audience::Bitset;
use cursus_ids::{SegmentId, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use super::segments::Revision;
use crate::block::BlockName;
use crate::error::Error;
use crate::membership::{Place, Served, Version, digest};

/// A container without its members.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    pub(crate) revision: Revision,
    pub(crate) next_change_time: Option<DateTime<Utc>>,
}

/// A container to be written.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) revision: Revision,
    pub(crate) members: Bitset,
    pub(crate) next_change_time: Option<DateTime<Utc>>,
}

/// Every container of a block, without members.
pub(crate) async fn outlines(
    conn: &mut PgConnection,
    block: &BlockName,
) -> Result<Vec<Outline>, Error> {
    let rows = sqlx::query!(
        "select segment_id, revision, next_change_time from containers
         where workspace_id = $1 and block = $2",
        block.workspace.as_ref(),
        block.index,
    )
    .fetch_all(conn)
    .await?;
    let outline = |segment_id: String, number, next_change_time| {
        let revision = Revision { segment: id(&segment_id)?, number };
        Ok(Outline { revision, next_change_time })
    };
    rows.into_iter()
        .map(|row| outline(row.segment_id, row.revision, row.next_change_time))
        .collect()
}

/// The members of some revisions in a block.
pub(crate) async fn members(
    conn: &mut PgConnection,
    block: &BlockName,
    revisions: &[Revision],
) -> Result<Vec<(Revision, Bitset)>, Error> {
    let (segments, numbers) = columns(revisions);
    let rows = sqlx::query!(
        "select segment_id, revision, members
         from containers
             join unnest($3::text[], $4::bigint[]) as wanted (segment_id, revision)
                 using (segment_id, revision)
         where workspace_id = $1 and block = $2",
        block.workspace.as_ref(),
        block.index,
        &segments,
        &numbers,
    )
    .fetch_all(conn)
    .await?;
    let members = |segment_id: String, number, members: &[u8]| {
        let revision = Revision { segment: id(&segment_id)?, number };
        Ok((revision, Bitset::from_roaring_bytes(members)?))
    };
    rows.into_iter().map(|row| members(row.segment_id, row.revision, &row.members)).collect()
}

/// Writes members, and says under which versions. Replicas that serve them are told when the transaction commits.
pub(crate) async fn write(
    conn: &mut PgConnection,
    block: &BlockName,
    writes: &[Write],
) -> Result<Vec<(Revision, Version)>, Error> {
    let revisions: Vec<Revision> = writes.iter().map(|write| write.revision.clone()).collect();
    let (segments, numbers) = columns(&revisions);
    let counts: Vec<i32> =
        writes.iter().map(|write| i32::try_from(write.members.len()).unwrap_or(i32::MAX)).collect();
    let members: Vec<Vec<u8>> =
        writes.iter().map(|write| write.members.to_roaring_bytes()).collect();
    let digests: Vec<i64> = members.iter().map(|members| digest(members)).collect();
    let next: Vec<Option<DateTime<Utc>>> =
        writes.iter().map(|write| write.next_change_time).collect();
    let rows = sqlx::query!(
        "with written as (
             insert into containers
                 (workspace_id, block, segment_id, revision, digest, member_count, members, next_change_time)
             select $1, $2, * from unnest(
                 $3::text[], $4::bigint[], $5::bigint[], $6::int[], $7::bytea[], $8::timestamptz[])
             on conflict (workspace_id, segment_id, revision, block) do update
             set version = excluded.version,
                 digest = excluded.digest,
                 member_count = excluded.member_count,
                 members = excluded.members,
                 next_change_time = excluded.next_change_time
             returning segment_id, revision, version, digest
         ), told as (
             select pg_notify('containers', $1)
         )
         select segment_id, revision, version, digest from written cross join told",
        block.workspace.as_ref(),
        block.index,
        &segments,
        &numbers,
        &digests,
        &counts,
        &members,
        &next as _,
    )
    .fetch_all(conn)
    .await?;
    let version = |segment_id: String, number, version| {
        Ok((Revision { segment: id(&segment_id)?, number }, version))
    };
    rows.into_iter()
        .map(|row| {
            let number = Version { number: row.version, digest: row.digest };
            version(row.segment_id, row.revision, number)
        })
        .collect()
}

/// Remembers when members change next that have not changed.
pub(crate) async fn set_next_changes(
    conn: &mut PgConnection,
    block: &BlockName,
    changes: &[(Revision, Option<DateTime<Utc>>)],
) -> sqlx::Result<()> {
    let revisions: Vec<Revision> = changes.iter().map(|(revision, _)| revision.clone()).collect();
    let (segments, numbers) = columns(&revisions);
    let next: Vec<Option<DateTime<Utc>>> = changes.iter().map(|(_, next)| *next).collect();
    sqlx::query!(
        "update containers set next_change_time = changed.next_change_time
         from unnest($3::text[], $4::bigint[], $5::timestamptz[])
             as changed (segment_id, revision, next_change_time)
         where workspace_id = $1
             and block = $2
             and containers.segment_id = changed.segment_id
             and containers.revision = changed.revision
             and containers.next_change_time is distinct from changed.next_change_time",
        block.workspace.as_ref(),
        block.index,
        &segments,
        &numbers,
        &next as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes containers of a block that nobody reads any more.
pub(crate) async fn delete(
    conn: &mut PgConnection,
    block: &BlockName,
    revisions: &[Revision],
) -> sqlx::Result<()> {
    let (segments, numbers) = columns(revisions);
    sqlx::query!(
        "delete from containers using unnest($3::text[], $4::bigint[]) as old (segment_id, revision)
         where workspace_id = $1
             and block = $2
             and containers.segment_id = old.segment_id
             and containers.revision = old.revision",
        block.workspace.as_ref(),
        block.index,
        &segments,
        &numbers,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Tells replicas, when the transaction commits, that other containers are read in a workspace.
pub(crate) async fn notify(conn: &mut PgConnection, workspace: &WorkspaceId) -> sqlx::Result<()> {
    sqlx::query!("select pg_notify('containers', $1)", workspace.as_ref()).execute(conn).await?;
    Ok(())
}

/// Which containers are read for some segments of a workspace, at one moment. Segments that are not ready are left out.
pub(crate) async fn served(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    segments: &[String],
) -> Result<Vec<(SegmentId, Served)>, Error> {
    let rows = sqlx::query!(
        r#"select segment_id, ready_revision as "revision!", block as "block?", version as "version?",
             digest as "digest?"
         from segments
             left join (select workspace_id, segment_id, revision as ready_revision, block, version, digest
                 from containers) as containers using (workspace_id, segment_id, ready_revision)
         where workspace_id = $1
             and segment_id = any($2)
             and ready_revision is not null
             and delete_time is null
         order by segment_id"#,
        workspace.as_ref(),
        segments,
    )
    .fetch_all(conn)
    .await?;
    let mut served: Vec<(SegmentId, Served)> = Vec::new();
    for row in rows {
        if served.last().is_none_or(|(segment, _)| segment.as_ref() != row.segment_id) {
            served.push((id(&row.segment_id)?, Served::of(row.revision)));
        }
        if let (Some((_, served)), Some(block), Some(number), Some(digest)) =
            (served.last_mut(), row.block, row.version, row.digest)
        {
            served.versions.insert(block, Version { number, digest });
        }
    }
    Ok(served)
}

/// The members of a segment's revision in some blocks, each with the version it has now.
pub(crate) async fn members_of(
    conn: &mut PgConnection,
    place: &Place,
    blocks: &[i32],
) -> Result<Vec<(i32, Version, Bitset)>, Error> {
    let rows = sqlx::query!(
        "select block, version, digest, members from containers
         where workspace_id = $1 and segment_id = $2 and revision = $3 and block = any($4)",
        place.segment.workspace.as_ref(),
        place.segment.id.as_ref(),
        place.revision,
        blocks,
    )
    .fetch_all(conn)
    .await?;
    let members =
        |block, version, members: &[u8]| Ok((block, version, Bitset::from_roaring_bytes(members)?));
    rows.into_iter()
        .map(|row| {
            let version = Version { number: row.version, digest: row.digest };
            members(row.block, version, &row.members)
        })
        .collect()
}

/// The members of a segment that is ready, packed, block after block.
pub(crate) async fn all_members(
    conn: &mut PgConnection,
    segment: &cursus_ids::SegmentName,
) -> sqlx::Result<Vec<(i32, Vec<u8>)>> {
    let rows = sqlx::query!(
        "select block, members
         from segments
             join containers using (workspace_id, segment_id)
         where workspace_id = $1
             and segment_id = $2
             and delete_time is null
             and containers.revision = ready_revision
         order by block",
        segment.workspace.as_ref(),
        segment.id.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.block, row.members)).collect())
}

/// The members of every container of a block, packed.
pub(crate) async fn of_block(
    conn: &mut PgConnection,
    block: &BlockName,
) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar!(
        "select members from containers where workspace_id = $1 and block = $2",
        block.workspace.as_ref(),
        block.index,
    )
    .fetch_all(conn)
    .await
}

fn columns(revisions: &[Revision]) -> (Vec<String>, Vec<i64>) {
    revisions.iter().map(|revision| (revision.segment.to_string(), revision.number)).unzip()
}
