//! What happens next, who allowed it, and what it brought.
//!
//! People create campaigns (`campaigns`) and allow them (`approvals`); the reconciler (`worker`) brings every
//! campaign on from what is recorded, by asking the other services (`peers`) for things that may be repeated. Whatever
//! is decided or done is in the record (`audit`).

mod approval;
mod approvals;
mod audit;
mod campaign;
mod campaigns;
mod config;
mod error;
mod grpc;
mod housekeeping;
mod metrics;
mod peers;
mod store;
mod wake;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::TimeDelta;
use cursus_ambient::Ambient;
use cursus_api::orchestrator::orchestrator_service_server::OrchestratorServiceServer;
use cursus_chassis::{Server, Tasks, database};
use cursus_claim::Claims;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use crate::config::Config;
use crate::peers::Peers;
use crate::wake::Wake;
use crate::worker::Reconciler;

/// The service's schema.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// The service, bound and connected.
#[derive(Debug)]
pub struct Orchestrator {
    server: Server,
    pool: PgPool,
    config: Config,
    reconciler: Arc<Reconciler>,
}

impl Orchestrator {
    /// Binds its ports, connects to its database and brings the schema up to date.
    pub async fn build(config: Config, ambient: Ambient) -> anyhow::Result<Self> {
        let peers = Peers::new(&config)?;
        let approval_expiry = TimeDelta::from_std(config.approval_expiry)?;
        let pool = database::connect(&config.database, "orchestrator", &MIGRATOR).await?;
        let server = Server::bind(&config.serve).await?;
        let reconciler = Arc::new(Reconciler {
            ambient,
            peers,
            wake: Wake::default(),
            interval: config.reconcile_interval,
            approval_expiry,
        });
        Ok(Self { server, pool, config, reconciler })
    }

    /// Where gRPC is answered.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves and reconciles until `shutdown`, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let tasks = Tasks::new(&shutdown);
        database::watch(&self.pool, &self.server.readiness(), &tasks);
        let service = grpc::Orchestrator {
            pool: self.pool.clone(),
            ambient: self.reconciler.ambient.clone(),
            peers: self.reconciler.peers.clone(),
            wake: self.reconciler.wake.clone(),
            approval_expiry: self.reconciler.approval_expiry,
        };
        let claims = Claims::new(&self.pool, "orchestrator.campaigns", campaign::PARTITIONS);
        let (reconciler, stop) = (Arc::clone(&self.reconciler), tasks.shutdown());
        tasks.spawn("reconciler", async move {
            claims.run(stop, move |claim| Arc::clone(&reconciler).work(claim)).await;
            Ok(())
        });
        let ambient = self.reconciler.ambient.clone();
        tasks.spawn("housekeeping", housekeeping::run(self.pool, ambient, tasks.shutdown()));
        let routes = Routes::new(
            OrchestratorServiceServer::new(service)
                .max_decoding_message_size(self.config.serve.max_message_bytes),
        );
        let names = ["cursus.orchestrator.v1.OrchestratorService"];
        self.server.run(routes, cursus_api::FILE_DESCRIPTOR_SET, &names, tasks).await
    }
}
