//! What people do with campaigns. Each function is called in a transaction; what the other services have to do about
//! it is left to the reconciler.

use chrono::{DateTime, Utc};
use cursus_ids::{CampaignName, WorkspaceId};
use sqlx::PgConnection;

use crate::approval;
use crate::audit::{self, Deed};
use crate::campaign::{Campaign, PARTITIONS, Plan, State};
use crate::error::Error;
use crate::{approvals, store};

/// Who does something, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) subject: &'a str,
    pub(crate) now: DateTime<Utc>,
}

pub(crate) async fn get(conn: &mut PgConnection, name: &CampaignName) -> Result<Campaign, Error> {
    let campaign = store::campaigns::get(conn, name).await?;
    campaign.ok_or_else(|| no_such(name))
}

/// Keeps everybody else from changing it until the transaction is over.
pub(crate) async fn lock(conn: &mut PgConnection, name: &CampaignName) -> Result<Campaign, Error> {
    let campaign = store::campaigns::lock(conn, name).await?;
    campaign.ok_or_else(|| no_such(name))
}

/// Writes a locked campaign as a new revision.
pub(crate) async fn write(
    conn: &mut PgConnection,
    campaign: &mut Campaign,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    campaign.revision += 1;
    campaign.update_time = now;
    Ok(store::campaigns::update(conn, campaign).await?)
}

pub(crate) async fn create(
    conn: &mut PgConnection,
    name: CampaignName,
    plan: Plan,
    by: By<'_>,
) -> Result<Campaign, Error> {
    let campaign = Campaign {
        name,
        plan,
        state: State::Draft,
        state_reason: String::new(),
        paused_state: None,
        launch_approval: None,
        promotion_approval: None,
        decided_arm: None,
        snapshot: None,
        broadcast: None,
        create_time: by.now,
        update_time: by.now,
        launch_time: None,
        measurement_end_time: None,
        revision: 1,
    };
    if !store::campaigns::insert(conn, &campaign, partition(&campaign.name)).await? {
        return Err(Error::Exists(campaign.name.to_string()));
    }
    record(conn, &campaign, "campaign.created", String::new(), by).await?;
    Ok(campaign)
}

/// Changes the plan. An approval asked for or given was about another one.
pub(crate) async fn update(
    conn: &mut PgConnection,
    name: &CampaignName,
    etag: Option<i64>,
    change: impl FnOnce(&Plan) -> Result<Plan, Error>,
    by: By<'_>,
) -> Result<Campaign, Error> {
    let mut campaign = lock(conn, name).await?;
    if etag.is_some_and(|etag| etag != campaign.revision) {
        return Err(Error::Stale);
    }
    campaign.may_change()?;
    campaign.plan = change(&campaign.plan)?;
    campaign.state = State::Draft;
    campaign.state_reason.clear();
    if let Some(id) = &campaign.launch_approval {
        let reason = format!("{} changed the campaign", by.subject);
        approvals::void(conn, &campaign.approval_name(id), &reason, by.now).await?;
    }
    write(conn, &mut campaign, by.now).await?;
    record(conn, &campaign, "campaign.updated", String::new(), by).await?;
    Ok(campaign)
}

/// Whether it may be launched now. Launching itself is what the reconciler does with an approved campaign.
pub(crate) async fn launch(
    conn: &mut PgConnection,
    name: &CampaignName,
    now: DateTime<Utc>,
) -> Result<Campaign, Error> {
    let campaign = lock(conn, name).await?;
    let mut void = None;
    if let Some(id) = &campaign.launch_approval {
        let approval = approvals::get(conn, &campaign.approval_name(id)).await?;
        void = (approval.state == approval::State::Void).then_some(approval.state_reason);
    }
    campaign.may_launch(now, void)?;
    Ok(campaign)
}

pub(crate) async fn pause(
    conn: &mut PgConnection,
    name: &CampaignName,
    reason: &str,
    by: By<'_>,
) -> Result<Campaign, Error> {
    let mut campaign = lock(conn, name).await?;
    campaign.may_pause()?;
    if campaign.state == State::Paused {
        return Ok(campaign);
    }
    campaign.paused_state = Some(campaign.state);
    campaign.state = State::Paused;
    campaign.state_reason = format!("paused by {}: {reason}", by.subject);
    write(conn, &mut campaign, by.now).await?;
    record(conn, &campaign, "campaign.paused", reason.to_owned(), by).await?;
    Ok(campaign)
}

pub(crate) async fn resume(
    conn: &mut PgConnection,
    name: &CampaignName,
    by: By<'_>,
) -> Result<Campaign, Error> {
    let mut campaign = lock(conn, name).await?;
    campaign.state = campaign.resumed()?;
    campaign.paused_state = None;
    campaign.state_reason.clear();
    write(conn, &mut campaign, by.now).await?;
    record(conn, &campaign, "campaign.resumed", String::new(), by).await?;
    Ok(campaign)
}

pub(crate) async fn cancel(
    conn: &mut PgConnection,
    name: &CampaignName,
    reason: &str,
    by: By<'_>,
) -> Result<Campaign, Error> {
    let mut campaign = lock(conn, name).await?;
    campaign.may_cancel()?;
    if campaign.state == State::Cancelled {
        return Ok(campaign);
    }
    let why = format!("cancelled by {}: {reason}", by.subject);
    for id in [&campaign.launch_approval, &campaign.promotion_approval].into_iter().flatten() {
        // An approval that was used stays as it is.
        let approval = approvals::get(conn, &campaign.approval_name(id)).await?;
        if approval.state == approval::State::Pending {
            approvals::void(conn, &approval.name, &why, by.now).await?;
        }
    }
    campaign.paused_state = None;
    campaign.state = State::Cancelled;
    campaign.state_reason = why;
    write(conn, &mut campaign, by.now).await?;
    record(conn, &campaign, "campaign.cancelled", reason.to_owned(), by).await?;
    Ok(campaign)
}

pub(crate) async fn record(
    conn: &mut PgConnection,
    campaign: &Campaign,
    action: &'static str,
    detail: String,
    by: By<'_>,
) -> Result<(), Error> {
    let deed = Deed { subject: by.subject, action, resource: campaign.name.to_string(), detail };
    Ok(audit::record(conn, &campaign.name.workspace, deed, by.now).await?)
}

/// Which part of the background work a campaign belongs to; never changes.
fn partition(name: &CampaignName) -> i16 {
    // FNV-1a, which is the same on every machine and in every version.
    let hash = name.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i16::try_from(hash % u64::from(PARTITIONS)).unwrap_or_default()
}

fn no_such(name: &CampaignName) -> Error {
    Error::NoSuch { what: "campaign", name: name.to_string() }
}

/// Newest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    before: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<Campaign>, Error> {
    Ok(store::campaigns::list(conn, workspace, before, limit).await?)
}
