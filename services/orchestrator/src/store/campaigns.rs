//! Queries about campaigns and the states they went through.

use chrono::{DateTime, Utc};
use cursus_ids::{CampaignName, WorkspaceId};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{decoded, optional};
use crate::campaign::{Campaign, Plan, State};

struct Row {
    workspace_id: String,
    campaign_id: String,
    plan: Json<Plan>,
    state: String,
    state_reason: String,
    paused_state: Option<String>,
    launch_approval: Option<String>,
    promotion_approval: Option<String>,
    decided_arm: Option<String>,
    snapshot: Option<String>,
    broadcast: Option<String>,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
    launch_time: Option<DateTime<Utc>>,
    measurement_end_time: Option<DateTime<Utc>>,
    revision: i64,
}

impl TryFrom<Row> for Campaign {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let state = |text: &str| decoded(State::parse(text).ok_or("an unknown state"));
        Ok(Self {
            name: CampaignName::new(
                decoded(row.workspace_id.parse())?,
                decoded(row.campaign_id.parse())?,
            ),
            plan: row.plan.0,
            state: state(&row.state)?,
            state_reason: row.state_reason,
            paused_state: row.paused_state.as_deref().map(state).transpose()?,
            launch_approval: optional(row.launch_approval)?,
            promotion_approval: optional(row.promotion_approval)?,
            decided_arm: optional(row.decided_arm)?,
            snapshot: optional(row.snapshot)?,
            broadcast: optional(row.broadcast)?,
            create_time: row.create_time,
            update_time: row.update_time,
            launch_time: row.launch_time,
            measurement_end_time: row.measurement_end_time,
            revision: row.revision,
        })
    }
}

/// Says whether it is new.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    campaign: &Campaign,
    partition: i16,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into campaigns (workspace_id, campaign_id, plan, state, create_time, update_time, partition)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict do nothing",
        campaign.name.workspace.as_ref(),
        campaign.name.id.as_ref(),
        Json(&campaign.plan) as _,
        campaign.state.as_str(),
        campaign.create_time,
        campaign.update_time,
        partition,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    name: &CampaignName,
) -> Result<Option<Campaign>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select workspace_id, campaign_id, plan as "plan: Json<Plan>", state, state_reason, paused_state,
             launch_approval, promotion_approval, decided_arm, snapshot, broadcast, create_time, update_time,
             launch_time, measurement_end_time, revision
         from campaigns
         where workspace_id = $1 and campaign_id = $2"#,
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Keeps everybody else from changing it until the transaction is over.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    name: &CampaignName,
) -> Result<Option<Campaign>, sqlx::Error> {
    sqlx::query!(
        "select 1 as locked from campaigns where workspace_id = $1 and campaign_id = $2 for update",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    get(conn, name).await
}

/// Writes what may change of a campaign that the transaction has locked.
pub(crate) async fn update(
    conn: &mut PgConnection,
    campaign: &Campaign,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update campaigns
         set plan = $3, state = $4, state_reason = $5, paused_state = $6, launch_approval = $7,
             promotion_approval = $8, decided_arm = $9, snapshot = $10, broadcast = $11, update_time = $12,
             launch_time = $13, measurement_end_time = $14, revision = $15
         where workspace_id = $1 and campaign_id = $2",
        campaign.name.workspace.as_ref(),
        campaign.name.id.as_ref(),
        Json(&campaign.plan) as _,
        campaign.state.as_str(),
        campaign.state_reason,
        campaign.paused_state.map(State::as_str),
        campaign.launch_approval.as_ref().map(AsRef::as_ref),
        campaign.promotion_approval.as_ref().map(AsRef::as_ref),
        campaign.decided_arm.as_ref().map(AsRef::as_ref),
        campaign.snapshot.as_ref().map(ToString::to_string),
        campaign.broadcast.as_ref().map(ToString::to_string),
        campaign.update_time,
        campaign.launch_time,
        campaign.measurement_end_time,
        campaign.revision,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Newest first, older than a place.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    before: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<Campaign>, sqlx::Error> {
    let (time, id) = before.unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"select workspace_id, campaign_id, plan as "plan: Json<Plan>", state, state_reason, paused_state,
             launch_approval, promotion_approval, decided_arm, snapshot, broadcast, create_time, update_time,
             launch_time, measurement_end_time, revision
         from campaigns
         where workspace_id = $1
           and ($2::timestamptz is null or create_time < $2 or (create_time = $2 and campaign_id > $3))
         order by create_time desc, campaign_id
         limit $4"#,
        workspace.as_ref(),
        time,
        id,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The campaigns of a partition that something may have to be done for.
pub(crate) async fn at_work(
    conn: &mut PgConnection,
    partition: i16,
) -> Result<Vec<CampaignName>, sqlx::Error> {
    let rows = sqlx::query!(
        "select workspace_id, campaign_id
         from campaigns
         where partition = $1 and state not in ('DRAFT', 'COMPLETE', 'FAILED')
           and (state <> 'CANCELLED' or broadcast is not null and measurement_end_time is null)
         order by update_time",
        partition,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(CampaignName::new(
                decoded(row.workspace_id.parse())?,
                decoded(row.campaign_id.parse())?,
            ))
        })
        .collect()
}
