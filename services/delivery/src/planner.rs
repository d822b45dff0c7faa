//! Work on whole broadcasts, a step at a time: writing the ledger page by page, releasing or cancelling chunk by chunk, and
//! noticing when there is nothing left to do. Whatever interrupts it, it goes on where the last committed step ended.

pub(crate) mod page;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cursus_ambient::Ambient;
use cursus_claim::Claim;
use cursus_ids::{ArmId, BroadcastName};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use self::page::{Known, Member, Place};
use crate::actor::MACHINES_REMEMBERED;
use crate::address::AddressHasher;
use crate::broadcast::{Broadcast, Status, gate};
use crate::message::State;
use crate::peers::Peers;
use crate::wake::Wake;
use crate::{backoff, facts, store};

/// How soon it is noticed that another replica created or changed a broadcast.
const POLL: Duration = Duration::from_millis(500);

/// What planning needs besides the claim. Shared by all claims of a replica.
#[derive(Debug)]
pub(crate) struct Planner {
    pub(crate) ambient: Ambient,
    pub(crate) peers: Peers,
    pub(crate) hasher: AddressHasher,
    /// Rung when a broadcast was created or changed here.
    pub(crate) tended: Wake,
    /// To ring when there is something to send.
    pub(crate) queued: Wake,
}

/// A broadcast whose planning failed, and when to try again.
struct Trouble {
    times: u32,
    until: Instant,
}

/// Whether a step found something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Nothing,
}

impl Planner {
    /// Tends to the broadcasts of a part until it is yielded.
    pub(crate) async fn work(self: Arc<Self>, mut claim: Claim) -> anyhow::Result<()> {
        let partition = claim.partition.index().cast_signed();
        let mut troubles = HashMap::<BroadcastName, Trouble>::new();
        while !claim.yielding.is_cancelled() {
            let mut bell = self.tended.listen();
            let names = store::planning::open_broadcasts(&mut claim.conn, partition).await?;
            troubles.retain(|name, _| names.contains(name));
            let mut outcome = Step::Nothing;
            for name in names {
                if claim.yielding.is_cancelled() {
                    return Ok(());
                }
                if troubles.get(&name).is_some_and(|trouble| trouble.until > Instant::now()) {
                    continue;
                }
                let tended = self.tend(&mut claim.conn, &name).await;
                if self.judge(&mut troubles, name, tended)? == Step::Done {
                    outcome = Step::Done;
                }
            }
            if outcome == Step::Nothing {
                claim.yielding.run_until_cancelled(bell.rung_within(POLL)).await;
            }
        }
        Ok(())
    }

    /// A lost database is the claim's to deal with; a peer's refusal is this broadcast's alone.
    fn judge(
        &self,
        troubles: &mut HashMap<BroadcastName, Trouble>,
        name: BroadcastName,
        tended: anyhow::Result<Step>,
    ) -> anyhow::Result<Step> {
        let error = match tended {
            Ok(step) => {
                troubles.remove(&name);
                return Ok(step);
            }
            Err(error) if error.is::<sqlx::Error>() => return Err(error),
            Err(error) => error,
        };
        let times = troubles.get(&name).map_or(0, |trouble| trouble.times) + 1;
        let pause = backoff::relay_pause(times, &mut self.ambient.rng());
        tracing::warn!(
            broadcast.name = %name,
            error = format!("{error:#}"),
            "a broadcast could not be planned; trying again"
        );
        troubles.insert(name, Trouble { times, until: Instant::now() + pause });
        Ok(Step::Nothing)
    }

    /// Does one step of what a broadcast needs most.
    async fn tend(&self, conn: &mut PgConnection, name: &BroadcastName) -> anyhow::Result<Step> {
        let Some(broadcast) = store::broadcasts::get(conn, name).await? else {
            return Ok(Step::Nothing);
        };
        let counts = store::broadcasts::counts(conn, name).await?;
        let unsent = counts.waiting() + counts.of(State::Held);
        let mut step = Step::Nothing;
        if broadcast.status == Status::Cancelled {
            if unsent > 0 {
                step = self.cancel(conn, name).await?;
            }
        } else if !broadcast.is_planned() {
            step = self.plan(conn, &broadcast).await?;
        } else if let Some(arm) = &broadcast.released_arm
            && counts.of(State::Held) > 0
        {
            step = self.release(conn, name, arm).await?;
        }
        let is_idle = broadcast.idle_time.is_none() && broadcast.is_idle(&counts);
        if step == Step::Nothing && (is_idle || broadcast.is_closed(&counts)) {
            self.settle(conn, name).await?;
        }
        Ok(step)
    }

