//! Queries about the revisions of segments' rules, and which revisions of other segments they mean.

use chrono::{DateTime, Utc};
use cursus_ids::{SegmentId, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use super::segments::Revision;
use crate::error::Error;
use crate::grpc::rule;

/// Keeps the rule of a revision, and which revisions of other segments it means.
pub(crate) async fn insert_revision(
    conn: &mut PgConnection,
    (workspace, revision): (&WorkspaceId, &Revision),
    rule: &cursus_audience::Rule,
    references: &[Revision],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (ids, numbers): (Vec<String>, Vec<i64>) =
        references.iter().map(|it| (it.segment.to_string(), it.number)).unzip();
    sqlx::query!(
        "insert into segment_revisions
             (workspace_id, segment_id, revision, rule, reference_ids, reference_revisions, create_time)
         values ($1, $2, $3, $4, $5, $6, $7)",
        workspace.as_ref(),
        revision.segment.as_ref(),
        revision.number,
        rule::to_bytes(rule),
        &ids,
        &numbers,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The segments whose rules refer to this one, with the revisions in force.
pub(crate) async fn dependents(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    segment: &SegmentId,
) -> Result<Vec<Revision>, Error> {
    let rows = sqlx::query!(
        "select segment_id, revision
         from segments join segment_revisions using (workspace_id, segment_id, revision)
         where workspace_id = $1 and reference_ids @> array[$2::text] and delete_time is null
         order by segment_id",
        workspace.as_ref(),
        segment.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Revision { segment: id(&row.segment_id)?, number: row.revision }))
        .collect()
}

/// The revisions in force of those of the segments that exist.
pub(crate) async fn in_force(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    segments: &[String],
) -> Result<Vec<Revision>, Error> {
    let rows = sqlx::query!(
        "select segment_id, revision from segments
         where workspace_id = $1 and segment_id = any($2) and delete_time is null",
        workspace.as_ref(),
        segments,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Revision { segment: id(&row.segment_id)?, number: row.revision }))
        .collect()
}

/// Has the next revision in force, of a segment that itself was not changed.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    revision: &Revision,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update segments set revision = $3, update_time = $4, writes = writes + 1
         where workspace_id = $1 and segment_id = $2",
        workspace.as_ref(),
        revision.segment.as_ref(),
        revision.number,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` segments by their ids.
pub(crate) async fn ids(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    limit: i64,
) -> Result<Vec<SegmentId>, Error> {
    let ids = sqlx::query_scalar!(
        "select segment_id from segments
         where workspace_id = $1 and delete_time is null
         order by segment_id
         limit $2",
        workspace.as_ref(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    ids.iter().map(|text| id(text)).collect()
}

/// The rules of revisions, whether or not they are in force, each with the revisions of other segments it means.
pub(crate) async fn rules(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    revisions: &[Revision],
) -> Result<Vec<(Revision, cursus_audience::Rule, Vec<Revision>)>, Error> {
    let (ids, numbers): (Vec<String>, Vec<i64>) =
        revisions.iter().map(|it| (it.segment.to_string(), it.number)).unzip();
    let rows = sqlx::query!(
        "select segment_id, revision, rule, reference_ids, reference_revisions
         from segment_revisions
             join unnest($2::text[], $3::bigint[]) as wanted (segment_id, revision)
                 using (segment_id, revision)
         where workspace_id = $1",
        workspace.as_ref(),
        &ids,
        &numbers,
    )
    .fetch_all(conn)
    .await?;
    let revision = |text: &str, number| Ok::<_, Error>(Revision { segment: id(text)?, number });
    rows.into_iter()
        .map(|row| {
            let references = row.reference_ids.iter().zip(row.reference_revisions);
            Ok((
                revision(&row.segment_id, row.revision)?,
                rule::from_bytes(&row.rule)?,
                references
                    .map(|(text, number)| revision(text, number))
                    .collect::<Result<_, _>>()?,
            ))
        })
        .collect()
}
