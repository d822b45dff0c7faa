//! The orchestrator's process.

use clap::Parser as _;
use cursus_ambient::Ambient;
use cursus_chassis::telemetry;
use cursus_orchestrator::{Config, Orchestrator};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = telemetry::install("orchestrator", &config.telemetry)?;
    let shutdown = cursus_chassis::terminated()?;
    let outcome = match Orchestrator::build(config, Ambient::system()).await {
        Ok(orchestrator) => orchestrator.run(shutdown).await,
        Err(error) => Err(error),
    };
    telemetry.flush().await;
    outcome
}
