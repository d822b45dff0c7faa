//! Asking for approvals and deciding them. Every decision locks the campaign first, which puts decisions in an order.

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use cursus_api::orchestrator::ApprovalSummary;
use cursus_ids::ApprovalName;
use sqlx::PgConnection;

use crate::approval::{Action, Approval, State, digest};
use crate::audit::{self, Deed};
use crate::campaign::{self, Campaign};
use crate::error::Error;
use crate::grpc::document;
use crate::{campaigns, store};

/// What is asked for.
pub(crate) struct Proposal {
    pub(crate) name: ApprovalName,
    pub(crate) action: Action,
    pub(crate) summary: ApprovalSummary,
    pub(crate) proposer: String,
    pub(crate) reason: String,
    pub(crate) expire_time: DateTime<Utc>,
}

/// Who decides what was read, and when.
pub(crate) struct Decision<'a> {
    pub(crate) name: &'a ApprovalName,
    pub(crate) subject: &'a str,
    pub(crate) now: DateTime<Utc>,
}

pub(crate) async fn get(conn: &mut PgConnection, name: &ApprovalName) -> Result<Approval, Error> {
    let approval = store::approvals::get(conn, &name.workspace, &name.id).await?;
    approval.ok_or_else(|| Error::NoSuch { what: "approval", name: name.to_string() })
}

/// A name that no approval of the campaign has.
pub(crate) fn fresh_name(campaign: &Campaign, ambient: &Ambient) -> ApprovalName {
    let id = ambient.mint().simple().to_string();
    campaign.approval_name(&id.parse().expect("a UUID is an id"))
}

/// Opens an approval for a campaign that the transaction has locked. An older question of the same kind is void.
pub(crate) async fn open(
    conn: &mut PgConnection,
    campaign: &mut Campaign,
    proposal: Proposal,
    now: DateTime<Utc>,
) -> Result<Approval, Error> {
    let encoded = document::encode_for_digest(&proposal.summary);
    let approval = Approval {
        campaign: campaign.name.clone(),
        digest: digest(&campaign.name, &proposal.action, &encoded),
        name: proposal.name,
        action: proposal.action,
        summary: proposal.summary,
        state: State::Pending,
        state_reason: String::new(),
        proposer: proposal.proposer,
        proposal_reason: proposal.reason,
        decider: String::new(),
        create_time: now,
        decide_time: None,
        expire_time: proposal.expire_time,
    };
    let older = match approval.action {
        Action::Launch => campaign.launch_approval.replace(approval.name.id.clone()),
        Action::Promote(_) => campaign.promotion_approval.replace(approval.name.id.clone()),
    };
    if let Some(older) = older {
        void(conn, &campaign.approval_name(&older), "another one was asked for", now).await?;
    }
    store::approvals::insert(conn, &approval).await?;
    if approval.action == Action::Launch {
        campaign.state = campaign::State::PendingApproval;
        campaign.state_reason = format!("awaits approval of `{}`", approval.name);
    }
    campaigns::write(conn, campaign, now).await?;
    let deed = Deed {
        subject: &approval.proposer,
        action: "approval.requested",
        resource: approval.name.to_string(),
        detail: format!("{} of `{}`", approval.action.as_str().to_lowercase(), campaign.name),
    };
    audit::record(conn, &campaign.name.workspace, deed, now).await?;
    Ok(approval)
}

/// Allows what was read.
pub(crate) async fn approve(
    conn: &mut PgConnection,
    decision: Decision<'_>,
    digest: &[u8],
) -> Result<Approval, Error> {
    let Decision { name, subject, now } = decision;
    let (mut campaign, approval) = locked(conn, name).await?;
    approval.may_approve(subject, digest, now)?;
    if approval.action == Action::Launch {
        campaign.state = campaign::State::Approved;
        campaign.state_reason.clear();
        campaigns::write(conn, &mut campaign, now).await?;
    }
    settle(conn, approval, State::Approved, (subject, ""), now).await
}

/// Forbids it; the campaign is a draft again.
pub(crate) async fn reject(
    conn: &mut PgConnection,
    decision: Decision<'_>,
    reason: &str,
) -> Result<Approval, Error> {
    let Decision { name, subject, now } = decision;
    let (mut campaign, approval) = locked(conn, name).await?;
    if approval.state != State::Pending {
        return Err(crate::approval::Refusal::NotPending.into());
    }
    if approval.action == Action::Launch {
        campaign.state = campaign::State::Draft;
        campaign.state_reason = format!("rejected by {subject}: {reason}");
        campaigns::write(conn, &mut campaign, now).await?;
    }
    settle(conn, approval, State::Rejected, (subject, reason), now).await
}

/// An approval as it is while its campaign is locked.
async fn locked(
    conn: &mut PgConnection,
    name: &ApprovalName,
) -> Result<(Campaign, Approval), Error> {
    let campaign = get(conn, name).await?.campaign;
    let campaign = campaigns::lock(conn, &campaign).await?;
    Ok((campaign, get(conn, name).await?))
}

/// Ends an approval that still holds, because what it was about has changed. The campaign is locked.
pub(crate) async fn void(
    conn: &mut PgConnection,
    name: &ApprovalName,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let approval = get(conn, name).await?;
    if matches!(approval.state, State::Pending | State::Approved) {
        settle(conn, approval, State::Void, (audit::ITSELF, reason), now).await?;
    }
    Ok(())
}

/// Ends an approval that nobody gave in time. The campaign is locked.
pub(crate) async fn expire(
    conn: &mut PgConnection,
    approval: Approval,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    settle(conn, approval, State::Expired, (audit::ITSELF, "nobody decided in time"), now).await?;
    Ok(())
}

async fn settle(
    conn: &mut PgConnection,
    mut approval: Approval,
    state: State,
    (subject, reason): (&str, &str),
    now: DateTime<Utc>,
) -> Result<Approval, Error> {
    approval.state = state;
    approval.state_reason = reason.to_owned();
    let action = match state {
        State::Approved => "approval.approved",
        State::Rejected => "approval.rejected",
        State::Expired => "approval.expired",
        State::Void | State::Pending => "approval.voided",
    };
    // Who gave it stays on record when it becomes void.
    if matches!(state, State::Approved | State::Rejected) {
        approval.decider = subject.to_owned();
        approval.decide_time = Some(now);
    }
    store::approvals::settle(conn, &approval).await?;
    let deed =
        Deed { subject, action, resource: approval.name.to_string(), detail: reason.to_owned() };
    audit::record(conn, &approval.name.workspace, deed, now).await?;
    Ok(approval)
}
