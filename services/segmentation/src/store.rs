//! Every query. Nothing here reads the clock, decides, or logs.

pub(crate) mod accounts;
pub(crate) mod attributes;
pub(crate) mod blocks;
pub(crate) mod changes;
pub(crate) mod contacts;
pub(crate) mod containers;
pub(crate) mod deal_contacts;
pub(crate) mod deals;
pub(crate) mod departures;
pub(crate) mod erasures;
pub(crate) mod events;
pub(crate) mod revisions;
pub(crate) mod segments;
pub(crate) mod snapshots;
pub(crate) mod transitions;
pub(crate) mod write_keys;

use std::str::FromStr;

use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

use crate::error::Error;

/// Locks a workspace against whoever else adds contacts or segments, and says how many contacts it has had.
pub(crate) async fn lock_workspace(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "insert into workspaces (workspace_id) values ($1)
         on conflict (workspace_id) do update set workspace_id = excluded.workspace_id
         returning contact_count",
        workspace.as_ref(),
    )
    .fetch_one(conn)
    .await
}

/// How many contacts a workspace has had: their ordinals are all below.
pub(crate) async fn contact_count(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> sqlx::Result<i32> {
    let count = sqlx::query_scalar!(
        "select contact_count from workspaces where workspace_id = $1",
        workspace.as_ref(),
    );
    Ok(count.fetch_optional(conn).await?.unwrap_or(0))
}

/// Whether the database answers.
pub(crate) async fn ping(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::Connection::ping(conn).await
}

/// Reads a stored id.
fn id<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Corrupt("id"))
}

/// Where something is in an array of Postgres.
fn position(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
