//! What the orchestrator asks of the other services, in its own words.

mod observe;

use cursus_api::content::content_service_client::ContentServiceClient;
use cursus_api::delivery::delivery_service_client::DeliveryServiceClient;
use cursus_api::delivery::{
    self, Broadcast, CancelBroadcastRequest, CreateBroadcastRequest, GetBroadcastRequest,
    PauseBroadcastRequest, ReleaseBroadcastRequest, ResumeBroadcastRequest,
};
use cursus_api::experiment::experiment_service_client::ExperimentServiceClient;
use cursus_api::experiment::{
    CloseExposureRequest, CreateExperimentRequest, DecideExperimentRequest, Experiment,
    GetExperimentRequest, GetResultsRequest, Results, StartExperimentRequest,
};
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_api::segmentation::{Audience, CreateSnapshotRequest, Snapshot};
use cursus_chassis::peer::Calls;
use cursus_ids::{BroadcastName, ExperimentName};
use sha2::{Digest, Sha256};
use tonic::{Code, Response, Status};

use crate::approval::Approval;
use crate::campaign::{Campaign, Plan};
use crate::config::Config;

/// Rendered samples and whole reports are larger than the usual limit.
const LARGEST_ANSWER: usize = 64 << 20;

/// Clients of the other services.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    segmentation: SegmentationServiceClient<Calls>,
    content: ContentServiceClient<Calls>,
    delivery: DeliveryServiceClient<Calls>,
    experiment: ExperimentServiceClient<Calls>,
}

