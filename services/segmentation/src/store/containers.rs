//! Queries about containers: who of a block is in a segment.

use cursus_audience::Bitset;
use cursus_ids::{SegmentId, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use super::segments::Revision;
use crate::block::BlockName;
use crate::drift::{Drift, Form};
use crate::error::Error;
use crate::membership::{Place, Served, Stored, Version, digest};

/// A container to be written.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) block: BlockName,
    pub(crate) revision: Revision,
    pub(crate) members: Bitset,
    /// A container that is new is whole.
    pub(crate) form: Form,
    /// Whether it is the revision that is read; counts only for a container that is new.
    pub(crate) served: bool,
    /// What is stored so far; nothing if there is no container yet.
    pub(crate) stored: Option<Version>,
}

/// Members as they are stored.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    members: Vec<u8>,
    turned: Vec<u8>,
}

impl Packed {
    pub(crate) fn unpack(&self) -> Result<(Bitset, Drift), Error> {
        let mut members = Bitset::from_roaring_bytes(&self.members)?;
        let drift = Drift::unpack(&self.turned)?;
        drift.apply(&mut members);
        Ok((members, drift))
    }
}

/// The members of every revision that are stored of a block.
pub(crate) async fn members(
    conn: &mut PgConnection,
    block: &BlockName,
) -> Result<Vec<(Revision, Stored)>, Error> {
    let rows = sqlx::query!(
        "select segment_id, revision, version, digest, members, turned from containers
         where workspace_id = $1 and block = $2",
        block.workspace.as_ref(),
        block.index,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let revision = Revision { segment: id(&row.segment_id)?, number: row.revision };
            let version = Version { number: row.version, digest: row.digest };
            let (members, drift) = Packed { members: row.members, turned: row.turned }.unpack()?;
            Ok((revision, Stored { members, drift, version }))
        })
        .collect()
}

/// Writes members, and says under which versions, in the same order. Replicas that serve them are to be told once the
/// transaction is committed.
///
/// Containers that are there already are updated, never added again: whoever has put another revision in their place
/// since this transaction began to read makes it fail.
pub(crate) async fn write(
    conn: &mut PgConnection,
    writes: &[Write],
) -> Result<Vec<Version>, Error> {
    let workspaces: Vec<String> =
        writes.iter().map(|write| write.block.workspace.to_string()).collect();
    let blocks: Vec<i32> = writes.iter().map(|write| write.block.index).collect();
    let segments: Vec<String> =
        writes.iter().map(|write| write.revision.segment.to_string()).collect();
    let numbers: Vec<i64> = writes.iter().map(|write| write.revision.number).collect();
    let served: Vec<bool> = writes.iter().map(|write| write.served).collect();
    let fresh: Vec<bool> = writes.iter().map(|write| write.stored.is_none()).collect();
    let counts: Vec<i32> =
        writes.iter().map(|write| i32::try_from(write.members.len()).unwrap_or(i32::MAX)).collect();
    let packed = |write: &Write| match &write.form {
        Form::Whole => (Some(write.members.to_roaring_bytes()), Vec::new()),
        Form::Beside(turned) => (None, turned.clone()),
    };
    let (members, turned): (Vec<Option<Vec<u8>>>, Vec<Vec<u8>>) = writes.iter().map(packed).unzip();
    let digests: Vec<i64> = writes.iter().map(|write| digest(&write.members)).collect();
    let rows = sqlx::query!(
        r#"with changed as (
             select *, nextval('container_versions') as version
             from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::int[],
                     $7::bytea[], $8::bytea[], $9::bool[], $10::bool[])
                 with ordinality as changed (workspace_id, block, segment_id, revision, digest,
                     member_count, members, turned, served, fresh, position)
         ), updated as (
             update containers
             set version = changed.version,
                 digest = changed.digest,
                 member_count = changed.member_count,
                 members = coalesce(changed.members, containers.members),
                 turned = changed.turned
             from changed
             where containers.workspace_id = changed.workspace_id
                 and containers.segment_id = changed.segment_id
                 and containers.revision = changed.revision
                 and containers.block = changed.block
                 and not fresh
             returning containers.version
         ), added as (
             insert into containers
                 (workspace_id, block, segment_id, revision, version, digest, member_count, members,
                  served)
             select workspace_id, block, segment_id, revision, version, digest, member_count,
                 members, served
             from changed
             where fresh
             returning version
         )
         select version as "version!", digest as "digest!"
         from changed
             join (select version from updated union all select version from added) as written
                 using (version)
         order by position"#,
        &workspaces,
        &blocks,
        &segments,
        &numbers,
        &digests,
        &counts,
        &members as _,
        &turned,
        &served,
        &fresh,
    )
    .fetch_all(conn)
    .await?;
    if rows.len() != writes.len() {
        // Nobody but the owner of a block deletes its containers without telling it.
        return Err(Error::Corrupt("set of containers"));
    }
    Ok(rows.into_iter().map(|row| Version { number: row.version, digest: row.digest }).collect())
}

