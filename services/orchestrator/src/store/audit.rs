//! The record.

use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

use crate::audit::Entry;

/// The end of a workspace's chain, locked for the transaction.
pub(crate) async fn head(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<(i64, Vec<u8>), sqlx::Error> {
    sqlx::query!(
        "insert into audit_heads (workspace_id, sequence, hash) values ($1, 0, '')
         on conflict do nothing",
        workspace.as_ref(),
    )
    .execute(&mut *conn)
    .await?;
    let row = sqlx::query!(
        "select sequence, hash from audit_heads where workspace_id = $1 for update",
        workspace.as_ref(),
    )
    .fetch_one(conn)
    .await?;
    Ok((row.sequence, row.hash))
}

pub(crate) async fn append(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    entry: &Entry,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with appended as (
             insert into audit_entries
                 (workspace_id, sequence, entry_time, subject, action, resource, detail, hash)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
         )
         update audit_heads set sequence = $2, hash = $8 where workspace_id = $1",
        workspace.as_ref(),
        entry.sequence,
        entry.time,
        entry.subject,
        entry.action,
        entry.resource,
        entry.detail,
        entry.hash,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: i64,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        "select sequence, entry_time as time, subject, action, resource, detail, hash
         from audit_entries
         where workspace_id = $1 and sequence > $2
         order by sequence
         limit $3",
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}
