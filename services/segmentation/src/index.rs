//! Which containers are read for which segment, kept in memory and following Postgres, so that what is read from Redis
//! is what Postgres says. When Postgres has not been heard of for a while, nothing is known any more.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cursus_ids::{SegmentName, WorkspaceId};
use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::bells::{Bells, NewVersion, News};
use crate::error::Error;
use crate::membership::Served;
use crate::ordinals::Ordinals;
use crate::store;

/// How long what was last heard from Postgres is believed.
const BELIEVED: Duration = Duration::from_secs(3);
/// How long a question to Postgres may take when there is nothing to believe.
const PATIENCE: Duration = Duration::from_secs(2);
/// A segment that nobody asks about is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// What this replica knows of the segments it was asked about. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pool: PgPool,
    ordinals: Ordinals,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    segments: HashMap<SegmentName, Entry>,
    /// When a look at all of them began that succeeded.
    verified: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    served: Arc<Served>,
    used: Instant,
}

impl Index {
    pub(crate) fn new(pool: PgPool, ordinals: Ordinals) -> Self {
        Self { pool, ordinals, known: Arc::default() }
    }

    /// What is read for a segment; `None` if it is not ready or does not exist.
    pub(crate) async fn served(&self, segment: &SegmentName) -> Result<Option<Arc<Served>>, Error> {
        if let Some(served) = self.believed(segment) {
            return Ok(Some(served));
        }
        self.reread(segment).await
    }

    /// Asks Postgres what is read for a segment.
    pub(crate) async fn reread(&self, segment: &SegmentName) -> Result<Option<Arc<Served>>, Error> {
        let reading = self.refresh(&segment.workspace, vec![segment.clone()]);
        timeout(PATIENCE, reading).await.map_err(|_| Error::Uncertain)??;
        Ok(self.lock().segments.get(segment).map(|entry| Arc::clone(&entry.served)))
    }

    /// Asks Postgres, by one query, about those of some segments of which nothing is known.
    pub(crate) async fn prepare(&self, segments: &[SegmentName]) -> Result<(), Error> {
        let is_unknown = |segment: &&SegmentName| self.believed(segment).is_none();
        let unknown: Vec<SegmentName> = segments.iter().filter(is_unknown).cloned().collect();
        let Some(workspace) = unknown.first().map(|segment| segment.workspace.clone()) else {
            return Ok(());
        };
        timeout(PATIENCE, self.refresh(&workspace, unknown)).await.map_err(|_| Error::Uncertain)?
    }

    /// Follows Postgres until shutdown: at once what it tells, and everything at each interval.
    pub(crate) async fn follow(
        self,
        bells: Bells,
        poll_interval: Duration,
        shutdown: CancellationToken,
    ) {
        let mut due = interval(poll_interval);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = due.tick() => self.refresh_all().await,
                workspaces = bells.workspaces() => self.refresh_some(workspaces).await,
            };
            if let Err(error) = outcome {
                tracing::warn!(
                    error = cursus_fault::chain(&error),
                    "what is read for segments cannot be followed; trying again"
                );
            }
        }
    }

    fn believed(&self, segment: &SegmentName) -> Option<Arc<Served>> {
        let mut known = self.lock();
        known.verified.filter(|verified| verified.elapsed() < BELIEVED)?;
        let entry = known.segments.get_mut(segment)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.served))
    }

    async fn refresh_all(&self) -> Result<(), Error> {
        let begun = Instant::now();
        for (workspace, segments) in self.held(|_| true) {
            self.refresh(&workspace, segments).await?;
        }
        // With nothing to ask about, too, Postgres must answer to be believed.
        let mut conn = self.pool.acquire().await?;
        store::ping(&mut conn).await?;
        drop(conn);
        let mut known = self.lock();
        known.verified = Some(begun);
        known.segments.retain(|_, entry| entry.used.elapsed() < FORGOTTEN_AFTER);
        Ok(())
    }

    async fn refresh_some(&self, workspaces: BTreeMap<String, News>) -> Result<(), Error> {
        let to_read =
            |name: &SegmentName| workspaces.get(name.workspace.as_ref()) == Some(&News::Something);
        let held = self.held(to_read);
        for (workspace, news) in &workspaces {
            if let (News::Versions(versions), Ok(workspace)) = (news, workspace.parse()) {
                let mut known = self.lock();
                for version in versions {
                    known.hear(&workspace, version);
                }
            }
        }
        for (workspace, segments) in held {
            self.refresh(&workspace, segments).await?;
        }
        Ok(())
    }

    async fn refresh(
        &self,
        workspace: &WorkspaceId,
        segments: Vec<SegmentName>,
    ) -> Result<(), Error> {
        let ids: Vec<String> = segments.iter().map(|name| name.id.to_string()).collect();
        let mut conn = self.pool.acquire().await?;
        let read = store::containers::served(&mut conn, workspace, &ids).await?;
        // Afterwards: where a merged contact is already out of the containers, it is already known which one it became.
        self.ordinals.refresh(&mut conn).await?;
        drop(conn);
        let mut found: HashMap<SegmentName, Served> = read
            .into_iter()
            .map(|(id, served)| (SegmentName::new(workspace.clone(), id), served))
            .collect();
        let mut known = self.lock();
        for segment in segments {
            match found.remove(&segment) {
                Some(served) => known.learn(segment, served),
                None => drop(known.segments.remove(&segment)),
            }
        }
        Ok(())
    }

    fn held(
        &self,
        chosen: impl Fn(&SegmentName) -> bool,
    ) -> BTreeMap<WorkspaceId, Vec<SegmentName>> {
        let mut held: BTreeMap<WorkspaceId, Vec<SegmentName>> = BTreeMap::new();
        for name in self.lock().segments.keys().filter(|name| chosen(name)) {
            held.entry(name.workspace.clone()).or_default().push(name.clone());
        }
        held
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Entries are whole at any moment, whoever panicked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Takes in that a block has another version. What else there is to know of a segment is read.
    fn hear(&mut self, workspace: &WorkspaceId, news: &NewVersion) {
        let segment = SegmentName::new(workspace.clone(), news.segment.clone());
        let Some(entry) = self.segments.get_mut(&segment) else { return };
        if entry.served.revision == news.revision {
            Arc::make_mut(&mut entry.served).hear(news.block, news.version);
        }
    }

    /// Of two that were read at the same time, the one read later stays.
    fn learn(&mut self, segment: SegmentName, served: Served) {
        let now = Instant::now();
        match self.segments.get_mut(&segment) {
            Some(entry) if served.is_as_new_as(&entry.served) => entry.served = Arc::new(served),
            Some(_) => {}
            None => {
                drop(self.segments.insert(segment, Entry { served: Arc::new(served), used: now }));
            }
        }
    }
}
