//! What to do for a campaign in each of its states.

use cursus_api::delivery::Broadcast;
use sqlx::{Connection, PgConnection};

use super::Reconciler;
use crate::approval;
use crate::campaign::{Campaign, State};
use crate::error::Error;
use crate::peers::{is_complete, is_idle, is_paused};
use crate::{approvals, campaigns};

impl Reconciler {
    pub(super) async fn step(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<(), Error> {
        match campaign.state {
            State::PendingApproval => self.expire(conn, campaign).await,
            State::Approved | State::Scheduled => self.begin(conn, campaign).await,
            State::Paused => self.hold(campaign).await,
            State::Cancelled => self.end(conn, campaign).await,
            State::Testing | State::Sending if campaign.broadcast.is_none() => {
                self.launch(conn, campaign).await
            }
            State::Testing => self.test(conn, campaign).await,
            State::AwaitingDecision => self.await_decision(conn, campaign).await,
            State::Promoting => self.promote(conn, campaign).await,
            State::Sending => self.send(conn, campaign).await,
            State::Measuring => self.measure(conn, campaign).await,
            State::Draft | State::Complete | State::Failed => Ok(()),
        }
    }

    /// Nobody decided: the campaign is a draft again.
    async fn expire(&self, conn: &mut PgConnection, seen: &Campaign) -> Result<(), Error> {
        let now = self.ambient.now();
        let Some(id) = &seen.launch_approval else { return Ok(()) };
        let approval = approvals::get(conn, &seen.approval_name(id)).await?;
        if approval.state != approval::State::Pending || !approval.is_late(now) {
            return Ok(());
        }
        let mut tx = conn.begin().await?;
        let mut campaign = campaigns::lock(&mut tx, &seen.name).await?;
        if campaign.revision == seen.revision {
            approvals::expire(&mut tx, approval, now).await?;
            campaign.state = State::Draft;
            campaign.state_reason =
                format!("nobody decided about `{}` in time", seen.approval_name(id));
            campaigns::write(&mut tx, &mut campaign, now).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn hold(&self, campaign: &Campaign) -> Result<(), Error> {
        let Some(name) = &campaign.broadcast else { return Ok(()) };
        let broadcast = self.peers.broadcast(name).await?;
        if !is_paused(&broadcast) && !is_complete(&broadcast) {
            self.peers.pause(name, &campaign.state_reason).await?;
        }
        Ok(())
    }

    /// A cancelled campaign is left alone once its broadcast has ended.
    async fn end(&self, conn: &mut PgConnection, campaign: &Campaign) -> Result<(), Error> {
        let Some(name) = &campaign.broadcast else { return Ok(()) };
        let broadcast = self.peers.broadcast(name).await?;
        if !is_complete(&broadcast) {
            self.peers.cancel(name, &campaign.state_reason).await?;
        }
        let (now, reason) = (self.ambient.now(), campaign.state_reason.clone());
        self.advanced(conn, campaign, State::Cancelled, |it| {
            it.measurement_end_time = Some(now);
            it.state_reason = reason;
        })
        .await
    }

    async fn test(&self, conn: &mut PgConnection, campaign: &Campaign) -> Result<(), Error> {
        let Some(broadcast) = self.running(campaign).await? else { return Ok(()) };
        if !is_idle(&broadcast) {
            return Ok(());
        }
        self.peers.close_exposure(campaign).await?;
        self.advanced(conn, campaign, State::AwaitingDecision, |_| ()).await
    }

    async fn send(&self, conn: &mut PgConnection, campaign: &Campaign) -> Result<(), Error> {
        let Some(broadcast) = self.running(campaign).await? else { return Ok(()) };
        if !is_complete(&broadcast) {
            return Ok(());
        }
        // Without a test nothing was closed before.
        if campaign.decided_arm.is_none() {
            self.peers.close_exposure(campaign).await?;
        }
        self.begin_measuring(conn, campaign).await
    }

    pub(super) async fn begin_measuring(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<(), Error> {
        let end = self.ambient.now() + campaign.plan.measurement_window();
        self.advanced(conn, campaign, State::Measuring, |it| it.measurement_end_time = Some(end))
            .await
    }

    async fn measure(&self, conn: &mut PgConnection, campaign: &Campaign) -> Result<(), Error> {
        if campaign.measurement_end_time.is_none_or(|end| self.ambient.now() < end) {
            return Ok(());
        }
        self.advanced(conn, campaign, State::Complete, |_| ()).await
    }

    /// The broadcast of a campaign that is under way; resumed if it was paused and the campaign is not.
    async fn running(&self, campaign: &Campaign) -> Result<Option<Broadcast>, Error> {
        let Some(name) = &campaign.broadcast else { return Ok(None) };
        let broadcast = self.peers.broadcast(name).await?;
        if is_paused(&broadcast) {
            self.peers.resume(name).await?;
            return Ok(None);
        }
        Ok(Some(broadcast))
    }
}
