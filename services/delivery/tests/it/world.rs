//! What a test starts with: a database, a relay, the peers and the service between them.

use std::collections::BTreeMap;
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
use cursus_testkit::clients::{self, Authorized, channel};
use cursus_testkit::host::Host;
use cursus_testkit::scratch::{self, Database};
use cursus_testkit::sink::Sink;
pub(crate) use cursus_testkit::wait::until;
use sqlx::PgPool;
use tempfile::TempDir;
use tonic::Status;

use crate::peers::{DIGEST, LAUNCH, Peers};

pub(crate) const SPRING: &str = "workspaces/acme/broadcasts/spring";
/// Where recipients are sent; tests ask the service's own port instead.
pub(crate) const TRACKING: &str = "https://track.example.com";
const PATIENCE: Duration = Duration::from_mins(1);

const EVERYBODY: [(&str, &[&str], &str); 6] = [
    ("root", &["admin"], "acme"),
    ("grace", &["editor"], "acme"),
    ("edith", &["viewer"], "acme"),
    ("orchestrator", &["service"], "*"),
    ("acme-service", &["service"], "acme"),
    ("mallory", &["editor"], "other"),
];

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
    host: Host,
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
        file("identities", &clients::identities(&EVERYBODY));
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
        let (config, ambient) = (self.config(), self.ambient.clone());
        let built = Host::build(move || Delivery::build(config, ambient)).await;
        let (mut host, delivery) = built.unwrap();
        let (address, tracking) = (delivery.local_addr(), delivery.tracking_addr().unwrap());
        host.run(|shutdown| delivery.run(shutdown));
        Service { address, tracking, host }
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

    /// Ends it as a `kill -9` would.
    pub(crate) fn kill(self) {
        self.host.kill();
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.host.stop().await.unwrap();
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

/// So that a test can say `answered(client.pause_broadcast(…))`.
pub(crate) async fn answered<T>(
    asking: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    Ok(asking.await?.into_inner())
}
