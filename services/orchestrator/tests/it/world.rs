//! What a test starts with: a database, the peers, and the service between them.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::DateTime;
use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::delivery::broadcast;
use cursus_api::orchestrator::orchestrator_service_client::OrchestratorServiceClient;
use cursus_api::orchestrator::{
    Approval, ApproveApprovalRequest, Campaign, CampaignVariant, CreateCampaignRequest,
    GetApprovalRequest, GetCampaignRequest, PromotionPolicy, RequestApprovalRequest, approval,
    campaign,
};
use cursus_api::segmentation::Audience;
use cursus_orchestrator::{Config, MIGRATOR, Orchestrator};
use cursus_testkit::clients::{self, Authorized, channel};
use cursus_testkit::scratch::{self, Database};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::peers::Peers;

pub(crate) const SPRING: &str = "workspaces/acme/campaigns/spring";
const PATIENCE: Duration = Duration::from_mins(1);

const EVERYBODY: [(&str, &[&str], &str); 6] = [
    ("ada", &["editor"], "acme"),
    ("grace", &["approver"], "acme"),
    ("both", &["editor", "approver"], "acme"),
    ("edith", &["viewer"], "acme"),
    ("mallory", &["editor", "approver", "admin"], "elsewhere"),
    ("orchestrator", &["service"], "*"),
];

pub(crate) type Client = OrchestratorServiceClient<Authorized>;

/// A running service and everything around it.
pub(crate) struct World {
    pub(crate) peers: Peers,
    pub(crate) ambient: Ambient,
    address: SocketAddr,
    _stop: DropGuard,
    _running: JoinHandle<anyhow::Result<()>>,
    _database: Database,
    _files: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
        file("identities", &clients::identities(&EVERYBODY));
        file("token", "orchestrator-token");
        let path = |name: &str| files.path().join(name).display().to_string();
        let database = scratch::database("orchestrator", &MIGRATOR).await.unwrap();
        let peers = Peers::start().await;
        let peer = format!("http://{}", peers.server.address);
        let config = Config::try_parse_from([
            "cursus-orchestrator".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            format!("--identities-file={}", path("identities")),
            format!("--service-token-file={}", path("token")),
            format!("--database-url={}", database.url),
            "--database-connections=4".to_owned(),
            format!("--segmentation-url={peer}"),
            format!("--content-url={peer}"),
            format!("--delivery-url={peer}"),
            format!("--experiment-url={peer}"),
            "--reconcile-interval=20ms".to_owned(),
        ])
        .unwrap();
        let ambient = Ambient::manual(DateTime::from_timestamp(1_790_000_000, 0).unwrap(), 1);
        let orchestrator = Orchestrator::build(config, ambient.clone()).await.unwrap();
        let address = orchestrator.local_addr();
        let shutdown = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test is the process")]
        let running = tokio::spawn(orchestrator.run(shutdown.clone()));
        Self {
            peers,
            ambient,
            address,
            _stop: shutdown.drop_guard(),
            _running: running,
            _database: database,
            _files: files,
        }
    }

    /// A client that is `ada` (editor), `grace` (approver), `both` (editor and approver), `edith` (viewer) or `mallory`
    /// (everything, elsewhere).
    pub(crate) fn client(&self, who: &str) -> Client {
        OrchestratorServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap())
    }

    pub(crate) async fn create(&self, change: impl FnOnce(&mut Campaign)) -> Campaign {
        let mut request = draft();
        change(request.campaign.as_mut().unwrap());
        self.client("ada").create_campaign(request).await.unwrap().into_inner()
    }

    pub(crate) async fn request_launch(&self, who: &str) -> Result<Approval, Status> {
        let request = RequestApprovalRequest {
            campaign: SPRING.to_owned(),
            action: approval::Action::Launch.into(),
            ..RequestApprovalRequest::default()
        };
        Ok(self.client(who).request_approval(request).await?.into_inner())
    }

    pub(crate) async fn approve(&self, who: &str, asked: &Approval) -> Result<Approval, Status> {
        let request = ApproveApprovalRequest {
            name: asked.name.clone(),
            digest: asked.digest.clone(),
            request_id: String::new(),
        };
        Ok(self.client(who).approve_approval(request).await?.into_inner())
    }

    /// Creates a campaign, and has it approved; it is launched by itself.
    pub(crate) async fn launch(&self, change: impl FnOnce(&mut Campaign)) -> Approval {
        self.create(change).await;
        let asked = self.request_launch("ada").await.unwrap();
        self.approve("grace", &asked).await.unwrap()
    }

    pub(crate) async fn campaign(&self) -> Campaign {
        let request = GetCampaignRequest { name: SPRING.to_owned() };
        self.client("edith").get_campaign(request).await.unwrap().into_inner()
    }

    pub(crate) async fn approval(&self, name: &str) -> Approval {
        let request = GetApprovalRequest { name: name.to_owned() };
        self.client("edith").get_approval(request).await.unwrap().into_inner()
    }

    /// The campaign, once it is in a state.
    pub(crate) async fn reaches(&self, state: campaign::State) -> Campaign {
        self.until(&format!("{state:?}"), |it| it.state() == state).await
    }

    /// The campaign, once something is true of it.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Campaign) -> bool) -> Campaign {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let campaign = self.campaign().await;
            if is(&campaign) {
                return campaign;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {campaign:?}");
            tokio::task::yield_now().await;
        }
    }

    /// Everything that may be sent so far was.
    pub(crate) fn all_sent(&self, state: broadcast::State) {
        self.peers.script().broadcast.as_mut().unwrap().set_state(state);
    }
}

pub(crate) fn draft() -> CreateCampaignRequest {
    let variant = |arm: &str| CampaignVariant {
        arm: arm.to_owned(),
        template_version: format!("workspaces/acme/templates/{arm}/versions/1"),
    };
    CreateCampaignRequest {
        parent: "workspaces/acme".to_owned(),
        campaign_id: "spring".to_owned(),
        campaign: Some(Campaign {
            display_name: "Spring".to_owned(),
            audience: Some(Audience {
                include: vec!["workspaces/acme/segments/everyone".to_owned()],
                exclude: vec!["workspaces/acme/segments/staff".to_owned()],
            }),
            report_segments: vec!["workspaces/acme/segments/vip".to_owned()],
            variants: vec![variant("a"), variant("b")],
            experiment: "workspaces/acme/experiments/spring".to_owned(),
            sender: "workspaces/acme/senders/news".to_owned(),
            promotion_policy: PromotionPolicy::SignificantWinner.into(),
            measurement_window: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..Campaign::default()
        }),
        request_id: String::new(),
    }
}

pub(crate) fn reason(status: &Status) -> String {
    cursus_fault::reason(status).unwrap_or_else(|| format!("{status:?}"))
}
