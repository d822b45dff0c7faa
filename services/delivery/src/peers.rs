//! What delivery asks of the other services, in its own words.

use anyhow::{Context, ensure};
use cursus_api::content::content_service_client::ContentServiceClient;
use cursus_api::content::{
    GetTemplateVersionRequest, Recipient, RenderMessagesRequest, RenderedMessage,
};
use cursus_api::experiment::experiment_service_client::ExperimentServiceClient;
use cursus_api::experiment::{self, AssignUnitsRequest, assignment::Group};
use cursus_api::orchestrator::orchestrator_service_client::OrchestratorServiceClient;
use cursus_api::orchestrator::{self, GetApprovalRequest, PromotionPolicy, approval};
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_api::segmentation::{GetSnapshotRequest, ListSnapshotMembersRequest, SnapshotMember};
use cursus_chassis::peer::Calls;
use cursus_ids::{
    ApprovalName, ArmId, ContactName, ExperimentName, SnapshotName, TemplateVersionName,
};
use tonic::{Code, Status};

use crate::approval::{Action, Approval};
use crate::broadcast::Variant;
use crate::config::Config;

/// How many members a page of planning has: the most that both peers allow.
const PAGE: i32 = 5_000;
/// A batch of rendered messages is larger than the usual limit.
const LARGEST_RENDERING: usize = 64 << 20;

/// Clients of the other services.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    segmentation: SegmentationServiceClient<Calls>,
    content: ContentServiceClient<Calls>,
    experiment: ExperimentServiceClient<Calls>,
    orchestrator: OrchestratorServiceClient<Calls>,
}

/// Why a peer did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no {what} `{name}`")]
    NotFound { what: &'static str, name: String },
    #[error("the {peer} service did not answer as it should")]
    Failed { peer: &'static str, source: Status },
    #[error("the {peer} service sent something malformed")]
    Malformed { peer: &'static str, source: cursus_ids::ParseError },
}

/// A frozen audience.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) member_count: i64,
    pub(crate) labels: Vec<String>,
}

/// A page of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) members: Vec<Listing>,
    pub(crate) next_page_token: String,
}

/// A contact of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) contact: ContactName,
    pub(crate) email: String,
    pub(crate) labels: Vec<i32>,
}

/// Where the experiment puts a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assignment {
    Test(ArmId),
    Holdout,
    Remainder,
}

