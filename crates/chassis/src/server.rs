//! The server of one service: both ports, the layers around its routes, and draining.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_http::catch_panic::CatchPanicLayer;

use crate::admin;
use crate::admission;
use crate::authentication;
use crate::config::ServeConfig;
use crate::deadline::{self, Limits};
use crate::identity::Authenticator;
use crate::methods::Methods;
use crate::readiness::Readiness;
use crate::rpc::{self, Observer};
use crate::tasks::Tasks;

/// A peer is asked whether it still lives when a connection was silent this long, and is taken for
/// dead when it does not answer within [`PING_TIMEOUT`].
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients connect anew after this long, so that replicas that join get their share. Calls and
/// streams under way are not cut.
const CONNECTION_AGE: Duration = Duration::from_mins(10);
/// Streams on one connection; every `Watch…` of a peer is one.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// How long connections may take to say goodbye once no request is left, and requests to end once
/// they were abandoned.
const GOODBYE: Duration = Duration::from_secs(1);

/// The two bound ports of a service, ready to [`Server::run`].
#[derive(Debug)]
pub struct Server {
    rpc: TcpListener,
    admin: TcpListener,
    config: ServeConfig,
    authenticator: Arc<Authenticator>,
    readiness: Readiness,
}

/// The gRPC health service, kept true to the replica's readiness.
#[derive(Clone)]
struct Health {
    reporter: HealthReporter,
    names: Vec<String>,
    readiness: Readiness,
}

/// The tokens and counts by which draining proceeds.
struct Drain {
    /// Cancelled to stop accepting.
    closing: CancellationToken,
    /// Cancelled to end what did not drain in time.
    abandoned: CancellationToken,
    /// The requests under way.
    in_flight: TaskTracker,
    timeout: Duration,
}

impl Server {
    /// Binds both ports and reads who may call. Nothing is answered before [`Server::run`].
    pub async fn bind(config: &ServeConfig) -> anyhow::Result<Self> {
        let bind = async |address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
        };
        Ok(Self {
            rpc: bind(config.listen).await?,
            admin: bind(config.admin_listen).await?,
            config: config.clone(),
            authenticator: Arc::new(Authenticator::from_file(&config.identities_file)?),
            readiness: Readiness::new(),
        })
    }

    /// Where gRPC is answered.
    ///
    /// # Panics
    ///
    /// Never: the port is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.rpc.local_addr().expect("a bound socket has an address")
    }

    /// Where `/metrics`, `/livez` and `/readyz` are answered.
    ///
    /// # Panics
    ///
    /// Never: the port is bound.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr().expect("a bound socket has an address")
    }

    /// A handle to take this replica out of rotation, and back.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until the tasks' shutdown begins, then stops in order: readiness off, no new
    /// connections, requests and tasks drain within the drain timeout, what is left is cut off.
    ///
    /// `service_names` are the full names of the services in `routes`, and `descriptor_set`
    /// describes them, for reflection and time limits. Fails if a task failed.
    pub async fn run(
        self,
        routes: Routes,
        descriptor_set: &'static [u8],
        service_names: &[&str],
        tasks: Tasks,
    ) -> anyhow::Result<()> {
        let Self { rpc, admin, config, authenticator, readiness } = self;
        let drain = Drain {
            closing: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            in_flight: TaskTracker::new(),
            timeout: config.drain_timeout,
        };
        let following = Arc::clone(&authenticator);
        let shutdown = tasks.shutdown();
        tasks.spawn("identities", async move {
            following.follow_file(shutdown).await;
            Ok(())
        });

        let (reporter, health) = tonic_health::server::health_reporter();
        let guarded = guarded(routes, descriptor_set, &config, authenticator, &drain)?;
        let open = opened(health, descriptor_set, service_names, &drain.closing)?;
        let serving = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(PING_EVERY))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .max_connection_age(CONNECTION_AGE)
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .add_routes(Routes::from(guarded.merge(open)).prepare())
            .serve_with_incoming_shutdown(
                TcpIncoming::from(rpc).with_nodelay(Some(true)),
                drain.closing.clone().cancelled_owned(),
            );
        let serving = async { serving.await.context("the server failed") };

        let names = service_names.iter().copied().chain([""]).map(str::to_owned).collect();
        let health = Health { reporter, names, readiness: readiness.clone() };
        readiness.start();
        tracing::info!(services = ?service_names, "serving");
        tokio::select! {
            outcome = drain.serve(serving, tasks, health.clone()) => outcome,
            outcome = admin::serve(admin, readiness) => {
                Err(outcome.err().map_or_else(|| anyhow!("the admin port closed"), Into::into))
            }
            () = health.follow() => Err(anyhow!("readiness was dropped while it was in use")),
        }
    }
}

