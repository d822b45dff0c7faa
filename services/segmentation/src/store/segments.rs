//! Queries about segments and the revisions of their rules.

use chrono::{DateTime, Utc};
use cursus_ids::{SegmentId, SegmentName, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use crate::error::Error;
use crate::grpc::rule;
use crate::segment::{Draft, Etag, Segment};

/// A revision of a segment's rule that is to be followed: the one in force, or the one still read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Revision {
    pub(crate) segment: SegmentId,
    pub(crate) number: i64,
}

struct Row {
    segment_id: String,
    display_name: String,
    rule: Vec<u8>,
    revision: i64,
    ready_revision: Option<i64>,
    ready_time: Option<DateTime<Utc>>,
    member_count: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
    writes: i64,
}

/// Up to `limit` segments in the order of their ids.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> Result<Vec<Segment>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select segment_id, display_name, rule, revision, ready_revision, ready_time,
             segments.create_time, update_time, writes,
             (select coalesce(sum(member_count), 0) from containers
              where workspace_id = $1 and segment_id = segments.segment_id
                  and revision = segments.revision)::bigint as "member_count!"
         from segments join segment_revisions using (workspace_id, segment_id, revision)
         where workspace_id = $1 and segment_id > $2 and delete_time is null
         order by segment_id
         limit $3"#,
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| segment(workspace, row)).collect()
}

/// The segments with these ids that exist, in no order.
pub(crate) async fn by_id(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> Result<Vec<Segment>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select segment_id, display_name, rule, revision, ready_revision, ready_time,
             segments.create_time, update_time, writes,
             (select coalesce(sum(member_count), 0) from containers
              where workspace_id = $1 and segment_id = segments.segment_id
                  and revision = segments.revision)::bigint as "member_count!"
         from segments join segment_revisions using (workspace_id, segment_id, revision)
         where workspace_id = $1 and segment_id = any($2) and delete_time is null"#,
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| segment(workspace, row)).collect()
}

/// Creates a segment and says which revision its rule is, unless there is one with its id. A deleted one goes on.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    draft: &Draft,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "insert into segments
             (workspace_id, segment_id, display_name, revision, create_time, update_time, writes)
         values ($1, $2, $3, 1, $4, $4, 1)
         on conflict (workspace_id, segment_id) do update
         set display_name = excluded.display_name,
             revision = segments.revision + 1,
             ready_revision = null,
             ready_time = null,
             create_time = excluded.create_time,
             update_time = excluded.update_time,
             delete_time = null,
             writes = segments.writes + 1
         where segments.delete_time is not null
         returning revision",
        draft.name.workspace.as_ref(),
        draft.name.id.as_ref(),
        draft.display_name.as_ref(),
        now,
    )
    .fetch_optional(conn)
    .await
}

