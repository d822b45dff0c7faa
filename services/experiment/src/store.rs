//! Every query, by what it is about. Functions take the connection, so that the caller owns the transaction; they do
//! not read the clock, decide or log.

pub(crate) mod aggregates;
pub(crate) mod allocations;
pub(crate) mod assignments;
pub(crate) mod audit;
pub(crate) mod census;
pub(crate) mod curves;
pub(crate) mod evidence;
pub(crate) mod experiments;
pub(crate) mod followings;
pub(crate) mod layers;
pub(crate) mod looks;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;

/// Has every query of this transaction join by hashing. Just after many facts came Postgres still takes tables for empty,
/// and would then look at every outcome again for every exposure; and compiling takes longer than counting.
async fn join_by_hashing(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "select set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true)",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A value that was well formed when it was stored and is not any more.
fn decoded<T, E>(value: Result<T, E>) -> Result<T, sqlx::Error>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    value.map_err(|error| sqlx::Error::Decode(error.into()))
}

fn from_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, sqlx::Error> {
    decoded(serde_json::from_value(value))
}

fn to_json<T: Serialize>(value: &T) -> Result<serde_json::Value, sqlx::Error> {
    serde_json::to_value(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// A count, which is never negative.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
