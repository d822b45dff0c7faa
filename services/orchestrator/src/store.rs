//! Every query, by what it is about. Functions take the connection, so that the caller owns the transaction; they do
//! not read the clock, decide or log.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod campaigns;

/// A value that was well formed when it was stored and is not any more.
fn decoded<T, E>(value: Result<T, E>) -> Result<T, sqlx::Error>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    value.map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A name or an id that may be missing.
fn optional<T>(text: Option<String>) -> Result<Option<T>, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    text.map(|text| decoded(text.parse())).transpose()
}