/// Writes the display name and the number of the rule in force.
pub(crate) async fn update(
    conn: &mut PgConnection,
    name: &SegmentName,
    display_name: &str,
    revision: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update segments
         set display_name = $3, revision = $4, update_time = $5, writes = writes + 1
         where workspace_id = $1 and segment_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
        display_name,
        revision,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes a segment.
pub(crate) async fn delete(
    conn: &mut PgConnection,
    name: &SegmentName,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update segments
         set delete_time = $3, ready_revision = null, ready_time = null, writes = writes + 1
         where workspace_id = $1 and segment_id = $2 and delete_time is null",
        name.workspace.as_ref(),
        name.id.as_ref(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every revision of the workspace that is to be followed, and whether it is the one that is read.
pub(crate) async fn followed(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<Vec<(Revision, bool)>, Error> {
    let rows = sqlx::query!(
        r#"select segment_id as "segment_id!", number as "number!",
             number is not distinct from ready_revision as "is_ready!"
         from segments cross join lateral (values (revision), (ready_revision)) as revisions (number)
         where workspace_id = $1 and delete_time is null and number is not null
         group by segment_id, number, ready_revision
         order by segment_id, number"#,
        workspace.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let revision = Revision { segment: id(&row.segment_id)?, number: row.number };
            Ok((revision, row.is_ready))
        })
        .collect()
}

/// Up to `limit` ids of segments that are read, after one.
pub(crate) async fn ready_ids(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> Result<Vec<SegmentId>, Error> {
    let ids = sqlx::query_scalar!(
        "select segment_id from segments
         where workspace_id = $1
             and segment_id > $2
             and delete_time is null
             and ready_revision is not null
         order by segment_id
         limit $3",
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    ids.iter().map(|text| id(text)).collect()
}

/// Whether there is or was a segment of this name.
pub(crate) async fn is_known(conn: &mut PgConnection, name: &SegmentName) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
             select from segments where workspace_id = $1 and segment_id = $2
         ) as "is_known!""#,
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_one(conn)
    .await
}

/// The segments of which a revision is computed in every block and not read yet.
pub(crate) async fn computed(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<Vec<SegmentName>, Error> {
    let ids = sqlx::query_scalar!(
        "select segment_id from segments
         where workspace_id = $1
             and ready_revision is distinct from revision
             and delete_time is null
             and (select count(*) from containers
                  where containers.workspace_id = segments.workspace_id
                      and containers.segment_id = segments.segment_id
                      and containers.revision = segments.revision)
                 >= coalesce((select (contact_count + 65535) / 65536 from workspaces
                     where workspaces.workspace_id = segments.workspace_id), 0)
         order by segment_id",
        workspace.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    ids.iter().map(|text| Ok(SegmentName::new(workspace.clone(), id(text)?))).collect()
}

/// Has every evaluation of a workspace's blocks that writes be either committed or not begun to write. Comes before
/// anything is written in a transaction that puts one revision in the place of another: facts are told in the order in
/// which transactions begin to write.
pub(crate) async fn exclude_evaluations(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtext('evaluation'), hashtext($1))",
        workspace.as_ref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has nobody put revisions of some workspaces in the place of others until the evaluation is committed. Comes before
/// the evaluation writes anything.
pub(crate) async fn exclude_promotions(
    conn: &mut PgConnection,
    workspaces: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtext('evaluation'), hashtext(workspace_id))
         from (select distinct workspace_id from unnest($1::text[]) as workspaces (workspace_id)
             order by workspace_id) as workspaces",
        workspaces,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks a segment against whoever else has another revision of it read or computes one in a block for the first time,
/// and says which revision is in force and which is read.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    name: &SegmentName,
) -> sqlx::Result<Option<(i64, Option<i64>)>> {
    let row = sqlx::query!(
        "select revision, ready_revision from segments
         where workspace_id = $1 and segment_id = $2 and delete_time is null
         for update",
        name.workspace.as_ref(),
        name.id.as_ref(),
    );
    Ok(row.fetch_optional(conn).await?.map(|row| (row.revision, row.ready_revision)))
}

/// Holds on to the revisions that are read of some segments, as they were when the transaction began to read; fails if
/// one was replaced since.
pub(crate) async fn hold(conn: &mut PgConnection, segments: &[SegmentName]) -> sqlx::Result<()> {
    let workspaces: Vec<String> =
        segments.iter().map(|segment| segment.workspace.to_string()).collect();
    let ids: Vec<String> = segments.iter().map(|segment| segment.id.to_string()).collect();
    sqlx::query!(
        "select segments.segment_id from segments
             join unnest($1::text[], $2::text[]) as held (workspace_id, segment_id)
                 using (workspace_id, segment_id)
         order by segments.workspace_id, segments.segment_id
         for share of segments",
        &workspaces,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Has a revision read.
pub(crate) async fn set_ready(
    conn: &mut PgConnection,
    name: &SegmentName,
    revision: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update segments set ready_revision = $3, ready_time = $4
         where workspace_id = $1 and segment_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
        revision,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The workspaces that have segments being computed.
pub(crate) async fn computing(conn: &mut PgConnection) -> Result<Vec<WorkspaceId>, Error> {
    let ids = sqlx::query_scalar!(
        "select distinct workspace_id from segments
         where ready_revision is distinct from revision and delete_time is null",
    )
    .fetch_all(conn)
    .await?;
    ids.iter().map(|text| id(text)).collect()
}

fn segment(workspace: &WorkspaceId, row: Row) -> Result<Segment, Error> {
    Ok(Segment {
        name: SegmentName::new(workspace.clone(), id(&row.segment_id)?),
        display_name: row.display_name,
        rule: rule::from_bytes(&row.rule)?,
        revision: row.revision,
        ready_revision: row.ready_revision,
        ready_time: row.ready_time,
        member_count: row.member_count,
        create_time: row.create_time,
        update_time: row.update_time,
        etag: Etag(row.writes),
    })
}
