//! Following a feed as it grows: woken by notifications, polling in case one is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Cursor, Error, Herald, Page, Topic, log};

/// The longest a fact waits when its notification was lost.
const POLL: Duration = Duration::from_secs(1);
/// The first wait when facts are withheld by a transaction that will usually end at once; doubled up to [`POLL`].
const IMPATIENT: Duration = Duration::from_millis(5);
/// The most facts of a page, which is all that a follower holds in memory.
const LIMIT: u16 = 500;
/// How long a filter may leave out everything before the watcher is told how far it has come all the same, so that its
/// cursor does not grow older than the facts.
const PROGRESS: Duration = Duration::from_secs(10);
/// What Postgres calls it when there are new facts.
const CHANNEL: &str = "facts";
/// Counts what concerns every topic, such as having been deaf for a while. No topic has this name.
const ALL: &str = "";

/// A service's own feed, for its `Watch…` methods. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    pool: PgPool,
    rings: Arc<watch::Sender<BTreeMap<String, u64>>>,
    herald: Herald,
}

impl Feed {
    pub fn new(pool: PgPool) -> Self {
        Self { pool, rings: Arc::default(), herald: Herald::new() }
    }

    /// What tells other processes.
    pub fn herald(&self) -> &Herald {
        &self.herald
    }

    /// Wakes whoever follows a topic, here at once and elsewhere soon: what was appended is committed.
    pub fn announce(&self, topic: Topic) {
        self.ring(topic.name());
        self.herald.tell(CHANNEL, topic.name().to_owned());
    }

    /// Wakes every follower in this process when facts are appended, over one connection taken from the pool, and those
    /// of others when they are announced here, until shutdown. Run it once as a task of the service; without it
    /// followers only poll.
    pub async fn listen(self, shutdown: CancellationToken) {
        let telling = self.herald.clone().run(self.pool.clone(), shutdown.clone());
        tokio::join!(telling, self.hear_all(shutdown));
    }

    async fn hear_all(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let Some(heard) = shutdown.run_until_cancelled(self.hear()).await else { return };
            let Err(error) = heard;
            tracing::warn!(%error, "lost the connection that listens for facts; polling meanwhile");
            shutdown.run_until_cancelled(tokio::time::sleep(POLL)).await;
        }
    }

    /// The facts after a cursor, of one workspace or of all, then new ones as they commit, up to 500 at a time. A page
    /// may be empty: it then tells how far the feed was read without finding any. Reads only as fast as the stream is
    /// polled, ends on shutdown, and ends after an error: the watcher comes back with its last cursor.
    pub fn follow(
        &self,
        topic: Topic,
        workspace_id: Option<String>,
        after: Cursor,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<Page, Error>> + Send + 'static {
        let follower = Follower {
            rings: self.rings.subscribe(),
            feed: self.clone(),
            topic,
            workspace_id,
            told: after,
            told_time: Instant::now(),
            next: after,
        };
        stream::try_unfold(follower, move |mut follower| {
            let shutdown = shutdown.clone();
            async move {
                let page = shutdown.run_until_cancelled(follower.page()).await.transpose()?;
                Ok(page.map(|page| (page, follower)))
            }
        })
    }

    async fn hear(&self) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        self.ring(ALL);
        loop {
            match listener.try_recv().await? {
                Some(notification) => self.ring(notification.payload()),
                None => self.ring(ALL),
            }
        }
    }

    fn ring(&self, topic: &str) {
        self.rings.send_modify(|rings| *rings.entry(topic.to_owned()).or_default() += 1);
    }
}

struct Follower {
    feed: Feed,
    rings: watch::Receiver<BTreeMap<String, u64>>,
    topic: Topic,
    workspace_id: Option<String>,
    told: Cursor,
    told_time: Instant,
    next: Cursor,
}

impl Follower {
    async fn page(&mut self) -> Result<Page, Error> {
        let mut patience = IMPATIENT;
        loop {
            // Counted before reading, so that a fact committed during the read is not slept through.
            let rung = count(&self.rings.borrow_and_update(), self.topic);
            let page = self.read().await?;
            self.next = page.next;
            let is_due = self.next != self.told && self.told_time.elapsed() >= PROGRESS;
            if is_due || !page.facts.is_empty() {
                self.told = self.next;
                self.told_time = Instant::now();
                return Ok(page);
            }
            self.wait(rung, if page.withheld { patience } else { POLL }).await;
            patience = (patience * 2).min(POLL);
        }
    }

    async fn read(&self) -> Result<Page, Error> {
        let mut conn = self.feed.pool.acquire().await?;
        let workspace_id = self.workspace_id.as_deref();
        log::read(&mut conn, self.topic, workspace_id, self.next, LIMIT).await
    }

    async fn wait(&mut self, rung: u64, pause: Duration) {
        let topic = self.topic;
        let again = self.rings.wait_for(|rings| count(rings, topic) != rung);
        // Running out of time is polling. The sender cannot go away, for `feed` holds it.
        let _ = tokio::time::timeout(pause, again).await;
    }
}

fn count(rings: &BTreeMap<String, u64>, topic: Topic) -> u64 {
    [topic.name(), ALL].into_iter().filter_map(|name| rings.get(name)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, append};

    #[sqlx::test(migrations = false)]
    async fn what_is_announced_rings_here_at_once_and_in_other_processes_soon(pool: PgPool) {
        let (here, there) = (Feed::new(pool.clone()), Feed::new(pool.clone()));
        let shutdown = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        let mut rings = there.rings.subscribe();
        tasks.spawn(there.clone().listen(shutdown.clone()));
        rings.wait_for(|rings| rings.contains_key(ALL)).await.unwrap();
        tasks.spawn(here.clone().listen(shutdown.clone()));

        here.announce(Topic::new("outcomes"));
        assert_eq!(here.rings.borrow().get("outcomes"), Some(&1));
        rings.wait_for(|rings| rings.contains_key("outcomes")).await.unwrap();
        shutdown.cancel();
        tasks.join_all().await;
    }

    #[sqlx::test(migrations = false)]
    async fn a_commit_rings_for_its_topic_only(pool: PgPool) {
        sqlx::raw_sql(include_str!("../schema/facts.sql")).execute(&pool).await.unwrap();
        let feed = Feed::new(pool.clone());
        let mut rings = feed.rings.subscribe();
        let shutdown = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(feed.clone().listen(shutdown.clone()));
        rings.wait_for(|rings| rings.contains_key(ALL)).await.unwrap();

        let entry = Entry { workspace_id: "acme".into(), kind: "happened", payload: vec![] };
        let mut tx = pool.begin().await.unwrap();
        for _ in 0..3 {
            append(&mut tx, Topic::new("outcomes"), &[entry.clone(), entry.clone()]).await.unwrap();
        }
        tx.commit().await.unwrap();

        let rings = rings.wait_for(|rings| count(rings, Topic::new("outcomes")) > 1).await.unwrap();
        assert_eq!(*rings, BTreeMap::from([(ALL.to_owned(), 1), ("outcomes".to_owned(), 1)]));
        drop(rings);
        shutdown.cancel();
        tasks.join_all().await;
    }
}
