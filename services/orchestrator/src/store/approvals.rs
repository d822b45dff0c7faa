//! Queries about approvals: what was asked, shown and decided.

use chrono::{DateTime, Utc};
use cursus_ids::{ApprovalId, ApprovalName, CampaignName, WorkspaceId};
use sqlx::PgConnection;

use super::decoded;
use crate::approval::{Action, Approval, State};
use crate::grpc::document;

struct Row {
    workspace_id: String,
    approval_id: String,
    campaign_id: String,
    action: String,
    arm: String,
    digest: Vec<u8>,
    summary: Vec<u8>,
    state: String,
    state_reason: String,
    proposer: String,
    proposal_reason: String,
    decider: String,
    create_time: DateTime<Utc>,
    decide_time: Option<DateTime<Utc>>,
    expire_time: DateTime<Utc>,
}

impl TryFrom<Row> for Approval {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let workspace: WorkspaceId = decoded(row.workspace_id.parse())?;
        let action = match row.action.as_str() {
            "PROMOTE" => Action::Promote(decoded(row.arm.parse())?),
            _ => Action::Launch,
        };
        Ok(Self {
            campaign: CampaignName::new(workspace.clone(), decoded(row.campaign_id.parse())?),
            name: ApprovalName::new(workspace, decoded(row.approval_id.parse())?),
            action,
            digest: row.digest,
            summary: decoded(document::decode(&row.summary))?,
            state: decoded(State::parse(&row.state).ok_or("an unknown state"))?,
            state_reason: row.state_reason,
            proposer: row.proposer,
            proposal_reason: row.proposal_reason,
            decider: row.decider,
            create_time: row.create_time,
            decide_time: row.decide_time,
            expire_time: row.expire_time,
        })
    }
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    approval: &Approval,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into approvals
             (workspace_id, approval_id, campaign_id, action, arm, digest, summary, state, proposer,
              proposal_reason, create_time, expire_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        approval.name.workspace.as_ref(),
        approval.name.id.as_ref(),
        approval.campaign.id.as_ref(),
        approval.action.as_str(),
        approval.action.arm(),
        approval.digest,
        document::encode(&approval.summary),
        approval.state.as_str(),
        approval.proposer,
        approval.proposal_reason,
        approval.create_time,
        approval.expire_time,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    id: &ApprovalId,
) -> Result<Option<Approval>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select workspace_id, approval_id, campaign_id, action, arm, digest, summary, state, state_reason,
             proposer, proposal_reason, decider, create_time, decide_time, expire_time
         from approvals
         where workspace_id = $1 and approval_id = $2",
        workspace.as_ref(),
        id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Writes where an approval stands. Its campaign's row must be locked: that is what orders decisions.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    approval: &Approval,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update approvals set state = $3, state_reason = $4, decider = $5, decide_time = $6
         where workspace_id = $1 and approval_id = $2",
        approval.name.workspace.as_ref(),
        approval.name.id.as_ref(),
        approval.state.as_str(),
        approval.state_reason,
        approval.decider,
        approval.decide_time,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Newest first, older than a place, in one state or in any.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    state: Option<State>,
    before: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<Approval>, sqlx::Error> {
    let (time, id) = before.unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, approval_id, campaign_id, action, arm, digest, summary, state, state_reason,
             proposer, proposal_reason, decider, create_time, decide_time, expire_time
         from approvals
         where workspace_id = $1
           and ($2::text is null or state = $2)
           and ($3::timestamptz is null or create_time < $3 or (create_time = $3 and approval_id > $4))
         order by create_time desc, approval_id
         limit $5",
        workspace.as_ref(),
        state.map(State::as_str),
        time,
        id,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}
