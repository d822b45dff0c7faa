//! What the five services share: settings, listening, health, the tower layers every request
//! passes, identity, calls to peers, telemetry, background tasks and draining.
//!
//! A service's `build` connects ([`database::connect`]) and binds ([`Server::bind`]); its `run`
//! starts background work on [`Tasks`] and hands its routes to [`Server::run`], which returns once
//! everything has stopped. A request passes, from the outside in: span and metrics, panics,
//! authentication, load shedding, deadline, handler. A handler begins with [`Caller::admit`].

pub mod config;
pub mod database;
pub mod peer;
pub mod telemetry;

mod admin;
mod admission;
mod authentication;
mod caller;
mod context;
mod deadline;
mod identity;
mod methods;
mod metrics;
mod readiness;
mod rpc;
mod server;
mod signal;
mod tasks;

pub use caller::Caller;
pub use config::{DatabaseConfig, PeerConfig, ServeConfig, TelemetryConfig};
pub use identity::Role;
pub use peer::Peer;
pub use readiness::Readiness;
pub use server::Server;
pub use signal::terminated;
pub use tasks::Tasks;

/// Requests allocate on one thread and free on another, a little at a time: glibc's allocator spends a fifth of a busy
/// service on that, and gives back and takes again the same pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The domain of the reasons given by the layers here, as a service has one of its own.
pub const DOMAIN: &str = "chassis.cursus";
