//! Who is this, who is in this segment, and who was in it when we looked.
//!
//! `grpc` answers requests with the operations (`contacts`, `accounts`, `deals`, `events`, `segments`, `members`,
//! `snapshots`), each a transaction over `store`; `http` takes calls of the Segment tracking API (`calls`), and files are
//! imported row by row (`sheets`). What they write marks blocks of 65,536 contacts as changed; `worker` claims
//! partitions of blocks and has `evaluation` bring the segments' containers up to date, when something changed and when
//! time alone changes something. Membership is answered from copies of the containers in Redis (`bitmaps`), of which
//! `index` knows which are valid.
//!
//! A contact's place in its block is its ordinal, which `ordinals` remembers. A contact departs when it is merged into
//! another (`merges`) or erased (`erasures`); its ordinal stays, as nobody's.

mod account;
mod accounts;
mod advice;
mod asked;
mod attribute;
mod attributes;
mod bells;
mod bitmaps;
mod block;
mod blocks;
mod call;
mod calls;
mod causes;
#[doc(hidden)]
pub mod columns;
mod config;
mod contact;
mod contacts;
mod deal;
mod deals;
mod drift;
mod edit;
mod erasure;
mod erasures;
mod error;
mod evaluation;
mod event;
mod events;
mod following;
mod grpc;
mod http;
mod imports;
mod index;
mod insights;
mod members;
mod membership;
mod merges;
mod metrics;
mod moment;
mod ordinals;
mod packed;
mod page;
mod peers;
mod promotion;
mod questions;
mod recent;
mod references;
mod refusal;
mod resident;
mod residents;
mod segment;
mod segments;
mod sheet;
mod sheets;
mod snapshot;
mod snapshots;
mod store;
mod transition;
mod transitions;
mod value;
mod worker;
mod write_key;
mod write_keys;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use cursus_ambient::Ambient;
use cursus_api::segmentation::crm_service_server::CrmServiceServer;
use cursus_api::segmentation::ingest_service_server::IngestServiceServer;
use cursus_api::segmentation::insight_service_server::InsightServiceServer;
use cursus_api::segmentation::privacy_service_server::PrivacyServiceServer;
use cursus_api::segmentation::segmentation_service_server::SegmentationServiceServer;
use cursus_chassis::{Server, Tasks, database};
use cursus_claim::Claims;
use cursus_feed::Feed;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use crate::config::{Config, RedisUrl};
use crate::contacts::Contacts;
use crate::events::Events;
use crate::grpc::Grpc;
use crate::grpc::crm::Crm;
use crate::grpc::ingest::Ingest;
use crate::grpc::insight::Insight;
use crate::grpc::privacy::Privacy;
use crate::http::Door;
use crate::insights::Insights;
use crate::peers::Delivery;
use crate::questions::Questions;
use crate::worker::Worker;
use crate::worker::erasing::Erasing;
use crate::worker::housekeeping::Housekeeping;
use crate::worker::outcomes::Outcomes;

/// Brings the database up to date.
pub static MIGRATOR: Migrator = sqlx::migrate!();

const SERVICES: [&str; 5] = [
    "cursus.segmentation.v1.SegmentationService",
    "cursus.segmentation.v1.CrmService",
    "cursus.segmentation.v1.InsightService",
    "cursus.segmentation.v1.PrivacyService",
    "cursus.segmentation.v1.IngestService",
];

