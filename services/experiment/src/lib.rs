//! Which arm, is there a winner yet, and how sure are we.
//!
//! Experiments are designed, started and decided through `grpc` (`experiments`). `follower` keeps what delivery and
//! segmentation tell, exposures and what units did, in any order; the two meet when they are counted. The monitor
//! (`worker`) takes looks at what was counted while an experiment matures; `verdict` says what they mean. Reading
//! results never is a look.

mod adjustment;
mod aggregates;
mod allocation;
mod assignment;
mod audit;
mod config;
mod counts;
mod curves;
mod design;
mod differences;
mod error;
mod evidence;
mod experiment;
mod experiments;
mod follower;
mod grpc;
mod housekeeping;
mod layers;
mod look;
mod metrics;
mod observation;
mod path;
mod peers;
mod placement;
mod report;
mod results;
mod sizing;
mod store;
mod verdict;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;

use cursus_ambient::Ambient;
use cursus_api::experiment::experiment_service_server::ExperimentServiceServer;
use cursus_chassis::{Server, Tasks, database};
use cursus_claim::Claims;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use crate::config::Config;
use crate::follower::Follower;
use crate::peers::Source;
use crate::worker::Monitor;

/// The service's schema.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// The service, bound and connected.
#[derive(Debug)]
pub struct Experiment {
    server: Server,
    pool: PgPool,
    config: Config,
    ambient: Ambient,
    sources: Vec<Source>,
}

impl Experiment {
    /// Binds its ports, connects to its database and brings the schema up to date.
    pub async fn build(config: Config, ambient: Ambient) -> anyhow::Result<Self> {
        let sources = Source::all(&config)?;
        let pool = database::connect(&config.database, "experiment", &MIGRATOR).await?;
        let server = Server::bind(&config.serve).await?;
        Ok(Self { server, pool, config, ambient, sources })
    }

    /// Where gRPC is answered.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves, follows and takes looks until `shutdown`, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let tasks = Tasks::new(&shutdown);
        database::watch(&self.pool, &self.server.readiness(), &tasks);
        let service = grpc::Experiments { pool: self.pool.clone(), ambient: self.ambient.clone() };
        let monitor = Arc::new(Monitor {
            ambient: self.ambient.clone(),
            feeds: self.sources.iter().map(Source::feed).collect(),
        });
        let claims = Claims::new(&self.pool, "experiment.looks", experiment::PARTITIONS);
        let stop = tasks.shutdown();
        tasks.spawn("monitor", async move {
            claims.run(stop, move |claim| Arc::clone(&monitor).work(claim)).await;
            Ok(())
        });
        for source in self.sources {
            let (feed, stop) = (source.feed(), tasks.shutdown());
            let claims = Claims::new(&self.pool, source.claims(), 1);
            let follower = Follower { source, ambient: self.ambient.clone() };
            tasks.spawn(feed, async move {
                claims.run(stop, move |claim| follower.clone().work(claim)).await;
                Ok(())
            });
        }
        tasks.spawn("housekeeping", housekeeping::run(self.pool, self.ambient, tasks.shutdown()));
        let routes = Routes::new(
            ExperimentServiceServer::new(service)
                .max_decoding_message_size(self.config.serve.max_message_bytes),
        );
        let names = ["cursus.experiment.v1.ExperimentService"];
        self.server.run(routes, cursus_api::FILE_DESCRIPTOR_SET, &names, tasks).await
    }
}
