//! What was looked at and what was done, page by page.

use cursus_api::experiment as proto;
use cursus_chassis::{Caller, Role};
use cursus_ids::ExperimentName;
use tonic::{Request, Response};

use super::convert::{arm_id, number, parsed, timestamp};
use super::{Answer, Experiments, page, report};
use crate::audit::{Entry, Kind};
use crate::design::Design;
use crate::experiments;
use crate::store::looks::Listed;

pub(super) async fn looks(
    service: &Experiments,
    request: Request<proto::ListLooksRequest>,
) -> Answer<proto::ListLooksResponse> {
    let (caller, request) = Caller::admit(request, Role::Viewer)?;
    let name: ExperimentName = parsed("parent", &request.parent)?;
    caller.enter(&name.workspace)?;
    let size = page::size(request.page_size)?;
    let after = page::number(&request.page_token)?;
    let conn = &mut *service.conn().await?;
    let (experiment, mut found) = experiments::looks(conn, &name, after, size + 1).await?;
    let next_page_token = page::next(&mut found, size, |it| it.number.to_string());
    let looks = found.iter().map(|it| look(&experiment.design, it)).collect();
    Ok(Response::new(proto::ListLooksResponse { looks, next_page_token }))
}

pub(super) async fn audit(
    service: &Experiments,
    request: Request<proto::ListAuditEntriesRequest>,
) -> Answer<proto::ListAuditEntriesResponse> {
    let (caller, request) = Caller::admit(request, Role::Viewer)?;
    let name: ExperimentName = parsed("parent", &request.parent)?;
    caller.enter(&name.workspace)?;
    let size = page::size(request.page_size)?;
    let after = page::number(&request.page_token)?;
    let conn = &mut *service.conn().await?;
    let (experiment, mut found) = experiments::audit(conn, &name, after, size + 1).await?;
    let next_page_token = page::next(&mut found, size, |it| it.number.to_string());
    let entries = found.into_iter().map(|it| entry(&experiment.design, it)).collect();
    Ok(Response::new(proto::ListAuditEntriesResponse { entries, next_page_token }))
}

fn look(design: &Design, look: &Listed) -> proto::Look {
    let count = |(place, arm): (usize, &crate::look::Seen)| proto::look::Count {
        arm: arm_id(design, Some(place)),
        unit_count: number(arm.counted()),
        event_unit_count: number(arm.tally.answered),
        total: arm.tally.total,
        statistic: look.statistics.get(place).copied().unwrap_or_default(),
    };
    proto::Look {
        number: look.number,
        look_time: Some(timestamp(look.time)),
        counts: look.sight.arms.iter().enumerate().map(count).collect(),
        verdict: Some(report::verdict(design, &look.verdict)),
    }
}

fn entry(design: &Design, entry: Entry) -> proto::AuditEntry {
    let detail = entry.detail;
    proto::AuditEntry {
        number: entry.number,
        kind: kind(entry.kind).into(),
        actor: entry.actor,
        entry_time: Some(timestamp(entry.time)),
        arm: arm_id(design, detail.arm),
        reason: detail.reason,
        approval: detail.approval.map(|it| it.to_string()).unwrap_or_default(),
        look_number: i32::try_from(detail.look_number.unwrap_or_default()).unwrap_or(i32::MAX),
        action: detail.action.map_or(0, |action| report::action(action).into()),
        deadline: detail.deadline.map(timestamp),
        outcome_count: number(detail.outcomes.unwrap_or_default()),
    }
}

fn kind(kind: Kind) -> proto::audit_entry::Kind {
    match kind {
        Kind::Created => proto::audit_entry::Kind::Created,
        Kind::Started => proto::audit_entry::Kind::Started,
        Kind::ExposureClosed => proto::audit_entry::Kind::ExposureClosed,
        Kind::LookTaken => proto::audit_entry::Kind::LookTaken,
        Kind::Decided => proto::audit_entry::Kind::Decided,
        Kind::Overridden => proto::audit_entry::Kind::Overridden,
        Kind::Stopped => proto::audit_entry::Kind::Stopped,
        Kind::Extended => proto::audit_entry::Kind::Extended,
        Kind::Reclassified => proto::audit_entry::Kind::Reclassified,
    }
}