    /// Adds one page of the snapshot to the ledger.
    async fn plan(&self, conn: &mut PgConnection, broadcast: &Broadcast) -> anyhow::Result<Step> {
        let draft = &broadcast.draft;
        let progress = store::planning::progress(conn, &draft.name).await?;
        let listed = self.peers.members(&draft.snapshot, &progress.token).await?;
        let members: Vec<Member> =
            listed.members.into_iter().map(|it| Member::new(it, draft, &self.hasher)).collect();
        let reachable: Vec<&Member> = members.iter().filter(|it| it.hash.is_some()).collect();
        let addresses: Vec<_> = reachable.iter().filter_map(|it| it.hash).collect();
        let contacts = reachable.iter().map(|it| it.contact.to_string()).collect();
        let assignments = self.peers.assign(&draft.experiment, contacts).await?;

        let now = self.ambient.now();
        let mut tx = conn.begin().await?;
        let workspace = &draft.name.workspace;
        let suppressed = store::suppressions::reasons(&mut tx, workspace, &addresses).await?;
        let known = store::planning::known_addresses(&mut tx, &draft.name, &addresses).await?;
        let rows = page::plan(members, assignments, Known { suppressed, known }, draft)?;
        let plan_time = listed.next_page_token.is_empty().then_some(now);
        let places = (progress.token.as_str(), listed.next_page_token.as_str());
        let advanced = store::planning::advance(&mut tx, &draft.name, places, plan_time).await?;
        if !advanced {
            // Cancelled meanwhile.
            return Ok(Step::Done);
        }
        let held_out: Vec<String> = rows
            .iter()
            .filter(|row| row.place == Place::Holdout)
            .map(|row| row.contact.to_string())
            .collect();
        let since = now - MACHINES_REMEMBERED;
        let proxied =
            store::engagements::opened_by_machines(&mut tx, workspace, &held_out, since).await?;
        let held_out = page::facts(&rows, broadcast, &progress.labels, &proxied, now);
        facts::append(&mut tx, &held_out).await?;
        // Last, because from here on the lanes wait for the counts that this has touched.
        store::planning::insert(&mut tx, &draft.name, &rows, now).await?;
        tx.commit().await?;
        self.queued.ring();
        Ok(Step::Done)
    }

    async fn release(
        &self,
        conn: &mut PgConnection,
        name: &BroadcastName,
        arm: &ArmId,
    ) -> anyhow::Result<Step> {
        let mut tx = conn.begin().await?;
        store::close_gate(&mut tx, gate(name)).await?;
        let count = store::planning::release_chunk(&mut tx, name, arm, self.ambient.now()).await?;
        tx.commit().await?;
        self.queued.ring();
        Ok(if count > 0 { Step::Done } else { Step::Nothing })
    }

    async fn cancel(&self, conn: &mut PgConnection, name: &BroadcastName) -> anyhow::Result<Step> {
        let mut tx = conn.begin().await?;
        store::close_gate(&mut tx, gate(name)).await?;
        let count = store::planning::cancel_chunk(&mut tx, name, self.ambient.now()).await?;
        tx.commit().await?;
        Ok(if count > 0 { Step::Done } else { Step::Nothing })
    }

    /// Notes that nothing is left to hand over, or that nothing ever will be.
    async fn settle(&self, conn: &mut PgConnection, name: &BroadcastName) -> anyhow::Result<()> {
        let mut tx = conn.begin().await?;
        // Nobody releases what is being found idle, and nobody takes what is being closed.
        store::close_gate(&mut tx, gate(name)).await?;
        let broadcast = store::broadcasts::get(&mut tx, name).await?;
        let broadcast = broadcast.context("broadcasts are never deleted")?;
        let counts = store::broadcasts::counts(&mut tx, name).await?;
        if broadcast.idle_time.is_none() && broadcast.is_idle(&counts) {
            store::planning::set_idle(&mut tx, name).await?;
        }
        if broadcast.is_closed(&counts) {
            store::planning::set_closed(&mut tx, name).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
