//! How well feeds are followed. By the database's clock, because it is about the network, not about what happened.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// How a feed is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Following {
    pub(crate) is_connected: bool,
    /// Whether nothing came for two seconds.
    pub(crate) is_quiet: bool,
    /// When the latest fact happened that was told.
    pub(crate) latest_time: Option<DateTime<Utc>>,
}

/// The connection was made or lost.
pub(crate) async fn set_connected(
    conn: &mut PgConnection,
    feed: &str,
    is_connected: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into followings (feed, is_connected, heard_time)
         values ($1, $2, clock_timestamp())
         on conflict (feed) do update
         set is_connected = excluded.is_connected, heard_time = excluded.heard_time",
        feed,
        is_connected,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A run of facts came.
pub(crate) async fn heard(
    conn: &mut PgConnection,
    feed: &str,
    latest: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update followings
         set heard_time = clock_timestamp(), latest_time = greatest(latest_time, $2)
         where feed = $1",
        feed,
        latest,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    feed: &str,
) -> Result<Option<Following>, sqlx::Error> {
    sqlx::query_as!(
        Following,
        r#"select is_connected, heard_time < clock_timestamp() - interval '2 seconds' as "is_quiet!", latest_time
         from followings
         where feed = $1"#,
        feed,
    )
    .fetch_optional(conn)
    .await
}
