//! Following what delivery observes: outcomes of messages become events of contacts, each once.

use std::time::Duration;

use cursus_claim::Claim;
use cursus_feed::Cursor;
use sqlx::Connection;

use crate::event::Source;
use crate::events::Events;
use crate::metrics;
use crate::peers::{Delivery, Run, Runs};

/// What our place in the feed is stored under.
const FEED: &str = "delivery.outcomes";
/// The pause before asking delivery again after it failed, or ended the stream.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the outcomes of all workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    pub(crate) delivery: Delivery,
    pub(crate) events: Events,
}

impl Outcomes {
    /// Works on the only partition, so that one replica follows.
    pub(crate) async fn work(self, mut claim: Claim) -> anyhow::Result<()> {
        let yielding = claim.yielding.clone();
        while !yielding.is_cancelled() {
            let cursor = cursus_feed::load_cursor(&mut claim.conn, FEED).await?;
            match yielding.run_until_cancelled(self.delivery.watch(cursor)).await {
                None => {}
                Some(Ok(runs)) => self.follow(&mut claim, cursor, runs).await?,
                Some(Err(error)) => {
                    tracing::warn!(%error, "outcomes cannot be followed; trying again");
                }
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
        let yielding = claim.yielding.clone();
        while let Some(run) = yielding.run_until_cancelled(runs.next()).await {
            match run {
                Ok(Some(run)) => cursor = self.take(claim, cursor, run).await?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "the outcomes broke off; trying again");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Records a run of outcomes, and how far we have come, in one transaction.
    async fn take(&self, claim: &mut Claim, cursor: Cursor, run: Run) -> anyhow::Result<Cursor> {
        let mut tx = claim.conn.begin().await?;
        let mut all = Vec::new();
        for (workspace, drafts) in run.events {
            let recorded =
                self.events.record_in(&mut tx, &workspace, &drafts, Source::Delivery).await?;
            metrics::outcomes_of_nobody(recorded.refused.len());
            all.push(recorded);
        }
        cursus_feed::store_cursor(&mut tx, FEED, cursor, run.next).await?;
        tx.commit().await?;
        for recorded in &all {
            self.events.announce(recorded);
        }
        Ok(run.next)
    }
}