/// The service: built, it is connected and bound; run, it serves.
#[derive(Debug)]
pub struct Segmentation {
    server: Server,
    /// Where calls of the tracking API come.
    ingest: TcpListener,
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
        let address = config.ingest_listen;
        let ingest = TcpListener::bind(address).await;
        let ingest = ingest.with_context(|| format!("cannot listen on {address}"))?;
        let bitmaps =
            bitmaps::Bitmaps::new(config.redis_url.nodes()).context("bad Redis address")?;
        let delivery = match &config.delivery_url {
            Some(url) => Some(Delivery::new(&config.peers.peer(url)?)),
            None => None,
        };
        housekeeping(&pool, &ambient, &config).once().await?;
        Ok(Self { server, ingest, pool, config, ambient, bitmaps, delivery })
    }

    /// Where gRPC is answered.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where calls of the tracking API are answered.
    pub fn ingest_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.ingest.local_addr()?)
    }

    /// Serves until `shutdown` is cancelled, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let tasks = Tasks::new(&shutdown);
        database::watch(&self.pool, &self.server.readiness(), &tasks);
        let contacts = Contacts::new(self.pool.clone(), self.ambient.clone());
        let feed = Feed::new(self.pool.clone());
        let bells = bells::Bells::new(feed.herald().clone());
        let events =
            Events::new(self.pool.clone(), self.ambient.clone(), feed.clone(), bells.clone());
        let ordinals = ordinals::Ordinals::new();
        let index = index::Index::new(self.pool.clone(), ordinals.clone());
        let questions = Questions::new(bells);
        self.start(&tasks, &events, (&feed, &index), &questions);
        let crm = Crm {
            accounts: accounts::Accounts::new(self.pool.clone(), self.ambient.clone()),
            deals: deals::Deals::new(self.pool.clone(), self.ambient.clone()),
            contacts: contacts.clone(),
        };
        let insights = Insights {
            pool: self.pool.clone(),
            ambient: self.ambient.clone(),
            questions: questions.clone(),
        };
        let attributes = attributes::Attributes::new(self.pool.clone(), self.ambient.clone());
        let calls = calls::Calls {
            pool: self.pool.clone(),
            ambient: self.ambient.clone(),
            attributes: attributes.clone(),
            contacts: contacts.clone(),
            events: events.clone(),
            ordinals: ordinals.clone(),
        };
        let (ingest, door) = self.intake(calls);
        let privacy = self.privacy(&contacts, &ordinals);
        let grpc = Grpc {
            attributes,
            segments: segments::Segments::new(self.pool.clone(), self.ambient.clone(), questions),
            members: members::Members {
                pool: self.pool.clone(),
                ordinals,
                index,
                bitmaps: self.bitmaps.clone(),
            },
            snapshots: snapshots::Snapshots::new(self.pool.clone(), self.ambient.clone()),
            transitions: transitions::Transitions { pool: self.pool.clone(), feed: feed.clone() },
            contacts,
            events,
            feed,
            shutdown: tasks.shutdown(),
        };
        tasks.spawn("ingest", http::serve(self.ingest, door, tasks.shutdown()));
        let most = self.config.serve.max_message_bytes;
        let service = SegmentationServiceServer::new(grpc).max_decoding_message_size(most);
        let insight = InsightServiceServer::new(Insight { insights });
        let routes = Routes::new(service)
            .add_service(CrmServiceServer::new(crm).max_decoding_message_size(most))
            .add_service(insight.max_decoding_message_size(most))
            .add_service(PrivacyServiceServer::new(privacy))
            .add_service(IngestServiceServer::new(ingest).max_decoding_message_size(most));
        self.server.run(routes, cursus_api::FILE_DESCRIPTOR_SET, &SERVICES, tasks).await
    }

    /// What takes calls of the tracking API, and what takes files.
    fn intake(&self, calls: calls::Calls) -> (Ingest, Door) {
        let write_keys = write_keys::WriteKeys::new(self.pool.clone(), self.ambient.clone());
        let sheets = sheets::Sheets {
            pool: self.pool.clone(),
            attributes: calls.attributes.clone(),
            contacts: calls.contacts.clone(),
            events: calls.events.clone(),
        };
        let timeout = self.config.serve.request_timeout;
        let door = Door::new(calls, write_keys.clone(), self.ambient.clone(), timeout);
        (Ingest { write_keys, sheets }, door)
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
    fn start(
        &self,
        tasks: &Tasks,
        events: &Events,
        (feed, index): (&Feed, &index::Index),
        questions: &Questions,
    ) {
        let shutdown = tasks.shutdown();
        let bells = questions.bells().clone();
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
        let housekeeping = housekeeping(&self.pool, &self.ambient, &self.config);
        spawn("housekeeping", Box::pin(housekeeping.run(shutdown.clone())));
        let worker = Worker {
            evaluator: evaluation::Evaluator::new(
                self.ambient.clone(),
                self.bitmaps.clone(),
                (feed.clone(), bells.clone()),
            ),
            residents: residents::Residents::new(self.config.resident_mib.saturating_mul(1 << 20)),
            questions: questions.clone(),
            ambient: self.ambient.clone(),
            bells,
            turns: Arc::new(Semaphore::new(cores())),
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

/// How much can be computed at once.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn housekeeping(pool: &PgPool, ambient: &Ambient, config: &Config) -> Housekeeping {
    let (pool, ambient) = (pool.clone(), ambient.clone());
    Housekeeping { pool, ambient, transitions_kept: config.transitions_kept }
}
