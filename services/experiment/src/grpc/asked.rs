//! A request that changes state: one transaction, in which a repetition gets the first answer.

use cursus_ids::WorkspaceId;
use cursus_once::{Begin, First};
use prost::Message;
use sqlx::{PgPool, Postgres, Transaction};

use crate::error::Error;

/// Whether it was asked before.
pub(super) enum Asked<R> {
    Before(R),
    Now(Answering<R>),
}

/// The transaction in which to carry it out.
pub(super) struct Answering<R> {
    pub(super) tx: Transaction<'static, Postgres>,
    first: First<R>,
}

pub(super) async fn ask<R: Message + Default>(
    pool: &PgPool,
    workspace: &WorkspaceId,
    (request_id, method): (&str, &'static str),
    body: &impl Message,
) -> Result<Asked<R>, Error> {
    let mut tx = pool.begin().await?;
    match cursus_once::begin(&mut tx, workspace.as_ref(), request_id, method, body).await? {
        Begin::Repeat(answer) => Ok(Asked::Before(answer)),
        Begin::First(first) => Ok(Asked::Now(Answering { tx, first })),
    }
}

impl<R: Message> Answering<R> {
    /// Records the answer and commits.
    pub(super) async fn answer(mut self, answer: R) -> Result<R, Error> {
        self.first.finish(&mut self.tx, &answer).await?;
        self.tx.commit().await?;
        Ok(answer)
    }
}
