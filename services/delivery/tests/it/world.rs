//! What a test starts with: a database, a relay, the peers and the service between them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::delivery::delivery_service_client::DeliveryServiceClient;
use cursus_api::delivery::{
    Broadcast, CreateBroadcastRequest, CreateSenderRequest, GetBroadcastRequest,
    ListMessagesRequest, Message, Outcome, Sender, Variant, WatchOutcomesRequest, broadcast,
    message,
};
use cursus_delivery::{Config, Delivery, MIGRATOR};
use cursus_testkit::clients::{Authorized, channel};
use cursus_testkit::scratch::{self, Database};
use cursus_testkit::sink::Sink;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::peers::{DIGEST, LAUNCH, Peers};

pub(crate) const SPRING: &str = "workspaces/acme/broadcasts/spring";
/// Where recipients are sent; tests ask the service's own port instead.
pub(crate) const TRACKING: &str = "https://track.example.com";
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) type Client = DeliveryServiceClient<Authorized>;

/// Everything around the service.
pub(crate) struct World {
    /// For looking behind the service's back.
    pub(crate) pool: PgPool,
    pub(crate) peers: Peers,
    pub(crate) sink: Sink,
    pub(crate) ambient: Ambient,
    database_url: String,
    // Kept until the end: it is dropped with this.
    database: Option<Database>,
    files: TempDir,
    settings: Vec<String>,
}

/// A running service, in a runtime of its own, so that it can be killed.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) tracking: SocketAddr,
    runtime: Option<Runtime>,
    running: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl World {
    pub(crate) async fn new(sink: Sink) -> Self {
        let database = scratch::database("delivery", &MIGRATOR).await.unwrap();
        let mut world = Self::on(&database.url, sink).await;
        world.database = Some(database);
        world
    }

    /// On a database of its own choice.
    pub(crate) async fn on(database_url: &str, sink: Sink) -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
        file("identities", &identities());
        file("token", "delivery-token");
        file("keys", "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
        file("address-key", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n");
        Self {
            pool: PgPool::connect(database_url).await.unwrap(),
            database_url: database_url.to_owned(),
            database: None,
            peers: Peers::start().await,
            sink,
            ambient: Ambient::system(),
            files,
            settings: Vec::new(),
        }
    }

    /// With a setting of its own, such as `--batch=8`.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    pub(crate) fn without_settings(mut self) -> Self {
        self.settings.clear();
        self
    }

    pub(crate) async fn start(&self) -> Service {
        let config = self.config();
        let ambient = self.ambient.clone();
        let building = tokio::task::spawn_blocking(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            let delivery = runtime.block_on(Delivery::build(config, ambient)).unwrap();
            (runtime, delivery)
        });
        let (runtime, delivery) = building.await.unwrap();
        let (address, tracking) = (delivery.local_addr(), delivery.tracking_addr().unwrap());
        let shutdown = CancellationToken::new();
        let running = runtime.spawn(delivery.run(shutdown.clone()));
        Service { address, tracking, runtime: Some(runtime), running, shutdown }
    }

    /// A service with a sender and nothing else.
    pub(crate) async fn start_with_sender(&self) -> Service {
        let service = self.start().await;
        let sender = Sender {
            display_name: "Acme".to_owned(),
            address: "news@acme.example".to_owned(),
            reply_to: "help@acme.example".to_owned(),
            ..Sender::default()
        };
        let request = CreateSenderRequest {
            parent: "workspaces/acme".to_owned(),
            sender_id: "news".to_owned(),
            sender: Some(sender),
            request_id: String::new(),
        };
        service.client("root").create_sender(request).await.unwrap();
        service
    }

    fn config(&self) -> Config {
        let path = |name: &str| self.files.path().join(name).display().to_string();
        let peers = format!("http://{}", self.peers.address);
        let relay = self.sink.address();
        let mut arguments = vec![
            "cursus-delivery".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            "--tracking-listen=127.0.0.1:0".to_owned(),
            format!("--identities-file={}", path("identities")),
            format!("--database-url={}", self.database_url),
            "--database-connections=8".to_owned(),
            format!("--service-token-file={}", path("token")),
            format!("--segmentation-url={peers}"),
            format!("--content-url={peers}"),
            format!("--experiment-url={peers}"),
            format!("--orchestrator-url={peers}"),
            format!("--tracking-url={TRACKING}"),
            format!("--tracking-keys-file={}", path("keys")),
            format!("--address-key-file={}", path("address-key")),
            format!("--relay-host={}", relay.ip()),
            "--relay-tls=none".to_owned(),
            "--relay-hello=mail.acme.example".to_owned(),
        ];
        if !self.settings.iter().any(|setting| setting.starts_with("--relay-port")) {
            arguments.push(format!("--relay-port={}", relay.port()));
        }
        arguments.extend(self.settings.iter().cloned());
        Config::try_parse_from(arguments).unwrap()
    }
}

