//! What tests and `cargo xtask` need and no service ships: private Postgres and Redis servers,
//! scratch databases, a recording mail sink, and the five services as processes.
//!
//! Everything here cleans up when it is dropped, and every process started here dies with its
//! parent.

pub mod clients;
pub mod cluster;
pub mod directory;
pub mod fake;
pub mod host;
pub mod port;
pub mod process;
pub mod scratch;
pub mod servers;
pub mod sink;
pub mod wait;
