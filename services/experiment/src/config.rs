//! Every setting.

use clap::Parser;
use cursus_chassis::config::address;
use cursus_chassis::{DatabaseConfig, PeerConfig, ServeConfig, TelemetryConfig};
use http::Uri;

/// Says who gets which arm, whether there is a winner yet, and how sure that is.
#[derive(Clone, Debug, Parser)]
#[command(name = "cursus-experiment", version)]
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

    /// Address of the segmentation service, to follow its events. Without it only what callers record counts.
    #[arg(long, env = "CURSUS_SEGMENTATION_URL", value_parser = address)]
    pub segmentation_url: Option<Uri>,

    /// Address of the delivery service, to follow its outcomes. Without it only what callers record counts.
    #[arg(long, env = "CURSUS_DELIVERY_URL", value_parser = address)]
    pub delivery_url: Option<Uri>,
}
