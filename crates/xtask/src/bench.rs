//! `bench`: the engines' benchmarks.

use crate::command::{cargo, run};
use crate::workspace::Workspace;

pub(crate) async fn all(workspace: &Workspace, extra: &[String]) -> anyhow::Result<()> {
    run(cargo(workspace).args(["bench", "--workspace", "--bench=*"]).args(extra)).await
}
