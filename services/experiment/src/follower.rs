//! Following a feed: exposures and evidence are kept together with our place in it, so that each fact takes effect once.

use std::collections::BTreeSet;
use std::time::Duration;

use cursus_ambient::Ambient;
use cursus_claim::Claim;
use cursus_feed::Cursor;
use cursus_ids::WorkspaceId;
use sqlx::{Connection, PgConnection};

use crate::evidence::{Event, earliest};
use crate::peers::{Run, Runs, Source};
use crate::{metrics, store};

/// The pause before a peer that failed is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Follows one feed for all workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) source: Source,
    pub(crate) ambient: Ambient,
}

impl Follower {
    /// Works on the only partition, so that one replica follows.
    pub(crate) async fn work(self, mut claim: Claim) -> anyhow::Result<()> {
        let feed = self.source.feed();
        let yielding = claim.yielding.clone();
        while !yielding.is_cancelled() {
            // Whoever followed before may have gone without a word.
            store::followings::set_connected(&mut claim.conn, feed, false).await?;
            let cursor = cursus_feed::load_cursor(&mut claim.conn, feed).await?;
            match yielding.run_until_cancelled(self.source.open(cursor)).await {
                None => return Ok(()),
                Some(Ok(runs)) => self.follow(&mut claim, cursor, runs).await?,
                Some(Err(error)) => warn(feed, error),
            }
            claim.rest(PAUSE).await;
        }
        Ok(())
    }

    /// Follows until the stream ends; fails when the database does.
    async fn follow(
        &self,
        claim: &mut Claim,
        mut cursor: Cursor,
        mut runs: Runs,
    ) -> anyhow::Result<()> {
        let feed = self.source.feed();
        store::followings::set_connected(&mut claim.conn, feed, true).await?;
        let yielding = claim.yielding.clone();
        while let Some(run) = yielding.run_until_cancelled(runs.next()).await {
            match run {
                Ok(Some(run)) => cursor = self.take(&mut claim.conn, cursor, run).await?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    warn(feed, error);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Keeps a run of facts and how far we have come, in one transaction.
    async fn take(
        &self,
        conn: &mut PgConnection,
        cursor: Cursor,
        run: Run,
    ) -> anyhow::Result<Cursor> {
        let feed = self.source.feed();
        let now = self.ambient.now();
        // What claims to be from the future says nothing about how far the feed has come.
        let latest = run.times.iter().copied().filter(|time| *time <= now).max();
        let mut tx = conn.begin().await?;
        let events = watched(&mut tx, run.events).await?;
        store::evidence::expose(&mut tx, &earliest(run.exposures)).await?;
        store::evidence::keep(&mut tx, &events).await?;
        store::followings::heard(&mut tx, feed, latest).await?;
        cursus_feed::store_cursor(&mut tx, feed, cursor, run.next).await?;
        tx.commit().await?;
        metrics::RUNS.with_label_values(&[feed]).inc();
        Ok(run.next)
    }
}

/// Leaves out events that no experiment of their workspace names, and properties that none sums. What came before an
/// experiment named it is not kept, so an experiment is created before what it counts happens.
async fn watched(conn: &mut PgConnection, events: Vec<Event>) -> Result<Vec<Event>, sqlx::Error> {
    let is_free = |event: &Event| event.experiment.is_none();
    let workspaces: BTreeSet<WorkspaceId> =
        events.iter().filter(|it| is_free(it)).map(|it| it.unit.workspace.clone()).collect();
    if workspaces.is_empty() {
        return Ok(events);
    }
    let watched = store::evidence::watched(conn, &workspaces).await?;
    let keep = |mut event: Event| {
        // What a recipient did with a message was told with its experiment.
        if !is_free(&event) {
            return Some(event);
        }
        let key = (event.unit.workspace.to_string(), event.name.clone());
        let properties = watched.get(&key)?;
        event.micros.retain(|property, _| properties.contains(property));
        Some(event)
    };
    Ok(events.into_iter().filter_map(keep).collect())
}

fn warn(feed: &'static str, error: crate::peers::Error) {
    let error = format!("{:#}", anyhow::Error::new(error));
    tracing::warn!(feed, error, "`{feed}` cannot be followed; trying again");
}
