//! The consumer's side: how far a feed has taken effect, kept where the effect is.

use sqlx::PgConnection;

use crate::{Cursor, Error};

/// How far `feed` has taken effect here; [`Cursor::START`] if it never has.
pub async fn load_cursor(conn: &mut PgConnection, feed: &str) -> Result<Cursor, Error> {
    let token: Option<String> = sqlx::query_scalar("select cursor from cursors where feed = $1")
        .bind(feed)
        .fetch_optional(conn)
        .await?;
    Ok(token.unwrap_or_default().parse()?)
}

/// Moves the cursor from the one loaded to the next, in the transaction of the effect. Should two consumers race, the
/// second waits for the first and then fails with [`Error::Moved`]: roll its transaction back.
pub async fn store_cursor(
    conn: &mut PgConnection,
    feed: &str,
    loaded: Cursor,
    next: Cursor,
) -> Result<(), Error> {
    let statement = if loaded == Cursor::START {
        sqlx::query(
            "insert into cursors (feed, cursor) values ($1, $3)
             on conflict (feed) do update set cursor = excluded.cursor, update_time = now()
             where cursors.cursor = $2",
        )
    } else {
        sqlx::query(
            "update cursors set cursor = $3, update_time = now() where feed = $1 and cursor = $2",
        )
    };
    let stored =
        statement.bind(feed).bind(loaded.to_string()).bind(next.to_string()).execute(conn).await?;
    if stored.rows_affected() == 0 {
        return Err(Error::Moved { feed: feed.to_owned() });
    }
    Ok(())
}
