//! What was looked at and what was done, page by page.

use cursus_api::experiment as proto;
use cursus_chassis::{Caller, Role};
use cursus_ids::ExperimentName;
use tonic::{Request, Response};

use super::convert::{arm_id, duration, number, parent, parsed, timestamp};
use super::{Answer, Experiments, page, report};
use crate::audit::{Entry, Kind};
use crate::curves::Curve;
use crate::design::Design;
use crate::error::Error;
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

pub(super) async fn path(
    service: &Experiments,
    request: Request<proto::GetMonitoringPathRequest>,
) -> Answer<proto::MonitoringPath> {
    let (caller, request) = Caller::admit(request, Role::Viewer)?;
    let name: ExperimentName = parsed("name", &request.name)?;
    caller.enter(&name.workspace)?;
    let svg = experiments::path(&mut *service.conn().await?, &name).await?;
    Ok(Response::new(proto::MonitoringPath { experiment: name.to_string(), svg }))
}

pub(super) async fn curves(
    service: &Experiments,
    request: Request<proto::ListResponseCurvesRequest>,
) -> Answer<proto::ListResponseCurvesResponse> {
    let (caller, request) = Caller::admit(request, Role::Viewer)?;
    let workspace = parent(&request.parent)?;
    caller.enter(&workspace)?;
    let size = page::size(request.page_size)?;
    let after = page::place(&request.page_token)?.unwrap_or_default();
    if after.contains('\0') {
        return Err(Error::PageToken.into());
    }
    let conn = &mut *service.conn().await?;
    let mut found = experiments::curves(conn, &workspace, &after, size + 1).await?;
    let next_page_token = page::next(&mut found, size, |(metric, _)| metric.clone());
    let response_curves = found.into_iter().filter_map(|(_, it)| it).map(curve).collect();
    Ok(Response::new(proto::ListResponseCurvesResponse { response_curves, next_page_token }))
}

fn curve(curve: Curve) -> proto::ResponseCurve {
    proto::ResponseCurve {
        metric_id: curve.metric,
        median: Some(duration(curve.median.as_secs_f64())),
        log_sd: curve.log_sd,
        answer_count: number(curve.answers),
        experiment_count: i32::try_from(curve.experiments).unwrap_or(i32::MAX),
    }
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
        shares: detail.shares,
        allocation_number: detail
            .allocation
            .map_or(0, |number| i32::try_from(number).unwrap_or(i32::MAX)),
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
        Kind::Reallocated => proto::audit_entry::Kind::Reallocated,
    }
}
