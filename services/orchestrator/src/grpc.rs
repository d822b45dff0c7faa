//! The gRPC service: decode, ask, encode.

mod asked;
mod convert;
pub(crate) mod document;
mod page;

use chrono::TimeDelta;
use cursus_ambient::Ambient;
use cursus_api::orchestrator as proto;
use cursus_api::orchestrator::orchestrator_service_server::OrchestratorService;
use cursus_chassis::{Caller, Role};
use cursus_ids::{ApprovalName, CampaignName, WorkspaceId};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use self::asked::{Asked, ask};
use crate::approvals::{self, Decision, Proposal};
use crate::campaigns::{self, By};
use crate::error::Error;
use crate::peers::Peers;
use crate::wake::Wake;
use crate::{approval, campaign, store};

/// The handlers and what they need.
#[derive(Clone, Debug)]
pub(crate) struct Orchestrator {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) peers: Peers,
    /// To ring when a campaign has changed.
    pub(crate) wake: Wake,
    pub(crate) approval_expiry: TimeDelta,
}

/// What a handler answers.
type Answer<T> = Result<Response<T>, Status>;

impl Orchestrator {
    async fn conn(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, Error> {
        Ok(self.pool.acquire().await?)
    }

    fn by<'a>(&self, caller: &'a Caller) -> By<'a> {
        By { subject: caller.subject(), now: self.ambient.now() }
    }

    /// What the approval would cover, from all other services. Outside of a transaction.
    async fn observed(
        &self,
        campaign: &campaign::Campaign,
        action: &approval::Action,
    ) -> Result<proto::ApprovalSummary, Error> {
        match action {
            approval::Action::Launch => {
                campaign.may_propose_launch()?;
                if campaign.plan.experiment.is_none() {
                    self.peers.create_own_experiment(campaign).await?;
                }
                Ok(self.peers.observe(campaign).await?)
            }
            approval::Action::Promote(arm) => {
                campaign.may_propose_promotion()?;
                if !campaign.plan.variants.iter().any(|variant| variant.arm == *arm) {
                    return Err(Error::invalid("arm", "it is no arm of the campaign"));
                }
                let results = self.peers.results(&campaign.experiment()).await?;
                Ok(proto::ApprovalSummary { verdict: results.verdict, ..Default::default() })
            }
        }
    }

    /// What a request for approval asks to allow.
    async fn action(
        &self,
        campaign: &campaign::Campaign,
        request: &proto::RequestApprovalRequest,
    ) -> Result<approval::Action, Error> {
        match request.action() {
            proto::approval::Action::Launch if request.arm.is_empty() => {
                Ok(approval::Action::Launch)
            }
            proto::approval::Action::Launch => {
                Err(Error::invalid("arm", "a launch sends every arm: leave it empty"))
            }
            proto::approval::Action::Promote => {
                let mut arm = request.arm.clone();
                if arm.is_empty() {
                    campaign.may_propose_promotion()?;
                    let results = self.peers.results(&campaign.experiment()).await?;
                    arm = results.verdict.unwrap_or_default().arm;
                }
                if arm.is_empty() {
                    let why = "the verdict recommends no arm: name the one to send";
                    return Err(Error::invalid("arm", why));
                }
                Ok(approval::Action::Promote(convert::parsed("arm", &arm)?))
            }
            proto::approval::Action::Unspecified => {
                Err(Error::invalid("action", "say what to allow: a launch or a promotion"))
            }
        }
    }
}

