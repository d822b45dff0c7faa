//! Steps that a person takes beside the plan: deciding by hand, ending, extending, and judging evidence anew.

use cursus_api::experiment as proto;
use cursus_chassis::{Caller, Role};
use cursus_ids::ExperimentName;
use tonic::{Request, Response};

use super::asked::{Asked, ask};
use super::{Answer, Experiments, convert};
use crate::experiments::{self, Choice};

pub(super) async fn override_decision(
    service: &Experiments,
    request: Request<proto::OverrideDecisionRequest>,
) -> Answer<proto::Experiment> {
    let (caller, request) = Caller::admit(request, Role::Approver)?;
    let name: ExperimentName = convert::parsed("name", &request.name)?;
    caller.enter(&name.workspace)?;
    let reason = convert::reason(request.reason.clone())?;
    let id = (request.request_id.as_str(), "OverrideDecision");
    let mut asked = match ask(&service.pool, &name.workspace, id, &request).await? {
        Asked::Before(answer) => return Ok(Response::new(answer)),
        Asked::Now(asked) => asked,
    };
    let choice = Choice { arm: &request.arm, approval: None, override_reason: Some(reason) };
    let by = service.by(&caller);
    let decided = experiments::decide(&mut asked.tx, &name, choice, &by).await?;
    Ok(Response::new(asked.answer(decided.into()).await?))
}

pub(super) async fn stop(
    service: &Experiments,
    request: Request<proto::StopExperimentRequest>,
) -> Answer<proto::Experiment> {
    let (caller, request) = Caller::admit(request, Role::Editor)?;
    let name: ExperimentName = convert::parsed("name", &request.name)?;
    caller.enter(&name.workspace)?;
    let reason = convert::reason(request.reason.clone())?;
    let id = (request.request_id.as_str(), "StopExperiment");
    let mut asked = match ask(&service.pool, &name.workspace, id, &request).await? {
        Asked::Before(answer) => return Ok(Response::new(answer)),
        Asked::Now(asked) => asked,
    };
    let stopped = experiments::stop(&mut asked.tx, &name, reason, &service.by(&caller)).await?;
    Ok(Response::new(asked.answer(stopped.into()).await?))
}

pub(super) async fn extend(
    service: &Experiments,
    request: Request<proto::ExtendExperimentRequest>,
) -> Answer<proto::Experiment> {
    let (caller, request) = Caller::admit(request, Role::Approver)?;
    let name: ExperimentName = convert::parsed("name", &request.name)?;
    caller.enter(&name.workspace)?;
    let until = (convert::deadline(request.deadline)?, convert::reason(request.reason.clone())?);
    let id = (request.request_id.as_str(), "ExtendExperiment");
    let mut asked = match ask(&service.pool, &name.workspace, id, &request).await? {
        Asked::Before(answer) => return Ok(Response::new(answer)),
        Asked::Now(asked) => asked,
    };
    let extended = experiments::extend(&mut asked.tx, &name, until, &service.by(&caller)).await?;
    Ok(Response::new(asked.answer(extended.into()).await?))
}

pub(super) async fn reclassify(
    service: &Experiments,
    request: Request<proto::ReclassifyOutcomesRequest>,
) -> Answer<proto::ReclassifyOutcomesResponse> {
    let (caller, request) = Caller::admit(request, Role::Service)?;
    let name: ExperimentName = convert::parsed("experiment", &request.experiment)?;
    caller.enter(&name.workspace)?;
    let words = convert::words(&name, request.reclassifications)?;
    let mut tx = service.begin().await?;
    let recorded = experiments::reclassify(&mut tx, &name, &words, &service.by(&caller)).await?;
    tx.commit().await.map_err(crate::error::Error::from)?;
    let recorded_count = convert::number(recorded);
    Ok(Response::new(proto::ReclassifyOutcomesResponse { recorded_count }))
}

pub(super) async fn aggregate(
    service: &Experiments,
    request: Request<proto::RecordAggregatesRequest>,
) -> Answer<proto::RecordAggregatesResponse> {
    let (caller, request) = Caller::admit(request, Role::Service)?;
    let name: ExperimentName = convert::parsed("experiment", &request.experiment)?;
    caller.enter(&name.workspace)?;
    let read = |it: &crate::experiment::Experiment| convert::aggregate(it, request);
    let conn = &mut *service.conn().await?;
    let (recorded, latest_sequence) = experiments::aggregate(conn, &name, read).await?;
    Ok(Response::new(proto::RecordAggregatesResponse { recorded, latest_sequence }))
}
