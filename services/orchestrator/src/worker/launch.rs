//! The launch: what was approved is compared with what is, the audience is frozen, the experiment started, and the
//! broadcast handed over. Each step may be repeated.

use cursus_ids::SnapshotName;
use sqlx::{Connection, PgConnection};

use super::Reconciler;
use crate::approval::{self, Approval, audience_drift, drift};
use crate::campaign::{Campaign, State};
use crate::error::Error;
use crate::{approvals, campaigns};

impl Reconciler {
    /// Takes the decision to launch, if the approval still holds. From here on nobody can change the campaign.
    pub(super) async fn begin(
        &self,
        conn: &mut PgConnection,
        seen: &Campaign,
    ) -> Result<(), Error> {
        let now = self.ambient.now();
        if !seen.plan.is_due(now) {
            return match seen.state {
                State::Scheduled => Ok(()),
                _ => self.advanced(conn, seen, State::Scheduled, |_| ()).await,
            };
        }
        let approval = self.approval(conn, seen).await?;
        if approval.state != approval::State::Approved {
            let reason = format!("the approval is {}", approval.state.as_str().to_lowercase());
            return self.advanced(conn, seen, State::Draft, |it| it.state_reason = reason).await;
        }
        let design = approval.summary.design.clone().unwrap_or_default();
        let tests = design.arms.len() > 1 || design.test_share < 1.0;
        let snapshot = snapshot_name(seen, &approval);
        self.advanced(conn, seen, if tests { State::Testing } else { State::Sending }, |it| {
            it.launch_time = Some(now);
            it.snapshot = Some(snapshot);
        })
        .await
    }

    pub(super) async fn launch(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<(), Error> {
        let approval = self.approval(conn, campaign).await?;
        let present = self.peers.observe(campaign).await?;
        if let Some(reason) = drift(&approval.summary, &present) {
            return self.call_off(conn, campaign, &reason).await;
        }
        let snapshot = self.peers.take_snapshot(campaign).await?;
        let approved = &approval.summary.segments;
        if !approved.iter().map(|it| it.revision).eq(snapshot.revisions.iter().copied()) {
            let reason = "a segment changed while the audience was frozen";
            return self.call_off(conn, campaign, reason).await;
        }
        if let Some(reason) = audience_drift(&approval.summary, snapshot.member_count) {
            return self.call_off(conn, campaign, &reason).await;
        }
        self.peers.start_experiment(campaign, &approval.summary.design_digest).await?;
        let broadcast = self.peers.create_broadcast(campaign, &approval).await?;
        self.advanced(conn, campaign, campaign.state, |it| it.broadcast = Some(broadcast)).await
    }

    async fn approval(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<Approval, Error> {
        let Some(id) = &campaign.launch_approval else {
            return Err(crate::campaign::Refusal::ApprovalRequired.into());
        };
        approvals::get(conn, &campaign.approval_name(id)).await
    }

    /// Nothing was started yet: the approval is void and the campaign a draft again.
    async fn call_off(
        &self,
        conn: &mut PgConnection,
        seen: &Campaign,
        reason: &str,
    ) -> Result<(), Error> {
        let now = self.ambient.now();
        let mut tx = conn.begin().await?;
        let mut campaign = campaigns::lock(&mut tx, &seen.name).await?;
        if campaign.revision != seen.revision {
            return Ok(());
        }
        if let Some(id) = &campaign.launch_approval {
            approvals::void(&mut tx, &campaign.approval_name(id), reason, now).await?;
        }
        campaign.state = State::Draft;
        campaign.state_reason = format!("the approval is void: {reason}");
        campaign.launch_time = None;
        campaign.snapshot = None;
        campaigns::write(&mut tx, &mut campaign, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// One for each approval, so that a launch that was called off does not leave its audience to the next.
fn snapshot_name(campaign: &Campaign, approval: &Approval) -> SnapshotName {
    let id =
        approval.name.id.to_string().parse().expect("an approval's id is a snapshot's id, too");
    SnapshotName::new(campaign.name.workspace.clone(), id)
}
