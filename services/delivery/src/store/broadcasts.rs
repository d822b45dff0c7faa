//! Broadcasts, their variants and the counts of their ledgers.

use chrono::{DateTime, Utc};
use cursus_ids::{ArmId, BroadcastName, WorkspaceId};
use sqlx::PgConnection;

use super::decoded;
use crate::broadcast::{self, Broadcast, Counts, Draft, Particulars, Status, Variant};

struct Row {
    broadcast_id: String,
    snapshot: String,
    sender_id: String,
    experiment: String,
    approval: String,
    approval_digest: Vec<u8>,
    campaign: String,
    may_release: bool,
    audience_count: i64,
    status: String,
    plan_time: Option<DateTime<Utc>>,
    released_arm: String,
    idle_time: Option<DateTime<Utc>>,
    create_time: DateTime<Utc>,
    arms: Vec<String>,
    template_versions: Vec<String>,
}

impl Row {
    fn into_broadcast(self, workspace: &WorkspaceId) -> Result<Broadcast, sqlx::Error> {
        let variants = self.arms.iter().zip(&self.template_versions).map(|(arm, version)| {
            Ok(Variant { arm: decoded(arm.parse())?, template_version: decoded(version.parse())? })
        });
        let draft = Draft {
            name: BroadcastName::new(workspace.clone(), decoded(self.broadcast_id.parse())?),
            snapshot: decoded(self.snapshot.parse())?,
            sender: decoded(self.sender_id.parse())?,
            experiment: decoded(self.experiment.parse())?,
            variants: variants.collect::<Result<_, sqlx::Error>>()?,
            approval: decoded(self.approval.parse())?,
            approval_digest: self.approval_digest,
        };
        let released = (!self.released_arm.is_empty()).then(|| self.released_arm.parse());
        Ok(Broadcast {
            draft,
            campaign: decoded(self.campaign.parse())?,
            may_release: self.may_release,
            status: decoded(Status::parse(&self.status).ok_or("a broadcast has another status"))?,
            audience_count: self.audience_count,
            plan_time: self.plan_time,
            released_arm: decoded(released.transpose())?,
            idle_time: self.idle_time,
            create_time: self.create_time,
        })
    }
}

/// Says whether it is new.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    draft: &Draft,
    particulars: &Particulars,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into broadcasts (
             workspace_id, broadcast_id, snapshot, sender_id, experiment, approval, approval_digest,
             campaign, may_release, labels, audience_count, partition, create_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict do nothing",
        draft.name.workspace.as_ref(),
        draft.name.id.as_ref(),
        draft.snapshot.to_string(),
        draft.sender.as_ref(),
        draft.experiment.to_string(),
        draft.approval.to_string(),
        draft.approval_digest,
        particulars.campaign.to_string(),
        particulars.may_release,
        &particulars.labels,
        particulars.audience_count,
        broadcast::partition(&draft.name),
        now,
    )
    .execute(&mut *conn)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    for (position, (variant, links)) in draft.variants.iter().zip(&particulars.links).enumerate() {
        sqlx::query!(
            "insert into variants (workspace_id, broadcast_id, arm, position, template_version, links)
             values ($1, $2, $3, $4, $5, $6)",
            draft.name.workspace.as_ref(),
            draft.name.id.as_ref(),
            variant.arm.as_ref(),
            i16::try_from(position).unwrap_or(i16::MAX),
            variant.template_version.to_string(),
            links,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(true)
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<Option<Broadcast>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select broadcast_id, snapshot, sender_id, experiment, approval, approval_digest, campaign,
             may_release, audience_count, status, plan_time, released_arm, idle_time,
             create_time,
             array(select arm from variants as v
                 where v.workspace_id = b.workspace_id and v.broadcast_id = b.broadcast_id
                 order by position) as "arms!",
             array(select template_version from variants as v
                 where v.workspace_id = b.workspace_id and v.broadcast_id = b.broadcast_id
                 order by position) as "template_versions!"
         from broadcasts as b
         where workspace_id = $1 and broadcast_id = $2"#,
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.into_broadcast(&name.workspace)).transpose()
}

/// Newest first, those before `before`; with their counts.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    before: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<(Broadcast, Counts)>, sqlx::Error> {
    let (time, id) = before.unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"select broadcast_id, snapshot, sender_id, experiment, approval, approval_digest, campaign,
             may_release, audience_count, status, plan_time, released_arm, idle_time,
             create_time,
             array(select arm from variants as v
                 where v.workspace_id = b.workspace_id and v.broadcast_id = b.broadcast_id
                 order by position) as "arms!",
             array(select template_version from variants as v
                 where v.workspace_id = b.workspace_id and v.broadcast_id = b.broadcast_id
                 order by position) as "template_versions!"
         from broadcasts as b
         where workspace_id = $1
             and ($2::timestamptz is null or (create_time, broadcast_id) < ($2, $3::text))
         order by create_time desc, broadcast_id desc
         limit $4"#,
        workspace.as_ref(),
        time,
        id,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<String> = rows.iter().map(|row| row.broadcast_id.clone()).collect();
    let mut counts = counts_of(conn, workspace, &ids).await?;
    let with_counts = |row: Row| {
        let counts = counts.remove(&row.broadcast_id).unwrap_or_default();
        Ok((row.into_broadcast(workspace)?, counts))
    };
    rows.into_iter().map(with_counts).collect()
}

pub(crate) async fn counts(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<Counts, sqlx::Error> {
    let id = name.id.to_string();
    let mut counts = counts_of(conn, &name.workspace, std::slice::from_ref(&id)).await?;
    Ok(counts.remove(&id).unwrap_or_default())
}

async fn counts_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: &[String],
) -> Result<std::collections::HashMap<String, Counts>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select broadcast_id, state, reason, sum(count)::bigint as "count!"
         from ledger_counts
         where workspace_id = $1 and broadcast_id = any($2)
         group by broadcast_id, state, reason"#,
        workspace.as_ref(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    let mut all = std::collections::HashMap::<String, Counts>::new();
    for row in rows {
        let counts = all.entry(row.broadcast_id).or_default();
        counts.add(decoded(row.state.parse())?, &row.reason, row.count);
    }
    Ok(all)
}

pub(crate) async fn set_status(
    conn: &mut PgConnection,
    name: &BroadcastName,
    status: Status,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update broadcasts set status = $3 where workspace_id = $1 and broadcast_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
        status.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// From now on the remainder belongs to an arm, and there is something to hand over again.
pub(crate) async fn set_released(
    conn: &mut PgConnection,
    name: &BroadcastName,
    arm: &ArmId,
    approval: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update broadcasts
         set released_arm = $3, release_approval = $4, idle_time = null
         where workspace_id = $1 and broadcast_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
        arm.as_ref(),
        approval,
    )
    .execute(conn)
    .await?;
    Ok(())
}