#[tonic::async_trait]
impl OrchestratorService for Orchestrator {
    async fn create_campaign(
        &self,
        request: Request<proto::CreateCampaignRequest>,
    ) -> Answer<proto::Campaign> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let (name, plan) = convert::draft(&request)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "CreateCampaign");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let campaign = campaigns::create(&mut asked.tx, name, plan, self.by(&caller)).await?;
        Ok(Response::new(asked.answer(campaign.into()).await?))
    }

    async fn get_campaign(
        &self,
        request: Request<proto::GetCampaignRequest>,
    ) -> Answer<proto::Campaign> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: CampaignName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(campaigns::get(&mut *self.conn().await?, &name).await?.into()))
    }

    async fn list_campaigns(
        &self,
        request: Request<proto::ListCampaignsRequest>,
    ) -> Answer<proto::ListCampaignsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let size = page::size(request.page_size)?;
        let before = page::place(&request.page_token)?.map(|it| page::read_at(&it)).transpose()?;
        let conn = &mut *self.conn().await?;
        let mut campaigns = campaigns::list(conn, &workspace, before, size + 1).await?;
        let next_page_token =
            page::next(&mut campaigns, size, |it| page::at(it.create_time, &it.name.id));
        let campaigns = campaigns.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListCampaignsResponse { campaigns, next_page_token }))
    }

    async fn update_campaign(
        &self,
        request: Request<proto::UpdateCampaignRequest>,
    ) -> Answer<proto::Campaign> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let new = request.campaign.clone().unwrap_or_default();
        let name: CampaignName = convert::parsed("campaign.name", &new.name)?;
        caller.enter(&name.workspace)?;
        let etag = convert::etag(&new.etag)?;
        let paths = request.update_mask.clone().unwrap_or_default().paths;
        let id = (request.request_id.as_str(), "UpdateCampaign");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let change = |plan: &campaign::Plan| convert::changed(&name.workspace, plan, &new, &paths);
        let campaign =
            campaigns::update(&mut asked.tx, &name, etag, change, self.by(&caller)).await?;
        Ok(Response::new(asked.answer(campaign.into()).await?))
    }

    async fn launch_campaign(
        &self,
        request: Request<proto::LaunchCampaignRequest>,
    ) -> Answer<proto::Campaign> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: CampaignName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "LaunchCampaign");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let campaign = campaigns::launch(&mut asked.tx, &name, self.ambient.now()).await?;
        let answer = asked.answer(campaign.into()).await?;
        self.wake.ring();
        Ok(Response::new(answer))
    }

    async fn pause_campaign(
        &self,
        request: Request<proto::PauseCampaignRequest>,
    ) -> Answer<proto::Campaign> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: CampaignName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "PauseCampaign");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let reason = convert::reason(&request.reason)?;
        let campaign = campaigns::pause(&mut asked.tx, &name, reason, self.by(&caller)).await?;
        let answer = asked.answer(campaign.into()).await?;
        self.wake.ring();
        Ok(Response::new(answer))
    }

    async fn resume_campaign(
        &self,
        request: Request<proto::ResumeCampaignRequest>,
    ) -> Answer<proto::Campaign> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: CampaignName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "ResumeCampaign");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let campaign = campaigns::resume(&mut asked.tx, &name, self.by(&caller)).await?;
        let answer = asked.answer(campaign.into()).await?;
        self.wake.ring();
        Ok(Response::new(answer))
    }

    async fn cancel_campaign(
        &self,
        request: Request<proto::CancelCampaignRequest>,
    ) -> Answer<proto::Campaign> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: CampaignName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "CancelCampaign");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let reason = convert::reason(&request.reason)?;
        let campaign = campaigns::cancel(&mut asked.tx, &name, reason, self.by(&caller)).await?;
        let answer = asked.answer(campaign.into()).await?;
        self.wake.ring();
        Ok(Response::new(answer))
    }

    async fn get_campaign_report(
        &self,
        request: Request<proto::GetCampaignReportRequest>,
    ) -> Answer<proto::CampaignReport> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: CampaignName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let campaign = campaigns::get(&mut *self.conn().await?, &name).await?;
        let Some(broadcast) = &campaign.broadcast else {
            return Err(Error::from(campaign::Refusal::NotLaunched).into());
        };
        let experiment = campaign.experiment();
        let (broadcast, results, experiment) = tokio::try_join!(
            self.peers.broadcast(broadcast),
            self.peers.results(&experiment),
            self.peers.experiment(&experiment),
        )
        .map_err(Error::from)?;
        Ok(Response::new(proto::CampaignReport {
            campaign: name.to_string(),
            state: convert::campaign_state(campaign.state).into(),
            r#final: campaign.state == campaign::State::Complete,
            ledger: broadcast.ledger,
            results: Some(results),
            decision: experiment.decision,
        }))
    }

    async fn request_approval(
        &self,
        request: Request<proto::RequestApprovalRequest>,
    ) -> Answer<proto::Approval> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: CampaignName = convert::parsed("campaign", &request.campaign)?;
        caller.enter(&name.workspace)?;
        let reason = convert::reason(&request.reason)?.to_owned();
        let id = (request.request_id.as_str(), "RequestApproval");
        // Looked for first, so that a repetition is answered whatever became of the campaign since.
        if let Asked::Before(answer) = ask(&self.pool, &name.workspace, id, &request).await? {
            return Ok(Response::new(answer));
        }
        let seen = campaigns::get(&mut *self.conn().await?, &name).await?;
        let action = self.action(&seen, &request).await?;
        let summary = self.observed(&seen, &action).await?;
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let now = self.ambient.now();
        let mut campaign = campaigns::lock(&mut asked.tx, &name).await?;
        if action == approval::Action::Launch && campaign.revision != seen.revision {
            return Err(Error::Stale.into());
        }
        if action != approval::Action::Launch {
            campaign.may_propose_promotion().map_err(Error::from)?;
        }
        let proposal = Proposal {
            name: approvals::fresh_name(&campaign, &self.ambient),
            action,
            summary,
            proposer: caller.subject().to_owned(),
            reason,
            expire_time: now + self.approval_expiry,
        };
        let approval = approvals::open(&mut asked.tx, &mut campaign, proposal, now).await?;
        Ok(Response::new(asked.answer(approval.into()).await?))
    }

    async fn get_approval(
        &self,
        request: Request<proto::GetApprovalRequest>,
    ) -> Answer<proto::Approval> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: ApprovalName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(approvals::get(&mut *self.conn().await?, &name).await?.into()))
    }

    async fn list_approvals(
        &self,
        request: Request<proto::ListApprovalsRequest>,
    ) -> Answer<proto::ListApprovalsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace: WorkspaceId = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let state = convert::approval_filter(request.state());
        let size = page::size(request.page_size)?;
        let before = page::place(&request.page_token)?.map(|it| page::read_at(&it)).transpose()?;
        let conn = &mut *self.conn().await?;
        let mut found = store::approvals::list(conn, &workspace, state, before, size + 1)
            .await
            .map_err(Error::from)?;
        let next_page_token =
            page::next(&mut found, size, |it| page::at(it.create_time, &it.name.id));
        let approvals = found.into_iter().map(convert::without_samples).collect();
        Ok(Response::new(proto::ListApprovalsResponse { approvals, next_page_token }))
    }

    async fn approve_approval(
        &self,
        request: Request<proto::ApproveApprovalRequest>,
    ) -> Answer<proto::Approval> {
        let (caller, request) = Caller::admit(request, Role::Approver)?;
        let name: ApprovalName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "ApproveApproval");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let decision = Decision { name: &name, subject: caller.subject(), now: self.ambient.now() };
        let approval = approvals::approve(&mut asked.tx, decision, &request.digest).await?;
        let answer = asked.answer(approval.into()).await?;
        self.wake.ring();
        Ok(Response::new(answer))
    }

    async fn reject_approval(
        &self,
        request: Request<proto::RejectApprovalRequest>,
    ) -> Answer<proto::Approval> {
        let (caller, request) = Caller::admit(request, Role::Approver)?;
        let name: ApprovalName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "RejectApproval");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let decision = Decision { name: &name, subject: caller.subject(), now: self.ambient.now() };
        let reason = convert::reason(&request.reason)?;
        let approval = approvals::reject(&mut asked.tx, decision, reason).await?;
        let answer = asked.answer(approval.into()).await?;
        self.wake.ring();
        Ok(Response::new(answer))
    }

    async fn list_audit_entries(
        &self,
        request: Request<proto::ListAuditEntriesRequest>,
    ) -> Answer<proto::ListAuditEntriesResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let size = page::size(request.page_size)?;
        let after = page::place(&request.page_token)?
            .map_or(Ok(0), |place| place.parse().map_err(|_| Error::PageToken))?;
        let conn = &mut *self.conn().await?;
        let mut entries =
            store::audit::list(conn, &workspace, after, size + 1).await.map_err(Error::from)?;
        let next_page_token = page::next(&mut entries, size, |it| it.sequence.to_string());
        let audit_entries = entries.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListAuditEntriesResponse { audit_entries, next_page_token }))
    }
}
