//! Partitions claimed by Postgres advisory locks: who does the background work.
//!
//! Every replica runs the same [`Claims`]; together they own each partition once, in fair shares, without
//! configuration and without a leader. A [`Claim`] is a connection whose session holds the partition's lock, and the
//! partition's writes go through that connection and no other: whoever loses it can no longer write, and whoever claims
//! the partition next cannot begin before the server has let go of the lock.
//!
//! What does not go through the connection is not fenced: an effect elsewhere (a call, an e-mail) can still be under way
//! for the moment until the loss is noticed, so its intent must be committed through the connection first.
//!
//! The connections are the service's own, beside its pool (one per partition owned, and one to look around), and must
//! reach Postgres itself or a proxy in session mode.

mod control;
mod replica;
mod share;

use std::fmt;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

/// One of the parts that background work is divided into, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

/// The work of one service that is divided into partitions.
#[derive(Clone, Debug)]
pub struct Claims {
    options: PgConnectOptions,
    namespace: &'static str,
    partitions: u16,
}

/// The right to do one partition's work, until this is dropped.
#[derive(Debug)]
pub struct Claim {
    pub partition: Partition,
    /// Its session holds the lock. All of the partition's writes go through it.
    pub conn: PgConnection,
    /// Cancelled when another replica should take over, or at shutdown: finish the unit of work and return.
    pub yielding: CancellationToken,
}

impl Partition {
    pub const fn index(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Claims {
    /// The namespace, such as `delivery.messages`, tells apart the kinds of work in one database. The number of
    /// partitions bounds how many replicas can share the work.
    pub fn new(pool: &PgPool, namespace: &'static str, partitions: u16) -> Self {
        Self { options: control::durable(&pool.connect_options()), namespace, partitions }
    }

    /// Claims this replica's share and does `work` for each claim, each in a task of its own, until shutdown; then waits
    /// for the work to return.
    ///
    /// The work is expected to go on until its claim is yielding. When it returns sooner the partition is free to be
    /// claimed again, by this replica or another: soon after `Ok`, and after a growing pause after an error, which is
    /// logged here. When the connection is lost the work is dropped wherever it stands.
    pub async fn run<Work, Done>(&self, shutdown: CancellationToken, work: Work)
    where
        Work: Fn(Claim) -> Done,
        Done: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        replica::run(self, &shutdown, &work).await;
    }
}

impl Claim {
    /// Waits, or less if the claim is to be yielded meanwhile.
    pub async fn rest(&self, duration: Duration) {
        self.yielding.run_until_cancelled(tokio::time::sleep(duration)).await;
    }
}
