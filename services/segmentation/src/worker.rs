//! Background work: evaluating blocks here; erasing, keeping house and following outcomes in the modules below.

mod answering;
pub(crate) mod erasing;
pub(crate) mod housekeeping;
pub(crate) mod outcomes;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use cursus_claim::Claim;
use sqlx::Connection;
use tokio::sync::{Semaphore, watch};

use self::schedule::Schedule;
use crate::bells::Bells;
use crate::block::BlockName;
use crate::error::Error;
use crate::evaluation::{Batch, Evaluated, Evaluator};
use crate::questions::{Desk, Questions};
use crate::residents::{Residents, Tenancy};
use crate::store;

/// How many blocks are taken up together.
const BLOCKS: usize = 64;
/// How many changes are.
const CHANGES: i64 = 2_000;
/// How many contacts enter or leave by time alone, so that those to whom something happened need not wait for long.
const DUE: usize = 8_192;

/// Keeps the membership of the blocks of claimed partitions true.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) evaluator: Evaluator,
    pub(crate) residents: Residents,
    pub(crate) questions: Questions,
    pub(crate) ambient: Ambient,
    pub(crate) bells: Bells,
    /// As many evaluate at once as can compute at once: whoever waits takes in more together, and those who record are
    /// not crowded out.
    pub(crate) turns: Arc<Semaphore>,
    /// How often to look without having been told.
    pub(crate) poll_interval: Duration,
}

/// One partition's work, as long as it is claimed.
struct Work {
    claim: Claim,
    partition: i16,
    tenancy: Tenancy,
    desk: Desk,
    schedule: Schedule,
    /// Blocks that could not be evaluated, and are left alone for a while.
    stuck: Vec<BlockName>,
    /// Whether changes were left that are seen in what was read.
    is_behind: bool,
}

impl Worker {
    /// Works on a partition until it is to be yielded.
    pub(crate) async fn work(self, mut claim: Claim) -> anyhow::Result<()> {
        let partition = i16::try_from(claim.partition.index())?;
        let mut bell = self.bells.partition(claim.partition.index());
        // Nobody else writes it while the partition is claimed.
        let schedule = Schedule::new(store::blocks::scheduled(&mut claim.conn, partition).await?);
        let tenancy = self.residents.enter();
        let desk = self.questions.open(claim.partition.index());
        let mut work =
            Work { claim, partition, tenancy, desk, schedule, stuck: Vec::new(), is_behind: false };
        while !work.claim.yielding.is_cancelled() {
            // Before looking, so that what happens meanwhile is not slept through.
            bell.mark_unchanged();
            let turn = self.turns.acquire().await?;
            let is_busy = self.step(&mut work).await?;
            drop(turn);
            if is_busy {
                continue;
            }
            if partition == 0 {
                self.evaluator.promote_all(&mut work.claim.conn).await?;
            }
            self.rest(&work, &mut bell).await;
            work.stuck.clear();
        }
        Ok(())
    }

    /// Evaluates what there is to evaluate, and says whether there was anything.
    async fn step(&self, work: &mut Work) -> Result<bool, Error> {
        let Some(tried) = self.attempt(work, None).await? else { return Ok(false) };
        let Err((blocks, error)) = tried else { return Ok(true) };
        if let [block] = &blocks[..] {
            stuck(work, block, &error);
            return Ok(true);
        }
        // One of them cannot be evaluated, and the others must not suffer from it.
        for block in blocks {
            if let Some(Err((_, error))) = self.attempt(work, Some(&block)).await? {
                stuck(work, &block, &error);
            }
        }
        Ok(true)
    }

    /// Tries to evaluate what there is, or that of one block. Fails if the database does; what else fails is told with
    /// the blocks that were tried.
    async fn attempt(
        &self,
        work: &mut Work,
        only: Option<&BlockName>,
    ) -> Result<Option<Result<(), (Vec<BlockName>, Error)>>, Error> {
        // Everything is read as of one moment. What is committed later is taken in the next time.
        let mut tx = work.claim.conn.begin_with(SNAPSHOT).await?;
        let mut batch = Batch::new();
        let partition = work.partition;
        let changes = store::changes::take(&mut tx, partition, &work.stuck, CHANGES).await?;
        let is_behind = only.is_some() || i64::try_from(changes.len()).is_ok_and(|n| n >= CHANGES);
        for (block, mut change) in changes {
            if work.is_behind {
                // Whether the block has these events already is not known, so they are read.
                change.times.clear();
            }
            batch.entry(block).or_default().push(change);
        }
        for block in work.schedule.due(self.ambient.now(), BLOCKS) {
            batch.entry(block).or_default();
        }
        for block in work.desk.unread(&work.tenancy) {
            batch.entry(block).or_default();
        }
        batch.retain(|block, _| {
            only.is_none_or(|only| only == block) && !work.stuck.contains(block)
        });
        if batch.is_empty() {
            if only.is_none() {
                let (desk, now) = ((&work.desk, &work.tenancy), self.ambient.now());
                answering::answer(&mut tx, desk, &work.stuck, now).await?;
            }
            tx.rollback().await?;
            return Ok(None);
        }
        let blocks: Vec<BlockName> = batch.keys().cloned().collect();
        match self.evaluator.evaluate(tx, &work.tenancy, (partition, batch), DUE).await {
            Ok(evaluated) => {
                work.is_behind = is_behind;
                self.settle(work, evaluated).await?;
            }
            // Another revision took the place of one meanwhile.
            Err(error) if error.is_contended() => {}
            Err(error @ Error::Database(_)) => return Err(error),
            Err(error) => return Ok(Some(Err((blocks, error)))),
        }
        Ok(Some(Ok(())))
    }

    async fn settle(&self, work: &mut Work, evaluated: Evaluated) -> Result<(), Error> {
        let workspaces: Vec<_> =
            evaluated.next.iter().map(|(block, _)| block.workspace.clone()).collect();
        for (block, next) in evaluated.next {
            work.schedule.set(block, next);
        }
        if evaluated.is_first {
            for workspace in workspaces {
                match self.evaluator.promote(&mut work.claim.conn, &workspace).await {
                    Err(error) if error.is_contended() => {}
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// Waits until something happens, time changes something, or it is time to look.
    async fn rest(&self, work: &Work, bell: &mut watch::Receiver<()>) {
        let left = work.schedule.next().map(|next| self.until(next));
        let pause = left.map_or(self.poll_interval, |left| left.min(self.poll_interval));
        tokio::select! {
            () = work.claim.rest(pause) => {}
            // An error would mean that nobody rings any more; then only the pause is left.
            Ok(()) = bell.changed() => {}
        }
    }

    fn until(&self, moment: DateTime<Utc>) -> Duration {
        (moment - self.ambient.now()).to_std().unwrap_or_default()
    }
}

const SNAPSHOT: &str = "begin isolation level repeatable read";

fn stuck(work: &mut Work, block: &BlockName, error: &Error) {
    work.stuck.push(block.clone());
    tracing::error!(
        workspace.id = %block.workspace,
        block = block.index,
        error = cursus_fault::chain(error),
        "a block cannot be evaluated"
    );
}
