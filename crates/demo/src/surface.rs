//! The public surface of a cluster: a client of each service, and patience while one restarts.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use cursus_api::content::content_service_client::ContentServiceClient;
use cursus_api::delivery::delivery_service_client::DeliveryServiceClient;
use cursus_api::experiment::experiment_service_client::ExperimentServiceClient;
use cursus_api::orchestrator::orchestrator_service_client::OrchestratorServiceClient;
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_testkit::clients::{Authorized, channel};
use tonic::{Code, Response, Status};

const PATIENCE: u32 = 240;
const PAUSE: Duration = Duration::from_millis(500);

/// What each subject shows to prove who it is.
#[derive(Clone)]
pub struct Tokens {
    /// Proposes.
    pub editor: String,
    /// Approves.
    pub approver: String,
    /// Sets up senders.
    pub admin: String,
}

/// A client of each service.
#[derive(Clone)]
pub struct Surface {
    pub(crate) segmentation: SegmentationServiceClient<Authorized>,
    pub(crate) content: ContentServiceClient<Authorized>,
    pub(crate) delivery: DeliveryServiceClient<Authorized>,
    pub(crate) experiment: ExperimentServiceClient<Authorized>,
    pub(crate) orchestrator: OrchestratorServiceClient<Authorized>,
    pub(crate) approver: OrchestratorServiceClient<Authorized>,
    pub(crate) admin: DeliveryServiceClient<Authorized>,
}

impl Surface {
    /// Connects as an editor (and approver, and admin) when first used. `addresses` are those of
    /// segmentation, content, delivery, experiment and orchestrator.
    pub fn new(addresses: [SocketAddr; 5], tokens: &Tokens) -> anyhow::Result<Self> {
        let [segmentation, content, delivery, experiment, orchestrator] = addresses;
        let Tokens { editor, approver, admin } = tokens;
        Ok(Self {
            segmentation: SegmentationServiceClient::new(channel(segmentation, editor)?),
            content: ContentServiceClient::new(channel(content, editor)?)
                .max_decoding_message_size(64 << 20),
            delivery: DeliveryServiceClient::new(channel(delivery, editor)?),
            experiment: ExperimentServiceClient::new(channel(experiment, editor)?),
            orchestrator: OrchestratorServiceClient::new(channel(orchestrator, editor)?)
                .max_decoding_message_size(64 << 20),
            approver: OrchestratorServiceClient::new(channel(orchestrator, approver)?)
                .max_decoding_message_size(64 << 20),
            admin: DeliveryServiceClient::new(channel(delivery, admin)?),
        })
    }
}

/// Makes a call until it is answered; a service that is being restarted is waited for. Every call of
/// the demo may be repeated, because it carries a `request_id` or writes what it writes by name.
pub(crate) async fn persist<T>(
    mut call: impl AsyncFnMut() -> Result<Response<T>, Status>,
) -> anyhow::Result<T> {
    for _ in 0..PATIENCE {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if is_passing(&status) => tokio::time::sleep(PAUSE).await,
            Err(status) => bail!(explain(&status)),
        }
    }
    bail!("a service did not come back")
}

/// Makes a call that must be refused, and returns its reason.
pub(crate) async fn refused<T>(
    mut call: impl AsyncFnMut() -> Result<Response<T>, Status>,
) -> anyhow::Result<Refused> {
    for _ in 0..PATIENCE {
        match call().await {
            Ok(_) => bail!("the call was allowed, and must not be"),
            Err(status) if is_passing(&status) => tokio::time::sleep(PAUSE).await,
            Err(status) => {
                let reason = cursus_fault::reason(&status)
                    .with_context(|| format!("no reason in: {}", explain(&status)))?;
                return Ok(Refused { reason, message: status.message().to_owned() });
            }
        }
    }
    bail!("a service did not come back")
}

/// Why a call was refused.
pub(crate) struct Refused {
    /// Stable.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A connection that breaks under a call shows as `UNKNOWN` or `CANCELLED` in a client.
fn is_passing(status: &Status) -> bool {
    let transport = std::error::Error::source(status).is_some();
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted)
        || (transport && matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Internal))
}

fn explain(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// A name in the demo's workspace.
pub(crate) fn name(collection: &str, id: &str) -> String {
    format!("workspaces/{}/{collection}/{id}", crate::WORKSPACE)
}

/// The demo's workspace.
pub(crate) fn workspace() -> String {
    format!("workspaces/{}", crate::WORKSPACE)
}

#[expect(clippy::disallowed_methods, reason = "the demo is a client, whose ids are its own")]
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
