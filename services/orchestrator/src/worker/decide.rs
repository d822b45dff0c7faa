//! After the test: the verdict is awaited, its promotion allowed or asked for, and carried out.

use cursus_api::experiment::{Verdict, verdict};
use cursus_api::orchestrator::ApprovalSummary;
use cursus_ids::ArmId;
use sqlx::{Connection, PgConnection};

use super::Reconciler;
use crate::approval::{self, Action, Approval};
use crate::approvals::Proposal;
use crate::campaign::{Campaign, PromotionPolicy, State};
use crate::error::Error;
use crate::peers::held;
use crate::{approvals, audit, campaigns};

impl Reconciler {
    pub(super) async fn await_decision(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<(), Error> {
        let Some(name) = &campaign.broadcast else { return Ok(()) };
        let results = self.peers.results(&campaign.experiment()).await?;
        let verdict = results.verdict.unwrap_or_default();
        let promotes = verdict.action() == verdict::Action::Promote;
        if !verdict.r#final && !promotes {
            return self.wait(conn, campaign, verdict.reason_text).await;
        }
        if held(&self.peers.broadcast(name).await?) == 0 {
            // Nothing more would be sent, so there is nothing to allow.
            let arm = if promotes { recommended(&verdict) } else { None };
            return self.decided(conn, campaign, arm, &verdict).await;
        }
        if let Some(approval) = self.promotion(conn, campaign).await?
            && let Some(outcome) = self.heed(conn, campaign, &approval, &verdict).await
        {
            return outcome;
        }
        match recommended(&verdict) {
            Some(arm)
                if promotes
                    && campaign.plan.promotion_policy == PromotionPolicy::SignificantWinner =>
            {
                self.decided(conn, campaign, Some(arm), &verdict).await
            }
            Some(arm) => self.propose(conn, campaign, arm, verdict).await,
            None => {
                let reason = format!(
                    "a person must choose: {}; request the promotion of an arm, or cancel",
                    verdict.reason_text
                );
                self.wait(conn, campaign, reason).await
            }
        }
    }

    /// Does what the newest approval of a promotion says; nothing if it says nothing any more.
    async fn heed(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
        approval: &Approval,
        verdict: &Verdict,
    ) -> Option<Result<(), Error>> {
        match approval.state {
            approval::State::Approved if is_same(approval, verdict) => {
                let arm = approval.action.arm().parse().ok();
                Some(self.decided(conn, campaign, arm, verdict).await)
            }
            approval::State::Approved => Some(self.outdated(conn, campaign, approval).await),
            approval::State::Pending if !approval.is_late(self.ambient.now()) => {
                let reason =
                    format!("awaits approval of `{}`: {}", approval.name, verdict.reason_text);
                Some(self.wait(conn, campaign, reason).await)
            }
            approval::State::Rejected => {
                let reason = format!(
                    "{} rejected the promotion: request that of an arm, or cancel",
                    approval.decider
                );
                Some(self.wait(conn, campaign, reason).await)
            }
            _ => None,
        }
    }

    pub(super) async fn promote(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<(), Error> {
        let Some(name) = &campaign.broadcast else { return Ok(()) };
        let approval = self.promotion(conn, campaign).await?;
        let approved = approval.filter(|it| it.state == approval::State::Approved);
        let approval = approved.map(|it| it.name.to_string()).unwrap_or_default();
        self.peers.decide(campaign, &approval).await?;
        let broadcast = self.peers.broadcast(name).await?;
        // Once released nothing is held, so a release that was not recorded is recognised by its arm.
        let is_released = !broadcast.released_arm.is_empty();
        if campaign.decided_arm.is_some() && (held(&broadcast) > 0 || is_released) {
            self.peers.release(campaign, name, &approval).await?;
            return self.advanced(conn, campaign, State::Sending, |_| ()).await;
        }
        self.begin_measuring(conn, campaign).await
    }

    /// The newest approval of a promotion.
    async fn promotion(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<Option<Approval>, Error> {
        match &campaign.promotion_approval {
            Some(id) => Ok(Some(approvals::get(conn, &campaign.approval_name(id)).await?)),
            None => Ok(None),
        }
    }

    async fn wait(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
        reason: String,
    ) -> Result<(), Error> {
        self.advanced(conn, campaign, State::AwaitingDecision, |it| it.state_reason = reason).await
    }

    async fn decided(
        &self,
        conn: &mut PgConnection,
        campaign: &Campaign,
        arm: Option<ArmId>,
        verdict: &Verdict,
    ) -> Result<(), Error> {
        let reason = verdict.reason_text.clone();
        self.advanced(conn, campaign, State::Promoting, |it| {
            it.decided_arm = arm;
            it.state_reason = reason;
        })
        .await
    }

    /// The data say something else than when it was approved.
    async fn outdated(
        &self,
        conn: &mut PgConnection,
        seen: &Campaign,
        approval: &Approval,
    ) -> Result<(), Error> {
        let now = self.ambient.now();
        let mut tx = conn.begin().await?;
        let campaign = campaigns::lock(&mut tx, &seen.name).await?;
        if campaign.revision == seen.revision {
            approvals::void(&mut tx, &approval.name, "the verdict changed", now).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Asks a person to allow what the verdict recommends.
    async fn propose(
        &self,
        conn: &mut PgConnection,
        seen: &Campaign,
        arm: ArmId,
        verdict: Verdict,
    ) -> Result<(), Error> {
        let now = self.ambient.now();
        let mut tx = conn.begin().await?;
        let mut campaign = campaigns::lock(&mut tx, &seen.name).await?;
        if campaign.revision != seen.revision {
            return Ok(());
        }
        let proposal = Proposal {
            name: approvals::fresh_name(&campaign, &self.ambient),
            action: Action::Promote(arm),
            proposer: audit::ITSELF.to_owned(),
            reason: verdict.reason_text.clone(),
            summary: ApprovalSummary { verdict: Some(verdict), ..ApprovalSummary::default() },
            expire_time: now + self.approval_expiry,
        };
        campaign.state_reason =
            format!("awaits approval of `{}`: {}", proposal.name, proposal.reason);
        approvals::open(&mut tx, &mut campaign, proposal, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn recommended(verdict: &Verdict) -> Option<ArmId> {
    use verdict::Action;
    match verdict.action() {
        Action::Promote | Action::PromoteNotSignificant | Action::PromoteControl => {
            verdict.arm.parse().ok()
        }
        _ => None,
    }
}

/// Whether the data still say what they said when the approval was asked for.
fn is_same(approval: &Approval, present: &Verdict) -> bool {
    let then = approval.summary.verdict.as_ref();
    then.is_some_and(|then| {
        (then.action, &then.arm, &then.reason_code)
            == (present.action, &present.arm, &present.reason_code)
    })
}
