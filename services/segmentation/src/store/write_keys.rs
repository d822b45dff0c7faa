//! Queries about write keys.

use chrono::{DateTime, Utc};
use cursus_ids::{WorkspaceId, WriteKeyName};
use sqlx::PgConnection;

use super::id;
use crate::error::Error;
use crate::write_key::WriteKey;

struct Row {
    write_key_id: String,
    display_name: String,
    prefix: String,
    create_time: DateTime<Utc>,
    revoke_time: Option<DateTime<Utc>>,
}

impl Row {
    fn into_key(self, workspace: &WorkspaceId) -> Result<WriteKey, Error> {
        Ok(WriteKey {
            name: WriteKeyName::new(workspace.clone(), id(&self.write_key_id)?),
            display_name: self.display_name,
            prefix: self.prefix,
            create_time: self.create_time,
            revoke_time: self.revoke_time,
        })
    }
}

/// Adds a key; says whether its id was free.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    key: &WriteKey,
    sha256: &[u8],
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into write_keys
             (workspace_id, write_key_id, display_name, prefix, secret_sha256, create_time)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (workspace_id, write_key_id) do nothing",
        key.name.workspace.as_ref(),
        key.name.id.as_ref(),
        key.display_name,
        key.prefix,
        sha256,
        key.create_time,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// How many keys of a workspace are not revoked.
pub(crate) async fn count(conn: &mut PgConnection, workspace: &WorkspaceId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from write_keys
           where workspace_id = $1 and revoke_time is null"#,
        workspace.as_ref(),
    )
    .fetch_one(conn)
    .await
}

/// Keys in the order of their ids.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> Result<Vec<WriteKey>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select write_key_id, display_name, prefix, create_time, revoke_time from write_keys
           where workspace_id = $1 and write_key_id collate "C" > $2
           order by write_key_id collate "C"
           limit $3"#,
        workspace.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.into_key(workspace)).collect()
}

/// Revokes a key, unless it is revoked already, and reads it.
pub(crate) async fn revoke(
    conn: &mut PgConnection,
    name: &WriteKeyName,
    now: DateTime<Utc>,
) -> Result<Option<WriteKey>, Error> {
    let row = sqlx::query_as!(
        Row,
        "update write_keys set revoke_time = coalesce(revoke_time, $3)
         where workspace_id = $1 and write_key_id = $2
         returning write_key_id, display_name, prefix, create_time, revoke_time",
        name.workspace.as_ref(),
        name.id.as_ref(),
        now,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.into_key(&name.workspace)).transpose()
}

/// The workspace and the hash of the key that begins like this, unless it is revoked. Whose it is, the key itself says:
/// this alone looks across workspaces.
pub(crate) async fn find(
    conn: &mut PgConnection,
    prefix: &str,
) -> Result<Option<(WorkspaceId, Vec<u8>)>, Error> {
    let row = sqlx::query!(
        "select workspace_id, secret_sha256 from write_keys
         where prefix = $1 and revoke_time is null",
        prefix,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok((id(&row.workspace_id)?, row.secret_sha256))).transpose()
}
