//! How well feeds are followed. By the database's clock, because it is about the network, not about what happened.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// How a feed is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Following {
    /// Whether somebody is connected to the peer, whose claim still holds.
    pub(crate) is_connected: bool,
    /// Whether nothing came for two seconds.
    pub(crate) is_quiet: bool,
    /// Whether nothing newer than what came before has come for a minute.
    pub(crate) is_stale: bool,
    /// When the latest fact happened that was told.
    pub(crate) latest_time: Option<DateTime<Utc>>,
}

/// The connection was made or lost by the session that asks, which holds the claim.
pub(crate) async fn set_connected(
    conn: &mut PgConnection,
    feed: &str,
    is_connected: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into followings (feed, is_connected, heard_time, advance_time, session_pid, session_start_time)
         select $1, $2, clock_timestamp(), clock_timestamp(), pid, backend_start
         from pg_stat_activity
         where pid = pg_backend_pid()
         on conflict (feed) do update
         set is_connected = excluded.is_connected, heard_time = excluded.heard_time,
             advance_time = excluded.advance_time, session_pid = excluded.session_pid,
             session_start_time = excluded.session_start_time",
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
         set heard_time = clock_timestamp(), latest_time = greatest(latest_time, $2),
             advance_time = case
                 when $2 > coalesce(latest_time, '-infinity') then clock_timestamp()
                 else advance_time
             end
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
        r#"select is_connected and exists (
                    select from pg_stat_activity join pg_locks using (pid)
                    where pid = followings.session_pid and backend_start = followings.session_start_time
                      and locktype = 'advisory' and granted
                ) as "is_connected!",
                heard_time < clock_timestamp() - interval '2 seconds' as "is_quiet!",
                coalesce(advance_time < clock_timestamp() - interval '1 minute', false) as "is_stale!", latest_time
         from followings
         where feed = $1"#,
        feed,
    )
    .fetch_optional(conn)
    .await
}
