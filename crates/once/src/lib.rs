//! Anything that changes state takes a request id: repeating it returns the first answer, repeating it with another
//! body is an error.
//!
//! [`begin`] comes first in the transaction that changes the state, [`First::finish`] last. If the transaction rolls
//! back, nothing was asked: only successes are remembered, and a refused request may be tried again under its id.
//! A duplicate that arrives while the first still runs waits for it, inside `begin`.
//!
//! An **empty** request id means that the caller does not want this: the request is carried out, nothing is recorded,
//! and a repetition is carried out again.
//!
//! Bodies are compared as encoded, so messages with `map` fields must be generated with `btree_map`: the entries of a
//! `HashMap` are encoded in another order each time.
//!
//! A service has this table, word for word, in a migration, and calls [`forget_before`] about every hour:
//!
//! ```sql
#![doc = include_str!("../schema/requests.sql")]
//! ```

use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use prost::Message;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

/// What can go wrong, and the status a service should answer with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `INVALID_ARGUMENT`, `MALFORMED_REQUEST_ID`.
    #[error("the request id is not a UUID as in RFC 9562")]
    Malformed,
    /// `ALREADY_EXISTS`, `REQUEST_ID_REUSED`.
    #[error("the request id was already used for another request")]
    Reused,
    /// The first request committed without [`First::finish`], or what it stored is not an `R`. `INTERNAL`.
    #[error("the first answer to this request id was not recorded")]
    Unanswered,
    /// `INTERNAL`, or `UNAVAILABLE` for a lost connection.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Whether the request is new.
#[derive(Debug)]
pub enum Begin<R> {
    /// Carry it out, then [`First::finish`] with the answer.
    First(First<R>),
    /// It was carried out before; this was the answer.
    Repeat(R),
}

/// The duty to record the answer.
#[derive(Debug)]
#[must_use = "the answer must be recorded with `finish`"]
pub struct First<R> {
    key: Option<(String, Uuid)>,
    answer: PhantomData<fn() -> R>,
}

/// Asks whether this is the first time, in the caller's transaction. The method distinguishes requests whose bodies are
/// equal by chance; its name, such as `CreateSegment`, will do.
pub async fn begin<R: Message + Default>(
    conn: &mut PgConnection,
    workspace_id: &str,
    request_id: &str,
    method: &'static str,
    body: &impl Message,
) -> Result<Begin<R>, Error> {
    if request_id.is_empty() {
        return Ok(Begin::First(First { key: None, answer: PhantomData }));
    }
    let request_id = parse(request_id)?;
    let body_sha256 = Sha256::digest(body.encode_to_vec());
    let inserted = sqlx::query(
        "insert into requests (workspace_id, request_id, method, body_sha256)
         values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(workspace_id)
    .bind(request_id)
    .bind(method)
    .bind(&body_sha256[..])
    .execute(&mut *conn)
    .await?;
    if inserted.rows_affected() == 1 {
        let key = Some((workspace_id.to_owned(), request_id));
        return Ok(Begin::First(First { key, answer: PhantomData }));
    }
    let first = recorded(conn, workspace_id, request_id).await?;
    if first.method != method || first.body_sha256 != body_sha256[..] {
        return Err(Error::Reused);
    }
    let response = first.response.ok_or(Error::Unanswered)?;
    Ok(Begin::Repeat(R::decode(response.as_slice()).map_err(|_| Error::Unanswered)?))
}

impl<R: Message> First<R> {
    /// Records the answer, in the same transaction.
    pub async fn finish(self, conn: &mut PgConnection, response: &R) -> Result<(), Error> {
        let Some((workspace_id, request_id)) = self.key else { return Ok(()) };
        sqlx::query(
            "update requests set response = $3 where workspace_id = $1 and request_id = $2",
        )
        .bind(workspace_id)
        .bind(request_id)
        .bind(response.encode_to_vec())
        .execute(conn)
        .await?;
        Ok(())
    }
}

/// Forgets requests recorded before a time, at most ten thousand per call, and says how many. A caller may repeat a
/// request for as long as it is remembered, so keep at least a day.
pub async fn forget_before(conn: &mut PgConnection, time: DateTime<Utc>) -> Result<u64, Error> {
    let forgotten = sqlx::query(
        "delete from requests where (workspace_id, request_id) in (
             select workspace_id, request_id from requests
             where create_time < $1
             order by create_time
             limit 10000
         )",
    )
    .bind(time)
    .execute(conn)
    .await?;
    Ok(forgotten.rows_affected())
}

#[derive(sqlx::FromRow)]
struct Recorded {
    method: String,
    body_sha256: Vec<u8>,
    response: Option<Vec<u8>>,
}

async fn recorded(
    conn: &mut PgConnection,
    workspace_id: &str,
    request_id: Uuid,
) -> Result<Recorded, sqlx::Error> {
    sqlx::query_as(
        "select method, body_sha256, response from requests
         where workspace_id = $1 and request_id = $2",
    )
    .bind(workspace_id)
    .bind(request_id)
    .fetch_one(conn)
    .await
}

/// RFC 9562 writes a UUID one way: 36 characters with hyphens. The nil one names nothing.
fn parse(request_id: &str) -> Result<Uuid, Error> {
    let id = Uuid::try_parse(request_id).map_err(|_| Error::Malformed)?;
    if request_id.len() != 36 || id.is_nil() {
        return Err(Error::Malformed);
    }
    Ok(id)
}

#[cfg(test)]
mod tests;