/// Why a peer did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{field}`: {}", answer.message())]
    Refused { field: String, peer: &'static str, answer: Status },
    #[error("`{field}`: {why}")]
    NotReady { field: String, why: String },
    #[error("the {peer} service does not answer: try again")]
    Away { peer: &'static str, source: Status },
    #[error("the {peer} service answered something malformed: {what}")]
    Malformed { peer: &'static str, what: String },
}

impl Error {
    /// Whether trying again later may help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// Separates what can be tried again from what was refused for good.
fn answered<T>(
    peer: &'static str,
    field: impl Into<String>,
    answer: Result<Response<T>, Status>,
) -> Result<T, Error> {
    match answer {
        Ok(response) => Ok(response.into_inner()),
        Err(answer) => Err(match answer.code() {
            Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists => Error::Refused { field: field.into(), peer, answer },
            _ => Error::Away { peer, source: answer },
        }),
    }
}

/// The id of a request that the orchestrator makes for a campaign: always the same for the same step, so that a crash
/// between the request and its record repeats nothing. A UUID of version 8 (RFC 9562).
fn request_id(campaign: &Campaign, step: &str) -> String {
    let approval = campaign.launch_approval.as_ref().map_or("", AsRef::as_ref);
    let digest = Sha256::digest(format!("{} {approval} {step}", campaign.name));
    let bytes = std::array::from_fn(|index| digest[index]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

impl Peers {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let calls = |address| anyhow::Ok(config.peers.peer(address)?.calls());
        Ok(Self {
            segmentation: SegmentationServiceClient::new(calls(&config.segmentation_url)?)
                .max_decoding_message_size(LARGEST_ANSWER),
            content: ContentServiceClient::new(calls(&config.content_url)?)
                .max_decoding_message_size(LARGEST_ANSWER),
            delivery: DeliveryServiceClient::new(calls(&config.delivery_url)?),
            experiment: ExperimentServiceClient::new(calls(&config.experiment_url)?)
                .max_decoding_message_size(LARGEST_ANSWER),
        })
    }

    /// Freezes the audience.
    pub(crate) async fn take_snapshot(&self, campaign: &Campaign) -> Result<Snapshot, Error> {
        let Some(name) = &campaign.snapshot else {
            return Err(malformed("orchestrator", "a launch without a snapshot"));
        };
        let texts =
            |names: &[cursus_ids::SegmentName]| names.iter().map(ToString::to_string).collect();
        let Plan { include, exclude, report_segments, .. } = &campaign.plan;
        let request = CreateSnapshotRequest {
            parent: name.workspace.name(),
            snapshot_id: name.id.to_string(),
            snapshot: Some(Snapshot {
                audience: Some(Audience { include: texts(include), exclude: texts(exclude) }),
                labels: texts(report_segments),
                ..Snapshot::default()
            }),
            request_id: request_id(campaign, "snapshot"),
        };
        answered(
            "segmentation",
            "audience",
            self.segmentation.clone().create_snapshot(request).await,
        )
    }

    pub(crate) async fn experiment(&self, name: &ExperimentName) -> Result<Experiment, Error> {
        let request = GetExperimentRequest { name: name.to_string() };
        answered("experiment", "experiment", self.experiment.clone().get_experiment(request).await)
    }

    /// The experiment of one arm that measures a campaign without one.
    pub(crate) async fn create_own_experiment(&self, campaign: &Campaign) -> Result<(), Error> {
        let request = CreateExperimentRequest {
            parent: campaign.name.workspace.name(),
            experiment_id: campaign.experiment().id.to_string(),
            experiment: Some(observe::own_experiment(campaign)),
            // Approval may be asked for again, and then needs no other experiment.
            request_id: request_id(
                &Campaign { launch_approval: None, ..campaign.clone() },
                "experiment",
            ),
        };
        let answer = self.experiment.clone().create_experiment(request).await;
        answered("experiment", "experiment", answer).map(drop)
    }

    pub(crate) async fn start_experiment(
        &self,
        campaign: &Campaign,
        design_digest: &[u8],
    ) -> Result<(), Error> {
        let request = StartExperimentRequest {
            name: campaign.experiment().to_string(),
            design_digest: design_digest.to_vec(),
            request_id: request_id(campaign, "start"),
        };
        let answer = self.experiment.clone().start_experiment(request).await;
        answered("experiment", "experiment", answer).map(drop)
    }

    pub(crate) async fn close_exposure(&self, campaign: &Campaign) -> Result<(), Error> {
        let request = CloseExposureRequest {
            name: campaign.experiment().to_string(),
            request_id: request_id(campaign, "close"),
        };
        let answer = self.experiment.clone().close_exposure(request).await;
        answered("experiment", "experiment", answer).map(drop)
    }

    pub(crate) async fn results(&self, name: &ExperimentName) -> Result<Results, Error> {
        let request = GetResultsRequest { name: name.to_string() };
        answered("experiment", "experiment", self.experiment.clone().get_results(request).await)
    }

    pub(crate) async fn decide(&self, campaign: &Campaign, approval: &str) -> Result<(), Error> {
        let request = DecideExperimentRequest {
            name: campaign.experiment().to_string(),
            arm: campaign.decided_arm.as_ref().map(ToString::to_string).unwrap_or_default(),
            approval: approval.to_owned(),
            request_id: request_id(campaign, "decide"),
        };
        let answer = self.experiment.clone().decide_experiment(request).await;
        answered("experiment", "experiment", answer).map(drop)
    }

    /// Hands the campaign over to the delivery service.
    pub(crate) async fn create_broadcast(
        &self,
        campaign: &Campaign,
        approval: &Approval,
    ) -> Result<BroadcastName, Error> {
        let name = campaign.own_broadcast();
        let variants = campaign.plan.variants.iter().map(|variant| delivery::Variant {
            arm: variant.arm.to_string(),
            template_version: variant.template_version.to_string(),
        });
        let request = CreateBroadcastRequest {
            parent: name.workspace.name(),
            broadcast_id: name.id.to_string(),
            broadcast: Some(Broadcast {
                snapshot: campaign.snapshot.as_ref().map(ToString::to_string).unwrap_or_default(),
                sender: campaign.plan.sender.to_string(),
                experiment: campaign.experiment().to_string(),
                variants: variants.collect(),
                approval: approval.name.to_string(),
                approval_digest: approval.digest.clone(),
                ..Broadcast::default()
            }),
            request_id: request_id(campaign, "broadcast"),
        };
        answered("delivery", "broadcast", self.delivery.clone().create_broadcast(request).await)?;
        Ok(name)
    }

    pub(crate) async fn broadcast(&self, name: &BroadcastName) -> Result<Broadcast, Error> {
        let request = GetBroadcastRequest { name: name.to_string() };
        answered("delivery", "broadcast", self.delivery.clone().get_broadcast(request).await)
    }

    // Pausing, resuming and cancelling say how it should be, so they need no id.

    pub(crate) async fn pause(&self, name: &BroadcastName, reason: &str) -> Result<(), Error> {
        let request = PauseBroadcastRequest {
            name: name.to_string(),
            reason: reason.to_owned(),
            ..PauseBroadcastRequest::default()
        };
        let answer = self.delivery.clone().pause_broadcast(request).await;
        answered("delivery", "broadcast", answer).map(drop)
    }

    pub(crate) async fn resume(&self, name: &BroadcastName) -> Result<(), Error> {
        let request =
            ResumeBroadcastRequest { name: name.to_string(), ..ResumeBroadcastRequest::default() };
        let answer = self.delivery.clone().resume_broadcast(request).await;
        answered("delivery", "broadcast", answer).map(drop)
    }

    pub(crate) async fn cancel(&self, name: &BroadcastName, reason: &str) -> Result<(), Error> {
        let request = CancelBroadcastRequest {
            name: name.to_string(),
            reason: reason.to_owned(),
            ..CancelBroadcastRequest::default()
        };
        let answer = self.delivery.clone().cancel_broadcast(request).await;
        answered("delivery", "broadcast", answer).map(drop)
    }

    /// Sends the decided arm to the remainder.
    pub(crate) async fn release(
        &self,
        campaign: &Campaign,
        broadcast: &BroadcastName,
        approval: &str,
    ) -> Result<(), Error> {
        let request = ReleaseBroadcastRequest {
            name: broadcast.to_string(),
            arm: campaign.decided_arm.as_ref().map(ToString::to_string).unwrap_or_default(),
            approval: approval.to_owned(),
            request_id: request_id(campaign, "release"),
        };
        let answer = self.delivery.clone().release_broadcast(request).await;
        answered("delivery", "broadcast", answer).map(drop)
    }
}

fn malformed(peer: &'static str, what: impl Into<String>) -> Error {
    Error::Malformed { peer, what: what.into() }
}

/// Whether nothing more happens to a broadcast unless somebody acts.
pub(crate) fn is_idle(broadcast: &Broadcast) -> bool {
    use delivery::broadcast::State;
    matches!(broadcast.state(), State::Holding | State::Complete | State::Cancelled)
}

/// Whether every row of its ledger is final.
pub(crate) fn is_complete(broadcast: &Broadcast) -> bool {
    use delivery::broadcast::State;
    matches!(broadcast.state(), State::Complete | State::Cancelled)
}

pub(crate) fn is_paused(broadcast: &Broadcast) -> bool {
    broadcast.state() == delivery::broadcast::State::Paused
}

/// How many wait for the verdict.
pub(crate) fn held(broadcast: &Broadcast) -> i64 {
    broadcast.ledger.as_ref().map_or(0, |ledger| ledger.held_count)
}
