//! `fmt`: how the Rust code is laid out.

use crate::command::{cargo, run};
use crate::workspace::Workspace;

pub(crate) async fn format(workspace: &Workspace) -> anyhow::Result<()> {
    run(cargo(workspace).args(["fmt", "--all"])).await
}

pub(crate) async fn check(workspace: &Workspace) -> anyhow::Result<()> {
    run(cargo(workspace).args(["fmt", "--all", "--check"])).await
}
