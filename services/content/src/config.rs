//! Every setting, with its help.

use std::num::NonZeroUsize;

use clap::Parser;
use cursus_chassis::config::address;
use cursus_chassis::{DatabaseConfig, PeerConfig, ServeConfig, TelemetryConfig};
use http::Uri;

/// Keeps templates, publishes them, and says exactly what a contact will read.
#[derive(Clone, Debug, Parser)]
#[command(name = "cursus-content", version)]
pub struct Config {
    /// How it listens.
    #[command(flatten)]
    pub serve: ServeConfig,

    /// What it tells about itself.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,

    /// Its own database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// How it calls the other services.
    #[command(flatten)]
    pub peers: PeerConfig,

    /// Address of the segmentation service.
    #[arg(long, env = "CURSUS_SEGMENTATION_URL", value_parser = address)]
    pub segmentation_url: Uri,

    /// Published versions kept in memory, ready to be filled in. One takes a few times the size of its HTML.
    #[arg(long, env = "CURSUS_CACHED_VERSIONS", default_value = "128")]
    pub cached_versions: NonZeroUsize,
}