impl Service {
    /// A client that is `root` (admin), `grace` (editor), `edith` (viewer), `orchestrator` (service) or `mallory` (editor of
    /// another workspace).
    pub(crate) fn client(&self, who: &str) -> Client {
        DeliveryServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap())
    }

    pub(crate) async fn broadcast(&self) -> Broadcast {
        let request = GetBroadcastRequest { name: SPRING.to_owned() };
        self.client("edith").get_broadcast(request).await.unwrap().into_inner()
    }

    /// The broadcast, once it is in a state.
    pub(crate) async fn reaches(&self, state: broadcast::State) -> Broadcast {
        until(&format!("{state:?}"), async || {
            let broadcast = self.broadcast().await;
            if broadcast.state() == state { Ok(broadcast) } else { Err(format!("{broadcast:?}")) }
        })
        .await
    }

    pub(crate) async fn messages(&self, state: message::State) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListMessagesRequest {
                parent: SPRING.to_owned(),
                state: state.into(),
                page_size: 1_000,
                page_token,
            };
            let page = self.client("edith").list_messages(request).await.unwrap().into_inner();
            messages.extend(page.messages);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return messages;
            }
        }
    }

    /// The contacts' ids in a state, sorted.
    pub(crate) async fn contacts(&self, state: message::State) -> Vec<String> {
        let id = |it: Message| it.contact.rsplit('/').next().unwrap().to_owned();
        let mut ids: Vec<String> = self.messages(state).await.into_iter().map(id).collect();
        ids.sort();
        ids
    }

    /// The first `count` outcomes of the feed.
    pub(crate) async fn outcomes(&self, count: usize) -> Vec<Outcome> {
        let parent = "workspaces/-".to_owned();
        let request = WatchOutcomesRequest { parent, cursor: String::new() };
        let mut stream =
            self.client("orchestrator").watch_outcomes(request).await.unwrap().into_inner();
        let mut outcomes = Vec::new();
        let reading = async {
            while outcomes.len() < count {
                outcomes.extend(stream.message().await.unwrap().unwrap().outcomes);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the outcomes are in the feed");
        outcomes
    }

    /// Ends it as a `kill -9` would: whatever it was doing, it does nothing more, and its connections break.
    pub(crate) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.running).await.unwrap().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn create_request() -> CreateBroadcastRequest {
    let variant = |arm: &str, version: u32| Variant {
        arm: arm.to_owned(),
        template_version: format!("workspaces/acme/templates/spring/versions/{version}"),
    };
    CreateBroadcastRequest {
        parent: "workspaces/acme".to_owned(),
        broadcast_id: "spring".to_owned(),
        broadcast: Some(Broadcast {
            snapshot: "workspaces/acme/snapshots/everyone".to_owned(),
            sender: "workspaces/acme/senders/news".to_owned(),
            experiment: "workspaces/acme/experiments/spring".to_owned(),
            variants: vec![variant("a", 1), variant("b", 2)],
            approval: LAUNCH.to_owned(),
            approval_digest: DIGEST.to_vec(),
            ..Broadcast::default()
        }),
        request_id: String::new(),
    }
}

pub(crate) async fn create(service: &Service) -> Broadcast {
    let created = service.client("orchestrator").create_broadcast(create_request()).await;
    created.unwrap().into_inner()
}

/// Waits for a condition; what `attempt` says last is shown if it never holds.
pub(crate) async fn until<T>(what: &str, attempt: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(last) if tokio::time::Instant::now() > deadline => panic!("never {what}: {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// That a ledger adds up to its audience.
pub(crate) fn assert_balanced(broadcast: &Broadcast) {
    let ledger = broadcast.ledger.as_ref().unwrap();
    let sum = ledger.accepted_count
        + ledger.suppressed_counts.values().sum::<i64>()
        + ledger.failed_counts.values().sum::<i64>()
        + ledger.ambiguous_count
        + ledger.held_count
        + ledger.holdout_count
        + ledger.waiting_count
        + ledger.cancelled_count
        + ledger.unplanned_count;
    assert_eq!(sum, ledger.audience_count, "{ledger:?}");
}

pub(crate) fn counts(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
    of.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

pub(crate) fn reason(status: &Status) -> String {
    cursus_fault::reason(status).unwrap_or_else(|| format!("{status:?}"))
}

fn identities() -> String {
    let entry = |subject: &str, role: &str, workspace: &str| {
        let digest = Sha256::digest(format!("{subject}-token"));
        let digest = digest.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        serde_json::json!({
            "subject": subject,
            "token_sha256": digest,
            "roles": [role],
            "workspaces": [workspace],
        })
    };
    serde_json::Value::Array(vec![
        entry("root", "admin", "acme"),
        entry("grace", "editor", "acme"),
        entry("edith", "viewer", "acme"),
        entry("orchestrator", "service", "*"),
        entry("acme-service", "service", "acme"),
        entry("mallory", "editor", "other"),
    ])
    .to_string()
}

/// So that a test can say `answered(client.pause_broadcast(…))`.
pub(crate) async fn answered<T>(
    asking: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    Ok(asking.await?.into_inner())
}
