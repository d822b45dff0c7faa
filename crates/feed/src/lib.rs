//! Facts in order: an append-only table, and the cursor that never skips a late commit.
//!
//! A service [`append`]s what happened in the transaction that makes it so, and serves it from a `Watch…` method with
//! [`Feed::follow`]. Where there are many such transactions at once, they had better
//! [append unannounced](append_unannounced) and [announce](Feed::announce) once they are committed. The service that
//! watches takes the effect and [`store_cursor`]s in one transaction, so each fact takes effect once.
//!
//! Facts are ordered by (transaction id, sequence) and a reader stops at the oldest transaction still running, so a
//! transaction that began earlier and commits later is waited for rather than skipped. The oldest transaction that
//! *writes*, in any database of the same Postgres server, holds every reader back: keep transactions short. Read only
//! from the primary, and do not publish from sessions with `synchronous_commit = off`.
//!
//! A service that publishes has these tables, word for word, in a migration, and calls [`maintain()`] at the start and
//! then about every hour:
//!
//! ```sql
#![doc = include_str!("../schema/facts.sql")]
//! ```
//!
//! A service that watches has this one:
//!
//! ```sql
#![doc = include_str!("../schema/cursors.sql")]
//! ```

mod cursor;
mod follow;
mod herald;
mod log;
mod maintain;
mod watermark;

pub use cursor::{Cursor, MalformedCursor};
pub use follow::Feed;
pub use herald::Herald;
pub use log::{Entry, Fact, Page, Topic, append, append_unannounced, blank, latest, read, wake};
pub use maintain::maintain;
pub use watermark::{load_cursor, store_cursor};

/// What can go wrong with a feed, and the status a service should answer with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `INVALID_ARGUMENT`, `MALFORMED_CURSOR`.
    #[error(transparent)]
    Malformed(#[from] MalformedCursor),
    /// Facts after the cursor are past their retention, so going on would skip them: the watcher must rebuild from the
    /// resources and start anew. `FAILED_PRECONDITION`, `CURSOR_EXPIRED`.
    #[error("facts after the cursor are no longer kept")]
    Expired,
    /// The cursor names a fact this topic never had: it belongs to another topic, or this database was restored to an
    /// earlier time. `FAILED_PRECONDITION`, `CURSOR_UNKNOWN`.
    #[error("the cursor is ahead of the feed")]
    Unknown,
    /// Someone else stored a cursor for this feed since it was loaded: roll back, load again. `ABORTED`, if ever told.
    #[error("another consumer moved the cursor of `{feed}`")]
    Moved { feed: String },
    /// `INTERNAL`, or `UNAVAILABLE` for a lost connection.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}
