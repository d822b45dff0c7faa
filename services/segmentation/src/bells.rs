//! What Postgres tells by notification: that blocks of a partition changed, and that containers of a workspace did.
//! Whoever waits for a bell also looks by itself now and then, so a lost notification costs time and nothing else.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::block::PARTITIONS;

/// The pause before listening again after the connection was lost.
const PAUSE: Duration = Duration::from_secs(1);

/// The bells of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bells {
    partitions: Arc<Vec<watch::Sender<()>>>,
    workspaces: Arc<watch::Sender<BTreeSet<String>>>,
}

impl Bells {
    pub(crate) fn new() -> Self {
        let partitions = (0..PARTITIONS).map(|_| watch::Sender::new(())).collect();
        Self { partitions: Arc::new(partitions), workspaces: Arc::default() }
    }

    /// Rings when blocks of a partition changed.
    pub(crate) fn partition(&self, index: u16) -> watch::Receiver<()> {
        self.partitions[usize::from(index % PARTITIONS)].subscribe()
    }

    /// Waits until containers changed somewhere, and says in which workspaces.
    pub(crate) async fn workspaces(&self) -> BTreeSet<String> {
        let mut rung = self.workspaces.subscribe();
        // The sender is our own, so it is there.
        let _ = rung.wait_for(|workspaces| !workspaces.is_empty()).await;
        let mut taken = BTreeSet::new();
        self.workspaces.send_if_modified(|workspaces| {
            taken = std::mem::take(workspaces);
            false
        });
        taken
    }

    /// Rings the bells as Postgres says, over one connection taken from the pool, until shutdown.
    pub(crate) async fn listen(self, pool: PgPool, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let Some(heard) = shutdown.run_until_cancelled(self.hear(&pool)).await else { return };
            let Err(error) = heard;
            tracing::warn!(%error, "lost the connection that listens for changes; polling meanwhile");
            shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }

    async fn hear(&self, pool: &PgPool) -> Result<Infallible, sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen_all(["block_changes", "containers"]).await?;
        self.ring_partitions();
        loop {
            let Some(heard) = listener.try_recv().await? else {
                self.ring_partitions();
                continue;
            };
            match heard.channel() {
                "containers" => self.workspaces.send_modify(|workspaces| {
                    workspaces.insert(heard.payload().to_owned());
                }),
                _ => self.ring_partition(heard.payload()),
            }
        }
    }

    fn ring_partition(&self, index: &str) {
        let partition = index.parse::<usize>().ok().and_then(|index| self.partitions.get(index));
        if let Some(partition) = partition {
            partition.send_replace(());
        }
    }

    fn ring_partitions(&self) {
        for partition in self.partitions.iter() {
            partition.send_replace(());
        }
    }
}
