//! Background work: evaluating blocks here; erasing, keeping house and following outcomes in the modules below.

pub(crate) mod erasing;
pub(crate) mod housekeeping;
pub(crate) mod outcomes;

use std::time::Duration;

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use cursus_claim::Claim;
use tokio::sync::watch;

use crate::bells::Bells;
use crate::block::BlockName;
use crate::error::Error;
use crate::evaluation::Evaluator;
use crate::store;

/// How many blocks are taken up at once, so that none waits for ever behind those that change all the time.
const BATCH: i64 = 64;

/// Keeps the membership of the blocks of claimed partitions true.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) evaluator: Evaluator,
    pub(crate) ambient: Ambient,
    pub(crate) bells: Bells,
    /// How often to look without having been told.
    pub(crate) poll_interval: Duration,
}

impl Worker {
    /// Works on a partition until it is to be yielded.
    pub(crate) async fn work(self, mut claim: Claim) -> anyhow::Result<()> {
        let partition = i16::try_from(claim.partition.index())?;
        let mut bell = self.bells.partition(claim.partition.index());
        while !claim.yielding.is_cancelled() {
            // Before looking, so that what happens meanwhile is not slept through.
            bell.mark_unchanged();
            let now = self.ambient.now();
            let pending = store::blocks::pending(&mut claim.conn, partition, now, BATCH).await?;
            if pending.is_empty() {
                if partition == 0 {
                    self.evaluator.promote_all(&mut claim.conn).await?;
                }
                let next = store::blocks::next_change(&mut claim.conn, partition).await?;
                self.rest(&claim, &mut bell, next).await;
            } else if self.evaluate(&mut claim, &pending).await? {
                claim.rest(self.poll_interval).await;
            }
        }
        Ok(())
    }

    /// Evaluates blocks, and says whether one of them cannot be. The others must not suffer from it.
    async fn evaluate(&self, claim: &mut Claim, pending: &[BlockName]) -> Result<bool, Error> {
        let mut stuck = false;
        for block in pending {
            if claim.yielding.is_cancelled() {
                break;
            }
            match self.evaluator.evaluate(&mut claim.conn, block).await {
                Ok(()) => {}
                Err(error @ Error::Database(_)) => return Err(error),
                Err(error) => {
                    stuck = true;
                    tracing::error!(
                        workspace.id = %block.workspace,
                        block = block.index,
                        error = cursus_fault::chain(&error),
                        "a block cannot be evaluated"
                    );
                }
            }
        }
        Ok(stuck)
    }

    /// Waits until something happens, time changes something, or it is time to look.
    async fn rest(
        &self,
        claim: &Claim,
        bell: &mut watch::Receiver<()>,
        next: Option<DateTime<Utc>>,
    ) {
        let left = next.map(|next| (next - self.ambient.now()).to_std().unwrap_or_default());
        let pause = left.map_or(self.poll_interval, |left| left.min(self.poll_interval));
        tokio::select! {
            () = claim.rest(pause) => {}
            // An error would mean that nobody rings any more; then only the pause is left.
            Ok(()) = bell.changed() => {}
        }
    }
}
