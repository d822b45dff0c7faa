//! Every setting.

use std::time::Duration;

use clap::Parser;
use cursus_chassis::config::{address, duration};
use cursus_chassis::{DatabaseConfig, PeerConfig, ServeConfig, TelemetryConfig};
use http::Uri;

/// Takes campaigns from their draft to their report, and asks a person before anything ships.
#[derive(Clone, Debug, Parser)]
#[command(name = "cursus-orchestrator", version)]
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

    /// Address of the content service.
    #[arg(long, env = "CURSUS_CONTENT_URL", value_parser = address)]
    pub content_url: Uri,

    /// Address of the delivery service.
    #[arg(long, env = "CURSUS_DELIVERY_URL", value_parser = address)]
    pub delivery_url: Uri,

    /// Address of the experiment service.
    #[arg(long, env = "CURSUS_EXPERIMENT_URL", value_parser = address)]
    pub experiment_url: Uri,

    /// How often a campaign is compared with what it should be.
    #[arg(long, env = "CURSUS_RECONCILE_INTERVAL", default_value = "250ms", value_parser = duration)]
    pub reconcile_interval: Duration,

    /// How long an approval may be given after it was asked for.
    #[arg(long, env = "CURSUS_APPROVAL_EXPIRY", default_value = "72h", value_parser = duration)]
    pub approval_expiry: Duration,
}
