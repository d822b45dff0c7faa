//! The content service's process.

use clap::Parser;
use cursus_ambient::Ambient;
use cursus_chassis::telemetry;
use cursus_content::{Config, Content};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = telemetry::install("content", &config.telemetry)?;
    let shutdown = cursus_chassis::terminated()?;
    let content = Content::build(config, Ambient::system()).await?;
    let outcome = content.run(shutdown).await;
    telemetry.flush().await;
    outcome
}
