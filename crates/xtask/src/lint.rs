//! `lint`: clippy and rustdoc over everything, with warnings as errors.

use crate::command::{cargo, run};
use crate::workspace::Workspace;

pub(crate) async fn all(workspace: &Workspace) -> anyhow::Result<()> {
    let mut clippy = cargo(workspace);
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    run(clippy.env("SQLX_OFFLINE", "true")).await?;
    let mut doc = cargo(workspace);
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    run(doc.env("SQLX_OFFLINE", "true").env("RUSTDOCFLAGS", "-D warnings")).await
}
