//! May we send, did it arrive, and what did people do with it.
//!
//! A broadcast is created under an approval that is checked with the orchestrator. The `planner` writes a row for every
//! contact of its snapshot: that is the ledger. Lanes of the `worker` hand the messages over, each partition owned by
//! one lane of one replica, with the intent of each final dot committed before it is sent. `http` answers recipients.
//! Everything that happened is a fact in the feed.

mod actor;
mod address;
mod approval;
mod backoff;
mod broadcast;
mod broadcasts;
mod config;
mod engagements;
mod error;
mod facts;
mod fate;
mod grpc;
mod housekeeping;
mod http;
mod message;
mod metrics;
mod outcome;
mod peers;
mod planner;
mod sender;
mod senders;
mod store;
mod suppression;
mod suppressions;
mod token;
mod tracking;
mod wake;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use cursus_ambient::Ambient;
use cursus_api::delivery::delivery_service_server::DeliveryServiceServer;
use cursus_chassis::{Server, Tasks, database};
use cursus_claim::Claims;
use cursus_feed::Feed;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use crate::config::{Config, RelayTls};
use crate::engagements::{Engagements, Recorder};
use crate::http::Doors;
use crate::peers::Peers;
use crate::planner::Planner;
use crate::tracking::Tracking;
use crate::wake::Wake;
use crate::worker::Sending;
use crate::worker::batch::Press;

/// The service's schema.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// The service, bound and connected.
#[derive(Debug)]
pub struct Delivery {
    server: Server,
    tracking: TcpListener,
    config: Config,
    pool: PgPool,
    ambient: Ambient,
    feed: Feed,
    planner: Arc<Planner>,
    sending: Arc<Sending>,
    doors: Doors,
    recorder: Recorder,
}

impl Delivery {
    /// Binds its ports, connects to its database and brings the schema up to date.
    pub async fn build(config: Config, ambient: Ambient) -> anyhow::Result<Self> {
        let peers = Peers::new(&config)?;
        let tracking = Tracking::new(config.token_keys()?, &config.tracking_url)?;
        let hasher = config.address_hasher()?;
        let relay = config.relay()?;
        let pool = database::connect(&config.database, "delivery", &MIGRATOR).await?;
        let server = Server::bind(&config.serve).await?;
        let address = config.tracking_listen;
        let listener = TcpListener::bind(address).await;
        let (engagements, recorder) = Engagements::new(pool.clone(), ambient.clone());
        let (tended, queued) = (Wake::default(), Wake::default());
        Ok(Self {
            server,
            tracking: listener.with_context(|| format!("cannot listen on {address}"))?,
            feed: Feed::new(pool.clone()),
            doors: Doors { tracking: tracking.clone(), engagements },
            recorder,
            planner: Arc::new(Planner {
                ambient: ambient.clone(),
                peers: peers.clone(),
                hasher,
                tended,
                queued: queued.clone(),
            }),
            sending: Arc::new(Sending {
                ambient: ambient.clone(),
                press: Press { peers, tracking },
                relay,
                connections: config.relay_connections,
                batch: config.batch,
                first_wait: config.first_retry,
                queued,
            }),
            config,
            pool,
            ambient,
        })
    }

    /// Where gRPC is answered.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where recipients are answered.
    pub fn tracking_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.tracking.local_addr()?)
    }

    /// Serves and sends until `shutdown`, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let tasks = Tasks::new(&shutdown);
        database::watch(&self.pool, &self.server.readiness(), &tasks);
        let service = self.service(&tasks);
        self.spawn_claims(&tasks);
        let stop = tasks.shutdown();
        let (feed, listening) = (self.feed, stop.clone());
        tasks.spawn("feed", async move {
            feed.listen(listening).await;
            Ok(())
        });
        let retention = self.config.outcome_retention;
        tasks.spawn(
            "housekeeping",
            housekeeping::run(self.pool, self.ambient, retention, stop.clone()),
        );
        tasks.spawn("recorder", self.recorder.run());
        tasks.spawn("tracking", http::serve(self.tracking, self.doors, stop));
        let routes = Routes::new(
            DeliveryServiceServer::new(service)
                .max_decoding_message_size(self.config.serve.max_message_bytes),
        );
        let names = ["cursus.delivery.v1.DeliveryService"];
        self.server.run(routes, cursus_api::FILE_DESCRIPTOR_SET, &names, tasks).await
    }

    fn service(&self, tasks: &Tasks) -> grpc::Delivery {
        grpc::Delivery {
            pool: self.pool.clone(),
            ambient: self.ambient.clone(),
            peers: self.planner.peers.clone(),
            hasher: self.planner.hasher.clone(),
            feed: self.feed.clone(),
            tended: self.planner.tended.clone(),
            queued: self.planner.queued.clone(),
            shutdown: tasks.shutdown(),
        }
    }

    fn spawn_claims(&self, tasks: &Tasks) {
        let claims = Claims::new(&self.pool, "delivery.broadcasts", broadcast::PARTITIONS);
        let (planner, stop) = (Arc::clone(&self.planner), tasks.shutdown());
        tasks.spawn("planner", async move {
            claims.run(stop, move |claim| Arc::clone(&planner).work(claim)).await;
            Ok(())
        });
        let claims = Claims::new(&self.pool, "delivery.messages", message::PARTITIONS);
        let (sending, stop) = (Arc::clone(&self.sending), tasks.shutdown());
        tasks.spawn("lanes", async move {
            claims.run(stop, move |claim| Arc::clone(&sending).work(claim)).await;
            Ok(())
        });
    }
}
