//! Every query, by what it is about. Functions take the connection, so that the caller owns the transaction; they do not
//! read the clock, decide or log.

pub(crate) mod templates;
pub(crate) mod versions;

/// The most bytes of a page that stand before its last item. An item has at most about one MiB, and clients accept four.
const PAGE_BYTES: i64 = 2 << 20;

/// A value that was well formed when it was stored and is not any more.
fn decoded<T, E>(value: Result<T, E>) -> Result<T, sqlx::Error>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    value.map_err(|error| sqlx::Error::Decode(error.into()))
}
