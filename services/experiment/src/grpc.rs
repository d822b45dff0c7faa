//! The gRPC service: decode, ask, encode.

mod asked;
mod convert;
mod history;
mod page;
mod report;
mod steps;

use cursus_ambient::Ambient;
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment_service_server::ExperimentService;
use cursus_chassis::{Caller, Role};
use cursus_ids::{ApprovalName, ExperimentName};
use sqlx::PgPool;
use tonic::{Request, Response, Status, Streaming};

use self::asked::{Asked, ask};
use crate::error::Error;
use crate::experiment::By;
use crate::experiments::{self, Choice};
use crate::placement::{self, Explain};

/// The handlers and what they need.
#[derive(Clone, Debug)]
pub(crate) struct Experiments {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
}

/// What a handler answers.
type Answer<T> = Result<Response<T>, Status>;

impl Experiments {
    async fn conn(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, Error> {
        Ok(self.pool.acquire().await?)
    }

    async fn begin(&self) -> Result<sqlx::PgTransaction<'static>, Error> {
        Ok(self.pool.begin().await?)
    }

    fn by(&self, caller: &Caller) -> By {
        By { actor: caller.subject().to_owned(), now: self.ambient.now() }
    }

    /// Takes an import part by part, each in its own transaction.
    async fn take(
        &self,
        caller: &Caller,
        mut parts: Streaming<proto::ImportAssignmentsRequest>,
    ) -> Result<i64, Status> {
        let mut whole: Option<ExperimentName> = None;
        while let Some(part) = parts.message().await? {
            let name: ExperimentName = convert::parsed("experiment", &part.experiment)?;
            caller.enter(&name.workspace)?;
            if whole.as_ref().is_some_and(|whole| *whole != name) {
                let why = "every part must name the same experiment";
                return Err(Error::invalid("experiment", why).into());
            }
            let mut tx = self.begin().await?;
            let read = |it: &crate::experiment::Experiment| convert::imported(it, part.assignments);
            placement::import(&mut tx, &name, read).await?;
            tx.commit().await.map_err(Error::from)?;
            whole = Some(name);
        }
        let Some(name) = whole else {
            return Err(Error::invalid("experiment", "there was nothing to import").into());
        };
        let mut tx = self.begin().await?;
        let count = placement::finish_import(&mut tx, &name).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(count)
    }
}

#[tonic::async_trait]
impl ExperimentService for Experiments {
    async fn create_experiment(
        &self,
        request: Request<proto::CreateExperimentRequest>,
    ) -> Answer<proto::Experiment> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let draft = convert::draft(&request)?;
        caller.enter(&draft.name.workspace)?;
        let id = (request.request_id.as_str(), "CreateExperiment");
        let mut asked = match ask(&self.pool, &draft.name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let experiment = experiments::create(&mut asked.tx, draft, &self.by(&caller)).await?;
        Ok(Response::new(asked.answer(experiment.into()).await?))
    }

