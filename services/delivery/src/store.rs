//! Every query, by what it is about. Functions take the connection, so that the caller owns the transaction; they do not
//! read the clock, decide or log.

pub(crate) mod broadcasts;
pub(crate) mod engagements;
pub(crate) mod messages;
pub(crate) mod planning;
pub(crate) mod senders;
pub(crate) mod sending;
pub(crate) mod suppressions;

use sqlx::PgConnection;

/// A value that was well formed when it was stored and is not any more.
pub(crate) fn decoded<T, E>(value: Result<T, E>) -> Result<T, sqlx::Error>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    value.map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Fits a connection to a lane. Statements take as long as they take: a result that is not recorded because somebody
/// else's transaction was slow is a message in doubt. And each finds its few rows by key: a plan made when a table was
/// small must not read all of it when it is large.
pub(crate) async fn fit_for_lane(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config(name, value, false)
         from (values
             ('statement_timeout', '0'),
             ('lock_timeout', '0'),
             ('enable_seqscan', 'off'),
             ('enable_hashjoin', 'off'),
             ('enable_mergejoin', 'off')
         ) as setting (name, value)"
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Waits for those who share the gate of a broadcast to commit, and keeps them out until this transaction has.
pub(crate) async fn close_gate(conn: &mut PgConnection, gate: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock($1)", gate).fetch_one(conn).await?;
    Ok(())
}

/// Shares the gate of a broadcast until this transaction ends. What is read by the statements after it is what whoever
/// last closed the gate left behind.
pub(crate) async fn share_gate(conn: &mut PgConnection, gate: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", gate).fetch_one(conn).await?;
    Ok(())
}
