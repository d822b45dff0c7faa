//! Waking other processes after a commit, and not with it.
//!
//! A transaction that notifies holds a lock over its whole database while it commits, until that is on disk: however many
//! there are, they commit one after another. What a reader would find by polling anyway need not pay for that. It is told
//! afterwards by a transaction of its own, which has nothing to put on disk, and together with whatever else there is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// When so much waits to be told, readers poll.
const MOST: usize = 4_096;

/// Sends notifications that may be lost. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Herald {
    news: Arc<Mutex<BTreeSet<(&'static str, String)>>>,
    is_told: Arc<Notify>,
}

impl Herald {
    pub fn new() -> Self {
        Self::default()
    }

    /// Has whoever listens to a channel be notified soon: equal notifications once, and none at all should this process
    /// or the database fail before. At most 8,000 bytes.
    pub fn tell(&self, channel: &'static str, payload: String) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if news.len() < MOST {
            news.insert((channel, payload));
        }
        drop(news);
        self.is_told.notify_one();
    }

    /// Sends what is told, until shutdown. Run it once as a task of the service.
    pub async fn run(self, pool: PgPool, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(self.is_told.notified()).await.is_some() {
            let news =
                std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
            let (channels, payloads): (Vec<&str>, Vec<String>) = news.into_iter().unzip();
            let sending = sqlx::query(
                "select pg_notify(channel, payload)
                 from unnest($1::text[], $2::text[]) as news (channel, payload)",
            );
            if let Err(error) = sending.bind(channels).bind(payloads).execute(&pool).await {
                tracing::warn!(%error, "could not wake other replicas, which will find out by polling");
            }
        }
    }
}