    async fn get_experiment(
        &self,
        request: Request<proto::GetExperimentRequest>,
    ) -> Answer<proto::Experiment> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: ExperimentName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(experiments::get(&mut *self.conn().await?, &name).await?.into()))
    }

    async fn list_experiments(
        &self,
        request: Request<proto::ListExperimentsRequest>,
    ) -> Answer<proto::ListExperimentsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let size = page::size(request.page_size)?;
        let before = page::place(&request.page_token)?.map(|it| page::read_at(&it)).transpose()?;
        let conn = &mut *self.conn().await?;
        let mut found = experiments::list(conn, &workspace, before, size + 1).await?;
        let next_page_token =
            page::next(&mut found, size, |it| page::at(it.create_time, &it.name.id));
        let experiments = found.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListExperimentsResponse { experiments, next_page_token }))
    }

    async fn import_assignments(
        &self,
        request: Request<Streaming<proto::ImportAssignmentsRequest>>,
    ) -> Answer<proto::ImportAssignmentsResponse> {
        let (caller, parts) = Caller::admit(request, Role::Editor)?;
        let assignment_count = self.take(&caller, parts).await?;
        Ok(Response::new(proto::ImportAssignmentsResponse { assignment_count }))
    }

    async fn start_experiment(
        &self,
        request: Request<proto::StartExperimentRequest>,
    ) -> Answer<proto::Experiment> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let name: ExperimentName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "StartExperiment");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let by = self.by(&caller);
        let started = experiments::start(&mut asked.tx, &name, &request.design_digest, &by).await?;
        Ok(Response::new(asked.answer(started.into()).await?))
    }

    async fn assign_units(
        &self,
        request: Request<proto::AssignUnitsRequest>,
    ) -> Answer<proto::AssignUnitsResponse> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let name: ExperimentName = convert::parsed("experiment", &request.experiment)?;
        caller.enter(&name.workspace)?;
        let units = convert::units(&name, &request.units)?;
        let experiment = experiments::get(&mut *self.conn().await?, &name).await?;
        let explain = if request.explain { Explain::Yes } else { Explain::No };
        let conn = &mut *self.conn().await?;
        let assigned = placement::assign(conn, &experiment, units, explain).await?;
        let assignments = convert::assignments(&experiment, assigned, explain);
        Ok(Response::new(proto::AssignUnitsResponse { assignments }))
    }

    async fn record_exposures(
        &self,
        request: Request<proto::RecordExposuresRequest>,
    ) -> Answer<proto::RecordExposuresResponse> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let name: ExperimentName = convert::parsed("experiment", &request.experiment)?;
        caller.enter(&name.workspace)?;
        let read = |it: &crate::experiment::Experiment| convert::exposures(it, request.exposures);
        let recorded = experiments::expose(&mut *self.conn().await?, &name, read).await?;
        let recorded_count = convert::number(recorded);
        Ok(Response::new(proto::RecordExposuresResponse { recorded_count }))
    }

    async fn record_outcomes(
        &self,
        request: Request<proto::RecordOutcomesRequest>,
    ) -> Answer<proto::RecordOutcomesResponse> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let name: ExperimentName = convert::parsed("experiment", &request.experiment)?;
        caller.enter(&name.workspace)?;
        let events = convert::outcomes(&name, request.outcomes)?;
        let recorded = experiments::record(&mut *self.conn().await?, &name, &events).await?;
        let recorded_count = convert::number(recorded);
        Ok(Response::new(proto::RecordOutcomesResponse { recorded_count }))
    }

    async fn close_exposure(
        &self,
        request: Request<proto::CloseExposureRequest>,
    ) -> Answer<proto::Experiment> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let name: ExperimentName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "CloseExposure");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let closed = experiments::close(&mut asked.tx, &name, &self.by(&caller)).await?;
        Ok(Response::new(asked.answer(closed.into()).await?))
    }

    async fn get_results(
        &self,
        request: Request<proto::GetResultsRequest>,
    ) -> Answer<proto::Results> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: ExperimentName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let conn = &mut *self.conn().await?;
        let report = crate::report::report(conn, &name, self.ambient.now()).await?;
        Ok(Response::new(report.into()))
    }

    async fn decide_experiment(
        &self,
        request: Request<proto::DecideExperimentRequest>,
    ) -> Answer<proto::Experiment> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let name: ExperimentName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let approval: Option<ApprovalName> = convert::optional("approval", &request.approval)?;
        let id = (request.request_id.as_str(), "DecideExperiment");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let choice = Choice { arm: &request.arm, approval, override_reason: None };
        let decided = experiments::decide(&mut asked.tx, &name, choice, &self.by(&caller)).await?;
        Ok(Response::new(asked.answer(decided.into()).await?))
    }

    async fn override_decision(
        &self,
        request: Request<proto::OverrideDecisionRequest>,
    ) -> Answer<proto::Experiment> {
        steps::override_decision(self, request).await
    }

    async fn stop_experiment(
        &self,
        request: Request<proto::StopExperimentRequest>,
    ) -> Answer<proto::Experiment> {
        steps::stop(self, request).await
    }

    async fn extend_experiment(
        &self,
        request: Request<proto::ExtendExperimentRequest>,
    ) -> Answer<proto::Experiment> {
        steps::extend(self, request).await
    }

    async fn list_looks(
        &self,
        request: Request<proto::ListLooksRequest>,
    ) -> Answer<proto::ListLooksResponse> {
        history::looks(self, request).await
    }

    async fn list_audit_entries(
        &self,
        request: Request<proto::ListAuditEntriesRequest>,
    ) -> Answer<proto::ListAuditEntriesResponse> {
        history::audit(self, request).await
    }

    async fn reclassify_outcomes(
        &self,
        request: Request<proto::ReclassifyOutcomesRequest>,
    ) -> Answer<proto::ReclassifyOutcomesResponse> {
        steps::reclassify(self, request).await
    }

    async fn record_aggregates(
        &self,
        request: Request<proto::RecordAggregatesRequest>,
    ) -> Answer<proto::RecordAggregatesResponse> {
        steps::aggregate(self, request).await
    }

    async fn get_monitoring_path(
        &self,
        request: Request<proto::GetMonitoringPathRequest>,
    ) -> Answer<proto::MonitoringPath> {
        history::path(self, request).await
    }

    async fn list_response_curves(
        &self,
        request: Request<proto::ListResponseCurvesRequest>,
    ) -> Answer<proto::ListResponseCurvesResponse> {
        history::curves(self, request).await
    }
}
