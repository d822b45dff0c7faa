//! The reconciler's loop: each campaign of a claimed partition is compared with what it should be, again and again, from
//! what is recorded. A crash anywhere is followed by the same comparison.

mod decide;
mod launch;
mod step;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use cursus_ambient::Ambient;
use cursus_claim::Claim;
use cursus_ids::CampaignName;
use sqlx::{Connection, PgConnection};

use crate::campaign::{Campaign, State};
use crate::campaigns::{self, By};
use crate::error::Error;
use crate::peers::{self, Peers};
use crate::wake::Wake;
use crate::{audit, metrics, store};

/// What reconciling needs besides the claim. Shared by all claims of a replica.
#[derive(Debug)]
pub(crate) struct Reconciler {
    pub(crate) ambient: Ambient,
    pub(crate) peers: Peers,
    pub(crate) wake: Wake,
    pub(crate) interval: Duration,
    pub(crate) approval_expiry: TimeDelta,
}

impl Reconciler {
    /// Tends to the campaigns of a partition until it is yielded.
    pub(crate) async fn work(self: Arc<Self>, mut claim: Claim) -> anyhow::Result<()> {
        let partition = claim.partition.index().cast_signed();
        while !claim.yielding.is_cancelled() {
            let mut bell = self.wake.listen();
            for name in store::campaigns::at_work(&mut claim.conn, partition).await? {
                // One campaign's trouble is its own.
                if let Err(error) = self.reconcile(&mut claim.conn, &name).await {
                    metrics::TROUBLES.inc();
                    tracing::warn!(campaign.name = %name, error = format!("{error:#}"), "could not go on with `{name}`");
                }
                if claim.yielding.is_cancelled() {
                    return Ok(());
                }
            }
            let resting = bell.rung_within(self.interval);
            claim.yielding.run_until_cancelled(resting).await;
        }
        Ok(())
    }

    /// Brings one campaign a step on.
    async fn reconcile(&self, conn: &mut PgConnection, name: &CampaignName) -> anyhow::Result<()> {
        let campaign = campaigns::get(conn, name).await?;
        match self.step(conn, &campaign).await {
            Ok(()) => Ok(()),
            Err(Error::Peer(
                error @ (peers::Error::Refused { .. } | peers::Error::NotReady { .. }),
            )) => {
                let reason = error.to_string();
                let failed = |it: &mut Campaign| it.state_reason = reason;
                Ok(self.advanced(conn, &campaign, State::Failed, failed).await?)
            }
            Err(Error::Peer(error)) if error.is_passing() => {
                Err(anyhow::Error::new(error).context("a peer is away; trying again"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a campaign on, unless somebody else did in the meantime.
    pub(super) async fn advanced(
        &self,
        conn: &mut PgConnection,
        seen: &Campaign,
        to: State,
        change: impl FnOnce(&mut Campaign),
    ) -> Result<(), Error> {
        let now = self.ambient.now();
        let mut tx = conn.begin().await?;
        let mut campaign = campaigns::lock(&mut tx, &seen.name).await?;
        if campaign.revision != seen.revision {
            return Ok(());
        }
        campaign.state = to;
        campaign.state_reason.clear();
        change(&mut campaign);
        if campaign == (Campaign { revision: campaign.revision, ..seen.clone() }) {
            return Ok(());
        }
        campaigns::write(&mut tx, &mut campaign, now).await?;
        if seen.state != to {
            let by = By { subject: audit::ITSELF, now };
            let detail = campaign.state_reason.clone();
            campaigns::record(&mut tx, &campaign, action(to), detail, by).await?;
            metrics::TRANSITIONS.with_label_values(&[to.as_str()]).inc();
            tracing::info!(campaign.name = %seen.name, campaign.state = to.as_str(), "`{}` is {}", seen.name, to.as_str());
        }
        tx.commit().await?;
        // Whatever comes next may be possible at once.
        if seen.state != to {
            self.wake.ring();
        }
        Ok(())
    }
}

/// How a transition is called in the record.
fn action(to: State) -> &'static str {
    match to {
        State::Testing | State::Sending => "campaign.sending",
        State::AwaitingDecision => "campaign.tested",
        State::Promoting => "campaign.decided",
        State::Measuring => "campaign.sent",
        State::Complete => "campaign.completed",
        State::Failed => "campaign.failed",
        State::Scheduled => "campaign.scheduled",
        State::Draft => "campaign.returned",
        _ => "campaign.changed",
    }
}
