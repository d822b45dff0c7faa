//! The kept SMTP connections of one lane.

use std::collections::VecDeque;
use std::time::Duration;

use cursus_mail::smtp::{Connection, Failure, Offer, Relay};
use futures::future::join_all;
use tokio::time::Instant;

use super::batch::Letter;

/// How long a goodbye may take, and how long a relay that did not want another connection is not asked for one.
const GOODBYE: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_secs(30);

pub(super) struct Line {
    relay: Relay,
    limit: usize,
    kept: Vec<Kept>,
    /// The relay has as many connections of us as it wants until then.
    full_until: Option<Instant>,
}

struct Kept {
    connection: Connection,
    /// Whether it was used before: only then may it have been closed meanwhile.
    is_used: bool,
}

/// Why there is no offer.
pub(super) enum Refusal {
    /// A kept connection turned out to be closed.
    Stale,
    Failed(Failure),
}

impl Line {
    pub(super) fn new(relay: Relay, limit: usize) -> Self {
        Self { relay, limit, kept: Vec::new(), full_until: None }
    }

    /// Opens what is missing for `wanted` messages at once. Fails only if there is no connection at all.
    pub(super) async fn connect(&mut self, wanted: usize) -> Result<(), Failure> {
        let missing = wanted.min(self.limit).saturating_sub(self.kept.len());
        let is_full = self.full_until.is_some_and(|until| Instant::now() < until);
        if missing == 0 || (is_full && !self.kept.is_empty()) {
            return Ok(());
        }
        let opening = (0..missing).map(|_| Connection::open(&self.relay));
        let mut failed = None;
        for outcome in join_all(opening).await {
            match outcome {
                Ok(connection) => self.kept.push(Kept { connection, is_used: false }),
                Err(failure) => failed = Some(failure),
            }
        }
        match failed {
            Some(failure) if self.kept.is_empty() => return Err(failure),
            Some(_) => self.full_until = Some(Instant::now() + ASK_AGAIN),
            None => self.full_until = None,
        }
        Ok(())
    }

    /// Offers a message on each connection.
    pub(super) async fn offer<'a>(
        &'a mut self,
        letters: &mut VecDeque<Letter>,
    ) -> Vec<(Letter, Result<Offer<'a>, Refusal>)> {
        let count = self.kept.len().min(letters.len());
        let offering =
            self.kept.iter_mut().zip(letters.drain(..count)).map(|(kept, letter)| async {
                let was_used = std::mem::replace(&mut kept.is_used, true);
                let outcome = kept.connection.offer(&letter.envelope).await;
                let outcome = outcome.map_err(|failure| match failure {
                    Failure::Broken { before_dot: true, .. } if was_used => Refusal::Stale,
                    failure => Refusal::Failed(failure),
                });
                (letter, outcome)
            });
        join_all(offering).await
    }

    pub(super) fn drop_closed(&mut self) {
        self.kept.retain(|kept| kept.connection.is_open());
    }

    /// Says goodbye on every connection.
    pub(super) async fn hang_up(&mut self) {
        let parting = self.kept.drain(..).map(|kept| kept.connection.quit());
        // Whoever does not answer in time is left without a word.
        let _ = tokio::time::timeout(GOODBYE, join_all(parting)).await;
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::Stale => {
                let detail = "the server closed the connection twice".to_owned();
                Self::Broken { before_dot: true, detail }
            }
        }
    }
}
