//! Claims against a real Postgres: every partition owned once, whoever comes, goes or is cut off.

mod losing;
mod random_kills;
mod sharing;

use std::collections::BTreeMap;

use cursus_claim::{Claim, Claims, Partition};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Who works on what, as the work itself says: one entry for each work that has begun and not ended.
#[derive(Clone, Default)]
pub(crate) struct Board(watch::Sender<BTreeMap<(u16, u64), &'static str>>);

/// An entry on the board, for as long as the work lives.
pub(crate) struct Entry {
    board: Board,
    key: (u16, u64),
}

impl Board {
    pub(crate) fn enter(&self, partition: Partition, replica: &'static str) -> Entry {
        let mut key = (partition.index(), 0);
        self.0.send_modify(|works| {
            while works.contains_key(&key) {
                key.1 += 1;
            }
            works.insert(key, replica);
        });
        Entry { board: self.clone(), key }
    }

    /// Waits until the replicas hold so many partitions each, and together every partition once.
    pub(crate) async fn wait_for_shares(&self, shares: &[(&str, usize)]) {
        let total: usize = shares.iter().map(|(_, share)| share).sum();
        let holds = |works: &BTreeMap<(u16, u64), &str>| {
            let held_by = |name: &str| works.values().filter(|holder| **holder == name).count();
            works.len() == total && shares.iter().all(|(name, share)| held_by(name) == *share)
        };
        self.0.subscribe().wait_for(|works| holds(works)).await.expect("the board is here");
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.board.0.send_modify(|works| {
            works.remove(&self.key);
        });
    }
}

/// One replica of a service, whose work waits until told to yield.
pub(crate) struct Replica {
    shutdown: CancellationToken,
    task: AbortHandle,
    tasks: JoinSet<()>,
}

impl Replica {
    pub(crate) fn start(pool: &PgPool, partitions: u16, name: &'static str, board: &Board) -> Self {
        let board = board.clone();
        Self::start_with(pool, partitions, move |claim| {
            let entry = board.enter(claim.partition, name);
            async move {
                claim.yielding.cancelled().await;
                drop(claim);
                drop(entry);
                Ok(())
            }
        })
    }

    pub(crate) fn start_with<Work, Done>(pool: &PgPool, partitions: u16, work: Work) -> Self
    where
        Work: Fn(Claim) -> Done + Send + Sync + 'static,
        Done: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let claims = Claims::new(pool, "test", partitions);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let mut tasks = JoinSet::new();
        let task = tasks.spawn(async move { claims.run(stop, work).await });
        Self { shutdown, task, tasks }
    }

    /// As a pod that is asked to end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.join_all().await;
    }

    /// As a pod that is killed.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Ends the connections whose name is like this, and says how many there were.
pub(crate) async fn cut_off(pool: &PgPool, name: &str) -> anyhow::Result<usize> {
    let cut: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name like $1",
    )
    .bind(name)
    .fetch_all(pool)
    .await?;
    Ok(cut.len())
}