impl Peers {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let calls = |address| anyhow::Ok(config.peers.peer(address)?.calls());
        Ok(Self {
            segmentation: SegmentationServiceClient::new(calls(&config.segmentation_url)?)
                .max_decoding_message_size(LARGEST_RENDERING),
            content: ContentServiceClient::new(calls(&config.content_url)?)
                .max_decoding_message_size(LARGEST_RENDERING),
            experiment: ExperimentServiceClient::new(calls(&config.experiment_url)?),
            orchestrator: OrchestratorServiceClient::new(calls(&config.orchestrator_url)?),
        })
    }

    pub(crate) async fn snapshot(&self, name: &SnapshotName) -> Result<Snapshot, Error> {
        let request = GetSnapshotRequest { name: name.to_string() };
        let answer = self.segmentation.clone().get_snapshot(request).await;
        let snapshot = found("segmentation", "snapshot", name, answer)?;
        Ok(Snapshot { member_count: snapshot.member_count, labels: snapshot.labels })
    }

    /// The destinations of a version's links, in order.
    pub(crate) async fn links(&self, name: &TemplateVersionName) -> Result<Vec<String>, Error> {
        let request = GetTemplateVersionRequest { name: name.to_string() };
        let answer = self.content.clone().get_template_version(request).await;
        Ok(found("content", "template version", name, answer)?.links)
    }

    pub(crate) async fn approval(&self, name: &ApprovalName) -> Result<Approval, Error> {
        let request = GetApprovalRequest { name: name.to_string() };
        let answer = self.orchestrator.clone().get_approval(request).await;
        told(found("orchestrator", "approval", name, answer)?)
            .map_err(|source| Error::Malformed { peer: "orchestrator", source })
    }

    /// A page of a snapshot's members, beginning at a token.
    pub(crate) async fn members(
        &self,
        snapshot: &SnapshotName,
        page_token: &str,
    ) -> anyhow::Result<Listed> {
        let request = ListSnapshotMembersRequest {
            parent: snapshot.to_string(),
            page_size: PAGE,
            page_token: page_token.to_owned(),
        };
        let answer = self.segmentation.clone().list_snapshot_members(request).await;
        let page = answer.context("the members of the snapshot cannot be read")?.into_inner();
        let members = page.members.into_iter().map(listing).collect::<anyhow::Result<_>>()?;
        Ok(Listed { members, next_page_token: page.next_page_token })
    }

    /// Where the contacts belong, in the order asked for.
    pub(crate) async fn assign(
        &self,
        experiment: &ExperimentName,
        contacts: Vec<String>,
    ) -> anyhow::Result<Vec<Assignment>> {
        if contacts.is_empty() {
            return Ok(Vec::new());
        }
        let request = AssignUnitsRequest {
            experiment: experiment.to_string(),
            units: contacts.clone(),
            ..AssignUnitsRequest::default()
        };
        let answer = self.experiment.clone().assign_units(request).await;
        let assignments =
            answer.context("the contacts cannot be assigned")?.into_inner().assignments;
        let in_order = assignments.iter().map(|it| &it.unit).eq(&contacts);
        ensure!(in_order, "the experiment service assigned other contacts than it was asked for");
        assignments.iter().map(assignment).collect()
    }

    /// What each recipient will read, in the order asked for.
    pub(crate) async fn render(
        &self,
        version: &TemplateVersionName,
        recipients: Vec<Recipient>,
    ) -> Result<Vec<RenderedMessage>, Error> {
        let template_version = version.to_string();
        let request = RenderMessagesRequest { template_version, recipients };
        let answer = self.content.clone().render_messages(request).await;
        Ok(found("content", "template version", version, answer)?.messages)
    }
}

fn found<T>(
    peer: &'static str,
    what: &'static str,
    name: &impl ToString,
    answer: Result<tonic::Response<T>, Status>,
) -> Result<T, Error> {
    match answer {
        Ok(response) => Ok(response.into_inner()),
        Err(status) if status.code() == Code::NotFound => {
            Err(Error::NotFound { what, name: name.to_string() })
        }
        Err(source) => Err(Error::Failed { peer, source }),
    }
}

fn listing(member: SnapshotMember) -> anyhow::Result<Listing> {
    let contact = member.contact.parse()?;
    Ok(Listing { contact, email: member.email, labels: member.labels })
}

fn assignment(assignment: &experiment::Assignment) -> anyhow::Result<Assignment> {
    match assignment.group() {
        Group::Test => Ok(Assignment::Test(assignment.arm.parse()?)),
        Group::Holdout => Ok(Assignment::Holdout),
        Group::Remainder => Ok(Assignment::Remainder),
        Group::Unspecified => anyhow::bail!("`{}` was assigned to no group", assignment.unit),
    }
}

fn told(approval: orchestrator::Approval) -> Result<Approval, cursus_ids::ParseError> {
    let is_approved = approval.state() == approval::State::Approved;
    let action = match approval.action() {
        approval::Action::Promote => Action::Promote(approval.arm.parse()?),
        _ => Action::Launch,
    };
    let summary = approval.summary.unwrap_or_default();
    let promotes_winner = summary.promotion_policy() == PromotionPolicy::SignificantWinner;
    let variants = summary.variants.iter().map(|it| {
        Ok(Variant { arm: it.arm.parse()?, template_version: it.template_version.parse()? })
    });
    Ok(Approval {
        // An approval of nothing in particular allows nothing.
        is_approved: is_approved && approval.action != 0,
        action,
        campaign: approval.campaign.parse()?,
        digest: approval.digest,
        variants: variants.collect::<Result<_, cursus_ids::ParseError>>()?,
        sender: summary.sender,
        promotes_winner,
    })
}
