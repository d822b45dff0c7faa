//! Forbidding mail to an address, and asking whether it is forbidden.

use chrono::{DateTime, Utc};
use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

use crate::address::AddressHash;
use crate::error::Error;
use crate::store;
use crate::suppression::{Reason, Suppression};

/// Suppressing what is suppressed is no mistake: the strongest reason is shown.
pub(crate) async fn create(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    address: AddressHash,
    (reason, now): (Reason, DateTime<Utc>),
) -> Result<Suppression, Error> {
    store::suppressions::insert(conn, workspace, &[address], (reason, now)).await?;
    get(conn, workspace, address).await
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    address: AddressHash,
) -> Result<Suppression, Error> {
    let suppression = store::suppressions::get(conn, workspace, address).await?;
    suppression.ok_or_else(|| Error::NoSuch { what: "suppression", name: address.to_string() })
}
