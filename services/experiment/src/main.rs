//! The experiment service's process.

use clap::Parser as _;
use cursus_ambient::Ambient;
use cursus_chassis::telemetry;
use cursus_experiment::{Config, Experiment};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = telemetry::install("experiment", &config.telemetry)?;
    let shutdown = cursus_chassis::terminated()?;
    let outcome = match Experiment::build(config, Ambient::system()).await {
        Ok(experiment) => experiment.run(shutdown).await,
        Err(error) => Err(error),
    };
    telemetry.flush().await;
    outcome
}
