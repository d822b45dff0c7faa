//! Lanes: each hands over the messages of one partition, through one database connection and a few kept SMTP connections.
//!
//! A lane leases a batch, has it rendered while it sends the one before, and sends in waves. One transaction records the
//! results of a wave and declares the intent to send the next; only after it has committed are the next final dots sent.
//! So however a lane ends, at most one wave is in doubt, and what is in doubt is never sent again.

pub(crate) mod batch;
mod line;
mod settle;
mod step;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cursus_ambient::Ambient;
use cursus_claim::Claim;
use cursus_ids::BroadcastName;
use cursus_mail::smtp::Relay;
use futures::future::{OptionFuture, join};
use sqlx::Connection;

use self::batch::{Batch, Letter, Mailing, Press};
use self::line::Line;
use self::settle::{Settled, Settlement};
use crate::actor::MACHINES_REMEMBERED;
use crate::broadcast::gate;
use crate::message::State;
use crate::store::sending::Leased;
use crate::wake::Wake;
use crate::{backoff, metrics, store};

/// How soon it is noticed that another replica queued something, or that something deferred is due.
const POLL: Duration = Duration::from_secs(1);
/// Connections are given up once there was nothing to send for this many polls.
const HANG_UP_AFTER: u32 = 5;

/// What every lane of a replica shares.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) ambient: Ambient,
    pub(crate) press: Press,
    pub(crate) relay: Relay,
    /// SMTP connections of a lane: the size of a wave, and so the most messages in doubt.
    pub(crate) connections: usize,
    /// Messages leased at once.
    pub(crate) batch: i64,
    /// How long a deferred message waits the first time.
    pub(crate) first_wait: Duration,
    /// Rung when something was queued here.
    pub(crate) queued: Wake,
}

struct Lane {
    sending: Arc<Sending>,
    claim: Claim,
    partition: i16,
    line: Line,
    /// The broadcast of the last batch: the next one's turn comes first.
    last: Option<BroadcastName>,
    mailing: Option<Arc<Mailing>>,
    /// How often in a row the relay or the content service could not be reached.
    failures: u32,
}

/// Messages leased together, of one broadcast.
type Lease = (Arc<Mailing>, Vec<Leased>);

impl Sending {
    /// Works on a partition until it is yielded.
    pub(crate) async fn work(self: Arc<Self>, claim: Claim) -> anyhow::Result<()> {
        let mut lane = Lane {
            line: Line::new(self.relay.clone(), self.connections),
            partition: claim.partition.index().cast_signed(),
            sending: self,
            claim,
            last: None,
            mailing: None,
            failures: 0,
        };
        store::fit_for_lane(&mut lane.claim.conn).await?;
        lane.recover().await?;
        lane.run().await?;
        lane.line.hang_up().await;
        Ok(())
    }
}

