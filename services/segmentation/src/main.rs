//! Segmentation as a process.

use clap::Parser;
use cursus_ambient::Ambient;
use cursus_chassis::telemetry;
use cursus_segmentation::{Config, Segmentation};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = telemetry::install("segmentation", &config.telemetry)?;
    let shutdown = cursus_chassis::terminated()?;
    let segmentation = Segmentation::build(config, Ambient::system()).await?;
    let outcome = segmentation.run(shutdown).await;
    telemetry.flush().await;
    outcome
}
