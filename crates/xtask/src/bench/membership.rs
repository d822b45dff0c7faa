//! `bench membership`: the service's own benchmark on private servers, as durable as in production.

use cursus_testkit::servers::Durability;

use crate::command::{cargo, run as run_command};
use crate::environment::Environment;
use crate::workspace::Workspace;

pub(crate) async fn run(workspace: &Workspace, extra: &[String]) -> anyhow::Result<()> {
    let bench = || {
        let mut bench = cargo(workspace);
        bench.args(["bench", "--package=cursus-segmentation", "--bench=membership"]);
        bench.env("SQLX_OFFLINE", "true");
        bench
    };
    run_command(bench().arg("--no-run")).await?;
    let environment = Environment::start(workspace, Durability::Durable).await?;
    let mut measure = bench();
    measure.arg("--").arg(format!("--database-url={}", environment.database_url));
    measure.arg(format!("--redis-url={}", environment.redis_url));
    run_command(measure.args(extra)).await
}
