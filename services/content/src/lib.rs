//! What to say, and exactly what a contact will read.
//!
//! `templates` keeps drafts. `versions` has the engine (`cursus_template`) check a draft against the attributes that
//! segmentation knows, and compiles it into a version that never changes. `messages` fills a version in for a batch of
//! contacts: the version comes from memory (`editions`), the contacts from segmentation in one call (`peers`), and the
//! computing is kept off the threads that serve (`cores`).

mod asked;
mod config;
mod cores;
mod editions;
mod error;
mod grpc;
mod housekeeping;
mod message;
mod messages;
mod metrics;
mod page;
mod peers;
mod store;
mod template;
mod templates;
mod version;
mod versions;

use std::net::SocketAddr;

use cursus_ambient::Ambient;
use cursus_api::content::content_service_server::ContentServiceServer;
use cursus_chassis::{Server, Tasks, database};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use crate::config::Config;
use crate::cores::Cores;
use crate::editions::Editions;
use crate::messages::Messages;
use crate::peers::Segmentation;
use crate::templates::Templates;
use crate::versions::Versions;

/// The service's schema.
pub static MIGRATOR: Migrator = sqlx::migrate!();

const SERVICE: &str = "cursus.content.v1.ContentService";

/// The service: built, it is connected and bound; run, it serves.
#[derive(Debug)]
pub struct Content {
    server: Server,
    config: Config,
    pool: PgPool,
    ambient: Ambient,
    segmentation: Segmentation,
}

impl Content {
    /// Connects to the database, brings it up to date and binds the ports.
    pub async fn build(config: Config, ambient: Ambient) -> anyhow::Result<Self> {
        let segmentation = Segmentation::new(&config.peers.peer(&config.segmentation_url)?);
        let pool = database::connect(&config.database, "content", &MIGRATOR).await?;
        let server = Server::bind(&config.serve).await?;
        Ok(Self { server, config, pool, ambient, segmentation })
    }

    /// Where gRPC is answered.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves until `shutdown` is cancelled, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let tasks = Tasks::new(&shutdown);
        database::watch(&self.pool, &self.server.readiness(), &tasks);
        let cleaning = housekeeping::run(self.pool.clone(), self.ambient.clone(), tasks.shutdown());
        tasks.spawn("housekeeping", cleaning);
        let service = ContentServiceServer::new(self.grpc())
            .max_decoding_message_size(self.config.serve.max_message_bytes);
        let described = cursus_api::FILE_DESCRIPTOR_SET;
        self.server.run(Routes::new(service), described, &[SERVICE], tasks).await
    }

    fn grpc(&self) -> grpc::Grpc {
        let cores = Cores::all();
        let templates = Templates::new(self.pool.clone(), self.ambient.clone());
        grpc::Grpc {
            templates: templates.clone(),
            versions: Versions {
                pool: self.pool.clone(),
                ambient: self.ambient.clone(),
                templates,
                segmentation: self.segmentation.clone(),
                cores: cores.clone(),
            },
            messages: Messages {
                editions: Editions::new(self.pool.clone(), self.config.cached_versions),
                segmentation: self.segmentation.clone(),
                cores,
            },
        }
    }
}