/// Has a revision's containers be those of the segment: what changes in them from now on are transitions. Returns the
/// members by block, and makes evaluations fail that write them and have not seen this.
pub(crate) async fn serve(
    conn: &mut PgConnection,
    place: &Place,
) -> Result<Vec<(i32, Bitset)>, Error> {
    let rows = sqlx::query!(
        "update containers set served = true
         where workspace_id = $1 and segment_id = $2 and revision = $3
         returning block, members, turned",
        place.segment.workspace.as_ref(),
        place.segment.id.as_ref(),
        place.revision,
    )
    .fetch_all(conn)
    .await?;
    let read = |block, packed: &Packed| Ok((block, packed.unpack()?.0));
    rows.into_iter()
        .map(|row| read(row.block, &Packed { members: row.members, turned: row.turned }))
        .collect()
}

/// Deletes a revision's containers, which are read no more, and returns the members by block.
pub(crate) async fn retire(
    conn: &mut PgConnection,
    place: &Place,
) -> Result<Vec<(i32, Bitset)>, Error> {
    let rows = sqlx::query!(
        "delete from containers where workspace_id = $1 and segment_id = $2 and revision = $3
         returning block, members, turned",
        place.segment.workspace.as_ref(),
        place.segment.id.as_ref(),
        place.revision,
    )
    .fetch_all(conn)
    .await?;
    let read = |block, packed: &Packed| Ok((block, packed.unpack()?.0));
    rows.into_iter()
        .map(|row| read(row.block, &Packed { members: row.members, turned: row.turned }))
        .collect()
}

/// Deletes the containers of a block except those of some revisions: nobody reads them any more.
pub(crate) async fn delete_others(
    conn: &mut PgConnection,
    block: &BlockName,
    revisions: &[Revision],
) -> sqlx::Result<()> {
    let segments: Vec<String> =
        revisions.iter().map(|revision| revision.segment.to_string()).collect();
    let numbers: Vec<i64> = revisions.iter().map(|revision| revision.number).collect();
    sqlx::query!(
        "delete from containers
         where workspace_id = $1
             and block = $2
             and not exists (
                 select from unnest($3::text[], $4::bigint[]) as kept (segment_id, revision)
                 where kept.segment_id = containers.segment_id
                     and kept.revision = containers.revision
             )",
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
        "select block, version, digest, members, turned from containers
         where workspace_id = $1 and segment_id = $2 and revision = $3 and block = any($4)",
        place.segment.workspace.as_ref(),
        place.segment.id.as_ref(),
        place.revision,
        blocks,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let version = Version { number: row.version, digest: row.digest };
            let packed = Packed { members: row.members, turned: row.turned };
            Ok((row.block, version, packed.unpack()?.0))
        })
        .collect()
}

/// The members of a segment that is ready, packed, block after block.
pub(crate) async fn all_members(
    conn: &mut PgConnection,
    segment: &cursus_ids::SegmentName,
) -> sqlx::Result<Vec<(i32, Packed)>> {
    let rows = sqlx::query!(
        "select block, members, turned
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
    let packed = |members, turned| Packed { members, turned };
    Ok(rows.into_iter().map(|row| (row.block, packed(row.members, row.turned))).collect())
}

/// The members of every container of a block, packed.
pub(crate) async fn of_block(
    conn: &mut PgConnection,
    block: &BlockName,
) -> sqlx::Result<Vec<Packed>> {
    sqlx::query_as!(
        Packed,
        "select members, turned from containers where workspace_id = $1 and block = $2",
        block.workspace.as_ref(),
        block.index,
    )
    .fetch_all(conn)
    .await
}