impl Lane {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut next: Option<Batch> = None;
        let mut idle = 0_u32;
        while !self.claim.yielding.is_cancelled() {
            let mut bell = self.sending.queued.listen();
            if next.is_none() {
                let lease = self.lease().await?;
                next = self.rendering(lease).await;
            }
            let Some(current) = next.take() else {
                idle += 1;
                if idle == HANG_UP_AFTER {
                    self.line.hang_up().await;
                }
                self.claim.yielding.run_until_cancelled(bell.rung_within(POLL)).await;
                continue;
            };
            idle = 0;
            // Leased before the current one is sent, so that content works while the relay does.
            let lease = if self.failures == 0 { self.lease().await? } else { None };
            let rendering = self.rendering(lease);
            let (delivered, rendered) = join(self.deliver(current), rendering).await;
            delivered?;
            next = rendered;
            if self.failures > 0 {
                self.give_back(next.take()).await?;
                let pause = backoff::relay_pause(self.failures, &mut self.sending.ambient.rng());
                self.claim.rest(pause).await;
            }
        }
        self.give_back(next).await
    }

    fn rendering(&self, lease: Option<Lease>) -> impl Future<Output = Option<Batch>> + use<> {
        let sending = Arc::clone(&self.sending);
        OptionFuture::from(lease.map(|lease| batch::render(sending, lease)))
    }

    /// What the lane before this one left behind: the leased was not sent, the committing nobody knows about.
    async fn recover(&mut self) -> anyhow::Result<()> {
        let conn = &mut self.claim.conn;
        for name in store::sending::left_behind(conn, self.partition).await? {
            let now = self.sending.ambient.now();
            let mailing = Mailing::load(conn, &name).await?;
            let mut tx = conn.begin().await?;
            store::share_gate(&mut tx, gate(&name)).await?;
            store::sending::return_leased(&mut tx, &name, self.partition, now).await?;
            let doubtful =
                store::sending::doubt_committing(&mut tx, &name, self.partition, now).await?;
            step::append_doubts(&mut tx, &mailing, &doubtful, now).await?;
            tx.commit().await?;
            metrics::MESSAGES.with_label_values(&["ambiguous"]).inc_by(doubtful.len() as u64);
        }
        Ok(())
    }

    /// Takes the next batch of whichever broadcast's turn it is.
    async fn lease(&mut self) -> anyhow::Result<Option<Lease>> {
        let now = self.sending.ambient.now();
        let conn = &mut self.claim.conn;
        let due =
            store::sending::due_broadcast(conn, self.partition, self.last.as_ref(), now).await?;
        let Some(name) = due else { return Ok(None) };
        let mailing = match self.mailing.take() {
            Some(mailing) if mailing.name == name => mailing,
            _ => Arc::new(Mailing::load(conn, &name).await?),
        };
        let mut tx = conn.begin().await?;
        store::share_gate(&mut tx, gate(&name)).await?;
        let limits = (self.partition, self.sending.batch);
        let mut leased = store::sending::lease(&mut tx, &name, limits, now).await?;
        // Before anything is sent, so that it says nothing of what is in these messages.
        let contacts: Vec<String> = leased.iter().map(|it| it.contact_id.clone()).collect();
        let since = now - MACHINES_REMEMBERED;
        let proxied =
            store::engagements::opened_by_machines(&mut tx, &name.workspace, &contacts, since)
                .await?;
        tx.commit().await?;
        for message in &mut leased {
            message.privacy_proxy = proxied.contains(&message.contact_id);
        }
        self.last = Some(name);
        self.mailing = Some(Arc::clone(&mailing));
        Ok(Some((mailing, leased)))
    }

    /// Sends a batch, wave by wave. When this returns, something has become of every message of it.
    async fn deliver(&mut self, batch: Batch) -> anyhow::Result<()> {
        let Batch { mailing, mut letters, mut settled, is_complete } = batch;
        let mut is_reached = is_complete;
        while !letters.is_empty() && !self.claim.yielding.is_cancelled() {
            if let Err(failure) = self.line.connect(letters.len()).await {
                is_reached = false;
                metrics::RELAY_FAILURES.inc();
                tracing::warn!(error = %failure, "the relay cannot be reached");
                break;
            }
            settled = self.wave(&mailing, &mut letters, settled).await?;
        }
        self.failures = if is_reached { 0 } else { self.failures + 1 };
        settled.extend(letters.into_iter().map(|letter| Settled::returned(letter.leased)));
        step::commit(&mut self.claim.conn, &self.sending, &mailing, (settled, &[])).await?;
        Ok(())
    }

    /// Sends as many messages as there are connections, and says what came of them. What came of the wave before is
    /// recorded on the way.
    async fn wave(
        &mut self,
        mailing: &Mailing,
        letters: &mut VecDeque<Letter>,
        mut settled: Vec<Settled>,
    ) -> anyhow::Result<Vec<Settled>> {
        let mut offered = Vec::new();
        for (mut letter, outcome) in self.line.offer(letters).await {
            match outcome {
                Ok(offer) => offered.push((letter, offer)),
                // The server had closed a kept connection: that says nothing about this message.
                Err(line::Refusal::Stale) if !letter.is_again => {
                    letter.is_again = true;
                    letters.push_front(letter);
                }
                Err(refusal) => settled.push(Settled::refused(letter.leased, &refusal.into())),
            }
        }
        let keys: Vec<_> = offered.iter().map(|(letter, _)| letter.leased.key).collect();
        let conn = &mut self.claim.conn;
        let (intended, began) =
            step::commit(conn, &self.sending, mailing, (settled, &keys)).await?;
        // From here on the dots may be sent.
        let (sent, kept): (Vec<_>, Vec<_>) =
            offered.into_iter().partition(|(letter, _)| intended.contains(&letter.leased.key));
        let mut results: Vec<Settled> =
            kept.into_iter().map(|(letter, _)| Settled::returned(letter.leased)).collect();
        let committing = sent.into_iter().map(|(letter, offer)| async move {
            let outcome = offer.commit(&letter.bytes).await;
            Settled::answered(letter.leased, &outcome, began)
        });
        results.extend(futures::future::join_all(committing).await);
        self.line.drop_closed();
        if intended.is_empty() && !keys.is_empty() {
            // Paused or cancelled: the relay need not be bothered with the others.
            results.extend(letters.drain(..).map(|letter| Settled::returned(letter.leased)));
        }
        Ok(results)
    }

    /// Queues again what was leased and will not be sent now.
    async fn give_back(&mut self, batch: Option<Batch>) -> anyhow::Result<()> {
        let Some(Batch { mailing, letters, mut settled, .. }) = batch else { return Ok(()) };
        settled.extend(letters.into_iter().map(|letter| Settled::returned(letter.leased)));
        step::commit(&mut self.claim.conn, &self.sending, &mailing, (settled, &[])).await?;
        Ok(())
    }
}

impl Settled {
    fn returned(leased: Leased) -> Self {
        let (from, settlement) = (State::Leased, Settlement::Returned);
        Self { leased, from, settlement, reply: String::new(), attempts: 0 }
    }
}
