//! `bench`: the engines' benchmarks. `experiments`: whether the statistics keep their promises.

use crate::command::{cargo, run};
use crate::workspace::Workspace;

pub(crate) async fn all(workspace: &Workspace, extra: &[String]) -> anyhow::Result<()> {
    run(cargo(workspace).args(["bench", "--workspace", "--bench=*"]).args(extra)).await
}

/// Simulates campaigns and replays real ones; `CURSUS_DATA` names the folder of scenarios and tests.
pub(crate) async fn experiments(workspace: &Workspace) -> anyhow::Result<()> {
    run(cargo(workspace).args(["bench", "-p", "cursus-statistics", "--bench", "experiments"])).await
}