impl Health {
    async fn follow(self) {
        let mut changes = self.readiness.changes();
        loop {
            self.announce().await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn announce(&self) {
        for name in &self.names {
            let status = if self.readiness.is_ready() {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            self.reporter.set_service_status(name, status).await;
        }
    }
}

impl Drain {
    async fn serve(
        self,
        serving: impl Future<Output = anyhow::Result<()>>,
        tasks: Tasks,
        health: Health,
    ) -> anyhow::Result<()> {
        let mut serving = pin!(serving);
        tokio::select! {
            outcome = &mut serving => {
                return outcome.and(Err(anyhow!("the server ended without being told to")));
            }
            () = tasks.shutdown().cancelled_owned() => {}
        }
        tracing::info!("stopping");
        health.readiness.stop();
        health.announce().await;
        self.closing.cancel();

        let mut drained = pin!(async { tokio::join!(self.drained(serving), tasks.wait()) });
        if let Ok((served, worked)) = timeout(self.timeout, &mut drained).await {
            return worked.and(served);
        }
        tracing::warn!(
            requests = self.in_flight.len(),
            "not drained in time; what is left is abandoned"
        );
        self.abandoned.cancel();
        // Those who were waiting are told before the connection goes.
        let _ = timeout(GOODBYE, drained).await;
        tasks.outcome()
    }

    /// Resolves once every request is answered. A connection on which nothing was ever asked keeps
    /// the server's own future waiting for ever, so that one is not waited for alone.
    async fn drained(
        &self,
        serving: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        self.in_flight.close();
        let answered = async {
            // A client may ask once more before it has heard that it should not.
            loop {
                self.in_flight.wait().await;
                tokio::time::sleep(GOODBYE).await;
                if self.in_flight.is_empty() {
                    break;
                }
            }
        };
        tokio::select! {
            outcome = serving => outcome,
            () = answered => Ok(()),
        }
    }
}

/// The service's own routes behind every layer.
fn guarded(
    routes: Routes,
    descriptor_set: &[u8],
    config: &ServeConfig,
    authenticator: Arc<Authenticator>,
    drain: &Drain,
) -> anyhow::Result<axum::Router> {
    let methods = Arc::new(Methods::described_by(descriptor_set)?);
    let observer = Observer { methods: Arc::clone(&methods), in_flight: drain.in_flight.clone() };
    let slots = Arc::new(Semaphore::new(config.max_concurrent_requests));
    let limits = Limits {
        methods,
        request_timeout: config.request_timeout,
        abandoned: drain.abandoned.clone(),
    };
    // Each layer wraps those above it: a request meets them from the last to the first.
    Ok(routes
        .into_axum_router()
        .layer(from_fn_with_state(limits, deadline::limit))
        .layer(from_fn_with_state(slots, admission::admit))
        .layer(from_fn_with_state(authenticator, authentication::authenticate))
        .layer(CatchPanicLayer::custom(rpc::panicked))
        .layer(from_fn_with_state(observer, rpc::observe)))
}

/// Health and reflection, open to everybody.
fn opened<H: tonic_health::pb::health_server::Health>(
    health: tonic_health::pb::health_server::HealthServer<H>,
    descriptor_set: &'static [u8],
    service_names: &[&str],
    closing: &CancellationToken,
) -> anyhow::Result<axum::Router> {
    let described = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptor_set)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        service_names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let open = Routes::new(health)
        .add_service(described().build_v1()?)
        .add_service(described().build_v1alpha()?);
    // Unknown paths belong to the guarded routes.
    let router = open.into_axum_router().reset_fallback();
    Ok(router.layer(from_fn_with_state(closing.clone(), deadline::until_closing)))
}
