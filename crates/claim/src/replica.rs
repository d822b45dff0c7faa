//! One replica's loop: look around, drop what was lost, give up what is too much, claim what is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::control::{self, Control, Error, View};
use crate::share::Standing;
use crate::{Claim, Claims, Partition};

/// How often a replica looks around: how soon it notices a loss, a free partition, or that others came or went.
const ROUND: Duration = Duration::from_millis(500);
/// The pause after a failure, doubled with each in a row.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(crate) async fn run<Work, Done>(claims: &Claims, shutdown: &CancellationToken, work: &Work)
where
    Work: Fn(Claim) -> Done,
    Done: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        let Some(connected) = shutdown.run_until_cancelled(Control::connect(claims)).await else {
            return;
        };
        let ended = match connected {
            Ok(control) => {
                failures = 0;
                let mut replica = Replica::new(claims, control, shutdown);
                let ended = replica.live(work).await;
                replica.works.shutdown().await;
                ended
            }
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        failures += 1;
        tracing::warn!(
            claim.namespace = claims.namespace,
            %error,
            "gave up all partitions, for the database cannot be seen"
        );
        shutdown.run_until_cancelled(tokio::time::sleep(pause(failures))).await;
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

struct Replica<'a> {
    claims: &'a Claims,
    control: Control,
    shutdown: &'a CancellationToken,
    works: JoinSet<anyhow::Result<()>>,
    held: BTreeMap<Partition, Held>,
    failed: BTreeMap<Partition, Failed>,
}

struct Held {
    backend: i32,
    since: Instant,
    yielding: CancellationToken,
    task: AbortHandle,
}

struct Failed {
    times: u32,
    until: Instant,
}

impl<'a> Replica<'a> {
    fn new(claims: &'a Claims, control: Control, shutdown: &'a CancellationToken) -> Self {
        let (works, held, failed) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { claims, control, shutdown, works, held, failed }
    }

    /// Until shutdown and the end of all work. On an error the caller drops all work: what cannot be seen may be lost.
    async fn live<Work, Done>(&mut self, work: &Work) -> Result<(), Error>
    where
        Work: Fn(Claim) -> Done,
        Done: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving = false;
        while !(leaving && self.held.is_empty()) {
            tokio::select! {
                () = self.shutdown.cancelled(), if !leaving => {
                    leaving = true;
                    self.control.leave().await?;
                }
                Some(ended) = self.works.join_next_with_id() => self.ended(ended),
                _ = rounds.tick() => {
                    let view = self.control.look().await?;
                    self.drop_lost(&view);
                    if let Some(standing) = view.standing {
                        self.give_up_surplus(standing);
                        self.claim_missing(standing, &view, work).await;
                    }
                }
            }
        }
        Ok(())
    }

    fn drop_lost(&self, view: &View) {
        for (partition, held) in &self.held {
            if view.holder(*partition) != Some(held.backend) && !held.task.is_finished() {
                self.warn(
                    *partition,
                    "lost the connection that held a partition; dropped its work",
                );
                held.task.abort();
            }
        }
    }

    fn give_up_surplus(&self, standing: Standing) {
        for held in self.kept().skip(standing.share(self.claims.partitions)) {
            held.yielding.cancel();
        }
    }

    async fn claim_missing<Work, Done>(&mut self, standing: Standing, view: &View, work: &Work)
    where
        Work: Fn(Claim) -> Done,
        Done: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let share = standing.share(self.claims.partitions);
        let free: Vec<_> = standing
            .preference(self.claims.partitions)
            .filter(|p| view.holder(*p).is_none() && !self.held.contains_key(p))
            .filter(|p| self.failed.get(p).is_none_or(|failed| failed.until <= Instant::now()))
            .take(share.saturating_sub(self.kept().count()))
            .collect();
        for partition in free {
            match control::claim(self.claims, partition).await {
                Ok(Some(session)) => self.start(partition, session, work),
                Ok(None) => {}
                Err(error) => {
                    self.warn(
                        partition,
                        &format!("could not connect to claim a partition: {error}"),
                    );
                    return;
                }
            }
        }
    }

    fn start<Work, Done>(&mut self, partition: Partition, session: control::Session, work: &Work)
    where
        Work: Fn(Claim) -> Done,
        Done: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let yielding = self.shutdown.child_token();
        let claim = Claim { partition, conn: session.conn, yielding: yielding.clone() };
        let task = self.works.spawn(work(claim));
        let (backend, since) = (session.backend, Instant::now());
        self.held.insert(partition, Held { backend, since, yielding, task });
    }

    fn ended(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) {
        let (id, failure) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(format!("{error:#}"))),
            Err(error) if error.is_cancelled() => (error.id(), None),
            Err(error) => (error.id(), Some(error.to_string())),
        };
        let mut of_task = self.held.extract_if(.., |_, held| held.task.id() == id);
        let Some((partition, held)) = of_task.next() else { return };
        drop(of_task);
        let before = self.failed.remove(&partition);
        if let Some(error) = failure {
            self.warn(partition, &format!("the work of a partition failed: {error}"));
            // What worked for long before it failed does not fail repeatedly.
            let repeated = before.filter(|_| held.since.elapsed() < LONGEST_PAUSE);
            let times = repeated.map_or(0, |failed| failed.times) + 1;
            self.failed.insert(partition, Failed { times, until: Instant::now() + pause(times) });
        }
    }

    fn kept(&self) -> impl Iterator<Item = &Held> {
        self.held.values().filter(|held| !held.yielding.is_cancelled())
    }

    fn warn(&self, partition: Partition, message: &str) {
        tracing::warn!(
            claim.namespace = self.claims.namespace,
            claim.partition = partition.0,
            "{message}"
        );
    }
}
