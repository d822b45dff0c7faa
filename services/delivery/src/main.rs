//! The delivery service's process.

use clap::Parser;
use cursus_ambient::Ambient;
use cursus_chassis::telemetry;
use cursus_delivery::{Config, Delivery};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = telemetry::install("delivery", &config.telemetry)?;
    let shutdown = cursus_chassis::terminated()?;
    let delivery = Delivery::build(config, Ambient::system()).await?;
    let outcome = delivery.run(shutdown).await;
    telemetry.flush().await;
    outcome
}
