//! Suppressions: rows are added and never changed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

use super::decoded;
use crate::address::AddressHash;
use crate::suppression::{Reason, Suppression};

struct Row {
    address_hash: Vec<u8>,
    reason: String,
    create_time: DateTime<Utc>,
}

impl Row {
    fn into_suppression(self) -> Result<Suppression, sqlx::Error> {
        Ok(Suppression {
            address: hash(&self.address_hash)?,
            reason: decoded(self.reason.parse())?,
            create_time: self.create_time,
        })
    }
}

/// Addresses that are suppressed for this reason already stay as they are.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    addresses: &[AddressHash],
    (reason, now): (Reason, DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into suppressions (workspace_id, address_hash, reason, create_time)
         select $1, address_hash, $3::text::suppression_reason, $4
         from unnest($2::bytea[]) as address_hash
         order by address_hash
         on conflict do nothing",
        workspace.as_ref(),
        &bytes(addresses),
        reason.as_str(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The strongest reason, and when it took effect.
pub(crate) async fn get(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    address: AddressHash,
) -> Result<Option<Suppression>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select address_hash, reason::text as "reason!", create_time
         from suppressions
         where workspace_id = $1 and address_hash = $2
         order by suppressions.reason
         limit 1"#,
        workspace.as_ref(),
        address.as_bytes(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_suppression).transpose()
}

/// Why each of these must not be written to; those that may be are left out.
pub(crate) async fn reasons(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    addresses: &[AddressHash],
) -> Result<HashMap<AddressHash, Reason>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select address_hash, min(reason)::text as "reason!"
         from suppressions
         where workspace_id = $1 and address_hash = any($2)
         group by address_hash"#,
        workspace.as_ref(),
        &bytes(addresses),
    )
    .fetch_all(conn)
    .await?;
    let read = |row: (Vec<u8>, String)| Ok((hash(&row.0)?, decoded(row.1.parse())?));
    rows.into_iter().map(|row| read((row.address_hash, row.reason))).collect()
}

/// Each address once, with its strongest reason, those before `before` in time.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    before: Option<(DateTime<Utc>, AddressHash)>,
    limit: i64,
) -> Result<Vec<Suppression>, sqlx::Error> {
    let (time, address) = before.unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"select address_hash, reason::text as "reason!", create_time
         from suppressions
         where workspace_id = $1
             and ($2::timestamptz is null or (create_time, address_hash) < ($2, $3::bytea))
             and not exists (
                 select from suppressions as stronger
                 where stronger.workspace_id = $1
                     and stronger.address_hash = suppressions.address_hash
                     and stronger.reason < suppressions.reason)
         order by create_time desc, address_hash desc
         limit $4"#,
        workspace.as_ref(),
        time,
        address.as_ref().map(|address| address.as_bytes().as_slice()),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_suppression).collect()
}

pub(super) fn bytes(addresses: &[AddressHash]) -> Vec<Vec<u8>> {
    addresses.iter().map(|address| address.as_bytes().to_vec()).collect()
}

pub(super) fn hash(bytes: &[u8]) -> Result<AddressHash, sqlx::Error> {
    decoded(AddressHash::from_bytes(bytes).ok_or("an address hash has another length"))
}
