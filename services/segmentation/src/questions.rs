//! Questions about whole blocks, for the workers of this process that have the blocks in memory.
//!
//! A worker answers when everything committed has been taken in, within the transaction that showed so; an answer is as
//! exact as one that is read from Postgres. What nobody here answers is to be read from there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use cursus_audience::{Block, Mentions};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bells::Bells;
use crate::block::{BlockName, PARTITIONS};
use crate::residents::Tenancy;

/// How long workers may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many questions may wait for one worker; more are not put to it.
const MOST_WAITING: usize = 16;

/// Takes questions to whoever works on a partition. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Questions {
    /// By partition; none where nobody works on it here.
    waiting: Arc<Vec<Mutex<Option<Vec<Question>>>>>,
    bells: Bells,
}

/// Where a worker finds the questions about its partition; without it they are not put.
#[derive(Debug)]
pub(crate) struct Desk {
    questions: Questions,
    partition: u16,
}

/// A question about some blocks of a partition, all of one workspace.
pub(crate) struct Question {
    pub(crate) blocks: Vec<BlockName>,
    /// What is looked at.
    pub(crate) mentions: Mentions,
    pub(crate) look: Look,
    /// Whether blocks that were not in memory have been asked for.
    is_known: bool,
}

/// What is done with the columns of a block, and the time.
type Look = Arc<dyn Fn(&BlockName, &Block, DateTime<Utc>) + Send + Sync>;

impl Questions {
    pub(crate) fn new(bells: Bells) -> Self {
        let waiting = (0..PARTITIONS).map(|_| Mutex::default()).collect();
        Self { waiting: Arc::new(waiting), bells }
    }

    /// What wakes those who are asked.
    pub(crate) fn bells(&self) -> &Bells {
        &self.bells
    }

    /// Takes questions about a partition from now on.
    pub(crate) fn open(&self, partition: u16) -> Desk {
        *self.waiting(partition) = Some(Vec::new());
        Desk { questions: self.clone(), partition }
    }

    /// Has blocks looked at, and returns what was seen in those that were in memory here.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        blocks: &[BlockName],
        mentions: &Mentions,
        look: impl Fn(&BlockName, &Block, DateTime<Utc>) -> T + Send + Sync + 'static,
    ) -> BTreeMap<BlockName, T> {
        let (sender, mut seen) = mpsc::channel(blocks.len().max(1));
        let look: Look = Arc::new(move |block, columns, now| {
            if !sender.is_closed() {
                // There is room for every block.
                let _ = sender.try_send((block.clone(), look(block, columns, now)));
            }
        });
        let mut parts: BTreeMap<u16, Vec<BlockName>> = BTreeMap::new();
        for block in blocks {
            let partition = u16::try_from(block.partition()).unwrap_or_default();
            parts.entry(partition).or_default().push(block.clone());
        }
        for (partition, blocks) in parts {
            let (mentions, look) = (mentions.clone(), Arc::clone(&look));
            self.put(partition, Question { blocks, mentions, look, is_known: false });
        }
        drop(look);
        let mut answers = BTreeMap::new();
        let gather = async {
            while let Some((block, answer)) = seen.recv().await {
                answers.insert(block, answer);
            }
        };
        // What is missing then is missing.
        let _ = timeout(PATIENCE, gather).await;
        answers
    }

    fn put(&self, partition: u16, question: Question) {
        if let Some(waiting) = &mut *self.waiting(partition)
            && waiting.len() < MOST_WAITING
        {
            waiting.push(question);
            self.bells.ring(partition);
        }
    }

    fn waiting(&self, partition: u16) -> MutexGuard<'_, Option<Vec<Question>>> {
        let waiting = &self.waiting[usize::from(partition % PARTITIONS)];
        // Questions are whole at any moment, whoever panicked.
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// The blocks that are asked about and not in memory, each once for a question: one that is too large to stay in
    /// memory must not be read again and again.
    pub(crate) fn unread(&self, tenancy: &Tenancy) -> Vec<BlockName> {
        let mut unread = Vec::new();
        for question in self.questions.waiting(self.partition).iter_mut().flatten() {
            if !question.is_known {
                question.is_known = true;
                unread.extend(question.blocks.iter().filter(|it| !tenancy.has(it)).cloned());
            }
        }
        unread
    }

    /// The questions that can be answered now.
    pub(crate) fn take(&self) -> Vec<Question> {
        let mut taken = Vec::new();
        if let Some(waiting) = &mut *self.questions.waiting(self.partition) {
            let (known, new) =
                std::mem::take(waiting).into_iter().partition(|question| question.is_known);
            (taken, *waiting) = (known, new);
        }
        taken
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        *self.questions.waiting(self.partition) = None;
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use cursus_feed::Herald;

    use super::*;
    use crate::resident::Resident;
    use crate::residents::Residents;

    fn block() -> BlockName {
        BlockName::new("acme".parse().unwrap(), 0)
    }

    fn partition() -> u16 {
        block().partition().try_into().unwrap()
    }

    fn answer(question: &Question, tenancy: &Tenancy) {
        for block in &question.blocks {
            if let Some(resident) = tenancy.take(block) {
                (question.look)(block, &resident.columns, DateTime::UNIX_EPOCH);
            }
        }
    }

    #[tokio::test]
    async fn nobody_answers_where_nobody_works() {
        let questions = Questions::new(Bells::new(Herald::new()));
        let desk = questions.open(partition());
        drop(desk);
        let seen = questions.ask(&[block()], &Mentions::default(), |_, _, _| ()).await;
        assert!(seen.is_empty());
    }

    #[tokio::test]
    async fn a_worker_reads_what_it_does_not_have_once_and_then_answers() {
        let questions = Questions::new(Bells::new(Herald::new()));
        let desk = questions.open(partition());
        let tenancy = Residents::new(usize::MAX).enter();
        let asked = [block()];
        let mentions = Mentions::default();
        let asking = questions.ask(&asked, &mentions, |_, columns, _| columns.live().len());
        let working = async {
            assert!(desk.take().is_empty(), "it has not been looked for yet");
            assert_eq!(desk.unread(&tenancy), [block()]);
            assert!(desk.unread(&tenancy).is_empty());
            tenancy.put(block(), Box::new(Resident::of_nobody()));
            let [question] = &desk.take()[..] else { panic!("one was asked") };
            answer(question, &tenancy);
        };
        let (seen, ()) = tokio::join!(asking, working);
        assert_eq!(seen, BTreeMap::from([(block(), 0)]));
    }

    #[tokio::test]
    async fn a_worker_that_ends_leaves_nobody_waiting() {
        let questions = Questions::new(Bells::new(Herald::new()));
        let desk = questions.open(partition());
        let asked = [block()];
        let mentions = Mentions::default();
        let asking = questions.ask(&asked, &mentions, |_, _, _| ());
        let (seen, ()) = tokio::join!(asking, async { drop(desk) });
        assert!(seen.is_empty());
    }
}
