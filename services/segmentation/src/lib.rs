//! Who is this, who is in this segment, and who was in it when we looked.
//!
//! `grpc` answers requests with the operations (`contacts`, `events`, `segments`, `members`, `snapshots`), each a
//! transaction over `store`. What they write marks blocks of 65,536 contacts as changed; `worker` claims partitions of
//! blocks and has `evaluation` bring the segments' containers up to date, when something changed and when time alone
//! changes something. Membership is answered from copies of the containers in Redis (`bitmaps`), of which `index`
//! knows which are valid.
//!
//! A contact's place in its block is its ordinal, which `ordinals` remembers. A contact departs when it is merged into
//! another (`merges`) or erased (`erasures`); its ordinal stays, as nobody's.

mod asked;
mod attribute;
mod attributes;
mod bells;
mod bitmaps;
mod block;
mod blocks;
mod config;
mod contact;
mod contacts;
mod erasure;
mod erasures;
mod error;
mod evaluation;
mod event;
mod events;
mod grpc;
mod imports;
mod index;
mod members;
mod membership;
mod merges;
mod metrics;
mod ordinals;
mod packed;
mod page;
mod peers;
mod recent;
mod refusal;
mod segment;
mod segments;
mod snapshot;
mod snapshots;
mod store;
mod value;
mod worker;

use std::net::SocketAddr;

use anyhow::Context;
use cursus_ambient::Ambient;
use cursus_api::segmentation::privacy_service_server::PrivacyServiceServer;
use cursus_api::segmentation::segmentation_service_server::SegmentationServiceServer;
use cursus_chassis::{Server, Tasks, database};
use cursus_claim::Claims;
use cursus_feed::Feed;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use crate::config::{Config, RedisUrl};
use crate::contacts::Contacts;
use crate::events::Events;
use crate::grpc::Grpc;
use crate::grpc::privacy::Privacy;
use crate::peers::Delivery;
use crate::worker::Worker;
use crate::worker::erasing::Erasing;
use crate::worker::housekeeping::Housekeeping;
use crate::worker::outcomes::Outcomes;

/// Brings the database up to date.
pub static MIGRATOR: Migrator = sqlx::migrate!();

const SERVICES: [&str; 2] =
    ["cursus.segmentation.v1.SegmentationService", "cursus.segmentation.v1.PrivacyService"];

/// The service: built, it is connected and bound; run, it serves.
#[derive(Debug)]
pub struct Segmentation {
    server: Server,
    pool: PgPool,
    config: Config,
    ambient: Ambient,
    bitmaps: bitmaps::Bitmaps,
    /// The peer whose outcomes are followed.
    delivery: Option<Delivery>,
}

impl Segmentation {
    /// Connects to the database, brings it up to date and binds the ports.
    pub async fn build(config: Config, ambient: Ambient) -> anyhow::Result<Self> {
        let pool = database::connect(&config.database, "segmentation", &MIGRATOR).await?;
        let server = Server::bind(&config.serve).await?;
        let bitmaps =
            bitmaps::Bitmaps::new(config.redis_url.info()).context("bad Redis address")?;
        let delivery = match &config.delivery_url {
            Some(url) => Some(Delivery::new(&config.peers.peer(url)?)),
            None => None,
        };
        let housekeeping = Housekeeping { pool: pool.clone(), ambient: ambient.clone() };
        housekeeping.once().await?;
        Ok(Self { server, pool, config, ambient, bitmaps, delivery })
    }

    /// Where gRPC is answered.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves until `shutdown` is cancelled, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let tasks = Tasks::new(&shutdown);
        database::watch(&self.pool, &self.server.readiness(), &tasks);
        let contacts = Contacts::new(self.pool.clone(), self.ambient.clone());
        let events = Events::new(self.pool.clone(), self.ambient.clone());
        let feed = Feed::new(self.pool.clone());
        let ordinals = ordinals::Ordinals::new();
        let index = index::Index::new(self.pool.clone(), ordinals.clone());
        self.start(&tasks, &events, &feed, &index);
        let privacy = self.privacy(&contacts, &ordinals);
        let grpc = Grpc {
            attributes: attributes::Attributes::new(self.pool.clone(), self.ambient.clone()),
            segments: segments::Segments::new(self.pool.clone(), self.ambient.clone()),
            members: members::Members {
                pool: self.pool.clone(),
                ordinals,
                index,
                bitmaps: self.bitmaps.clone(),
            },
            snapshots: snapshots::Snapshots::new(self.pool.clone(), self.ambient.clone()),
            contacts,
            events,
            feed,
            shutdown: tasks.shutdown(),
        };
        let service = SegmentationServiceServer::new(grpc)
            .max_decoding_message_size(self.config.serve.max_message_bytes);
        let described = cursus_api::FILE_DESCRIPTOR_SET;
        let routes = Routes::new(service).add_service(PrivacyServiceServer::new(privacy));
        self.server.run(routes, described, &SERVICES, tasks).await
    }

    fn privacy(&self, contacts: &Contacts, ordinals: &ordinals::Ordinals) -> Privacy {
        Privacy {
            contacts: contacts.clone(),
            merges: merges::Merges {
                pool: self.pool.clone(),
                ambient: self.ambient.clone(),
                ordinals: ordinals.clone(),
            },
            erasures: erasures::Erasures {
                pool: self.pool.clone(),
                ambient: self.ambient.clone(),
                ordinals: ordinals.clone(),
            },
        }
    }

    /// Starts the background work.
    fn start(&self, tasks: &Tasks, events: &Events, feed: &Feed, index: &index::Index) {
        let shutdown = tasks.shutdown();
        let bells = bells::Bells::new();
        let spawn = |name, work: futures::future::BoxFuture<'static, ()>| {
            tasks.spawn(name, async {
                work.await;
                Ok(())
            });
        };
        spawn("feed", Box::pin(feed.clone().listen(shutdown.clone())));
        spawn("bells", Box::pin(bells.clone().listen(self.pool.clone(), shutdown.clone())));
        let following =
            index.clone().follow(bells.clone(), self.config.poll_interval, shutdown.clone());
        spawn("index", Box::pin(following));
        let housekeeping = Housekeeping { pool: self.pool.clone(), ambient: self.ambient.clone() };
        spawn("housekeeping", Box::pin(housekeeping.run(shutdown.clone())));
        let worker = Worker {
            evaluator: evaluation::Evaluator::new(self.ambient.clone(), self.bitmaps.clone()),
            ambient: self.ambient.clone(),
            bells,
            poll_interval: self.config.poll_interval,
        };
        let blocks = Claims::new(&self.pool, "segmentation.blocks", block::PARTITIONS);
        let stop = shutdown.clone();
        spawn(
            "blocks",
            Box::pin(async move {
                blocks.run(stop, |claim| worker.clone().work(claim)).await;
            }),
        );
        let erasing =
            Erasing { ambient: self.ambient.clone(), poll_interval: self.config.poll_interval };
        let claims = Claims::new(&self.pool, "segmentation.erasures", 1);
        let stop = shutdown.clone();
        spawn(
            "erasures",
            Box::pin(async move {
                claims.run(stop, |claim| erasing.clone().work(claim)).await;
            }),
        );
        if let Some(delivery) = self.delivery.clone() {
            let outcomes = Outcomes { delivery, events: events.clone() };
            let claims = Claims::new(&self.pool, "segmentation.outcomes", 1);
            spawn(
                "outcomes",
                Box::pin(async move {
                    claims.run(shutdown, |claim| outcomes.clone().work(claim)).await;
                }),
            );
        }
    }
}
