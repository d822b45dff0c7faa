//! Queries about ordinals whose contact departed: merged into another, or erased.

use std::ops::Range;

use cursus_ids::{ContactId, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use crate::error::Error;

/// A contact that was merged, and the one it became.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) ordinal: i32,
    pub(crate) target_ordinal: i32,
    pub(crate) target: ContactId,
    pub(crate) target_email: String,
}

/// Has the id of a contact, and whatever else stands for it, stand for another one from now on. Both are locked.
pub(crate) async fn insert_merged(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    (source, alias): (i32, &str),
    target: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with moved as (
             update departures set target_ordinal = $4
             where workspace_id = $1 and target_ordinal = $2
         )
         insert into departures (workspace_id, ordinal, alias, target_ordinal)
         values ($1, $2, $3, $4)",
        workspace.as_ref(),
        source,
        alias,
        target,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the ids that stood for a contact, which is locked, and says which they were. Neither its ordinal nor theirs are
/// anybody's from now on.
pub(crate) async fn insert_erased(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinal: i32,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"with erased as (
             insert into departures (workspace_id, ordinal) values ($1, $2)
         ), aliases as (
             select ordinal, alias from departures where workspace_id = $1 and target_ordinal = $2
         ), forgotten as (
             update departures set alias = null, target_ordinal = null
             from aliases
             where workspace_id = $1 and departures.ordinal = aliases.ordinal
         )
         select alias as "alias!" from aliases"#,
        workspace.as_ref(),
        ordinal,
    )
    .fetch_all(conn)
    .await
}

/// The ordinals of a run that are nobody's any more.
pub(crate) async fn within(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar!(
        "select ordinal from departures where workspace_id = $1 and ordinal >= $2 and ordinal < $3",
        workspace.as_ref(),
        ordinals.start,
        ordinals.end,
    )
    .fetch_all(conn)
    .await
}

/// Those of some ordinals that are nobody's any more.
pub(crate) async fn among(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar!(
        "select ordinal from departures where workspace_id = $1 and ordinal = any($2)",
        workspace.as_ref(),
        ordinals,
    )
    .fetch_all(conn)
    .await
}

/// Of some ordinals, those of merged contacts, each with the contact it became.
pub(crate) async fn merged(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
) -> Result<Vec<Merged>, Error> {
    let rows = sqlx::query!(
        "select departures.ordinal, target.ordinal as target_ordinal, target.contact_id, target.email
         from departures
             join contacts as target
                 on target.workspace_id = departures.workspace_id and target.ordinal = target_ordinal
         where departures.workspace_id = $1 and departures.ordinal = any($2)
         order by departures.ordinal",
        workspace.as_ref(),
        ordinals,
    )
    .fetch_all(conn)
    .await?;
    let merged = |ordinal, target_ordinal, contact_id: &str, target_email| {
        Ok(Merged { ordinal, target_ordinal, target: id(contact_id)?, target_email })
    };
    rows.into_iter()
        .map(|row| merged(row.ordinal, row.target_ordinal, &row.contact_id, row.email))
        .collect()
}

/// Every ordinal that some contacts have or had, with the contact's own.
pub(crate) async fn persons(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    targets: &[i32],
) -> sqlx::Result<Vec<(i32, i32)>> {
    let rows = sqlx::query!(
        r#"select ordinal, target_ordinal as "target_ordinal!" from departures
         where workspace_id = $1 and target_ordinal = any($2)"#,
        workspace.as_ref(),
        targets,
    )
    .fetch_all(conn)
    .await?;
    let own = targets.iter().map(|target| (*target, *target));
    Ok(own.chain(rows.into_iter().map(|row| (row.ordinal, row.target_ordinal))).collect())
}

/// Which of some ids stand for another contact, and the ordinal of that.
pub(crate) async fn targets(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> sqlx::Result<Vec<(String, i32)>> {
    let rows = sqlx::query!(
        r#"select alias as "alias!", target_ordinal as "target_ordinal!" from departures
         where workspace_id = $1 and alias = any($2)"#,
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.alias, row.target_ordinal)).collect())
}

/// Which ordinals departed, in any workspace, in transactions that a reader at an earlier horizon may not have seen, and
/// the horizon of this reader: every transaction below it has ended.
pub(crate) async fn since(
    conn: &mut PgConnection,
    horizon: i64,
) -> Result<(Vec<(WorkspaceId, i32)>, i64), Error> {
    let rows = sqlx::query!(
        r#"select horizon.xid::text::bigint as "horizon!", workspace_id as "workspace_id?",
             ordinal as "ordinal?"
         from (select pg_snapshot_xmin(pg_current_snapshot()) as xid) as horizon
             left join departures on departures.xid >= $1::bigint::text::xid8"#,
        horizon,
    )
    .fetch_all(conn)
    .await?;
    let horizon = rows.first().map_or(horizon, |row| row.horizon);
    let departed = rows.into_iter().filter_map(|row| Some((row.workspace_id?, row.ordinal?)));
    let departed = departed.map(|(workspace, ordinal)| Ok((id(&workspace)?, ordinal)));
    Ok((departed.collect::<Result<_, Error>>()?, horizon))
}

/// The ordinals of a workspace whose contacts were erased in transactions that a reader at an earlier horizon may not have
/// seen.
pub(crate) async fn erased_since(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    horizon: i64,
) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar!(
        "select ordinal from departures
         where workspace_id = $1 and alias is null and xid >= $2::bigint::text::xid8",
        workspace.as_ref(),
        horizon,
    )
    .fetch_all(conn)
    .await
}

/// Below which every transaction has ended.
pub(crate) async fn horizon(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!""#
    )
    .fetch_one(conn)
    .await
}
