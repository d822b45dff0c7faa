//! `test`: everything that is tested, against private servers.

use std::fs;
use std::path::Path;

use anyhow::Context;
use cursus_testkit::directory::Directory;
use cursus_testkit::servers::{Durability, Installation};
use tokio::process::Command;

use crate::command::{cargo, run, succeeds};
use crate::environment::Environment;
use crate::workspace::{Profile, Workspace};
use crate::{screen, tools};

pub(crate) async fn all(workspace: &Workspace, extra: &[String]) -> anyhow::Result<()> {
    let environment = Environment::start(workspace, Durability::Fast).await?;
    let clients = tools::python_clients(workspace).await;
    if let Err(absence) = &clients {
        screen::say(format!("Tests with clients in Python will be skipped: {absence:#}"));
    }
    let node_clients = tools::node_clients(workspace).await;
    if let Err(absence) = &node_clients {
        screen::say(format!("Tests with clients in Node will be skipped: {absence:#}"));
    }
    // Tests that are killed leave files behind. They leave them here.
    let scratch = Directory::create()?;
    let prepared = |mut command: Command| {
        command.env("SQLX_OFFLINE", "true").env("TMPDIR", scratch.path());
        command.env("DATABASE_URL", &environment.database_url);
        command.env("REDIS_URL", &environment.redis_url);
        command.env("CURSUS_PROGRAMS", workspace.programs(Profile::Dev));
        if let Some(installation) = &environment.installation {
            command.env(Installation::POSTGRES_VARIABLE, &installation.postgres);
            command.env(Installation::REDIS_VARIABLE, &installation.redis);
        }
        if let Ok(clients) = &clients {
            command.env("CURSUS_PYTHON_TOOLS", clients);
        }
        if let Ok(clients) = &node_clients {
            command.env("CURSUS_NODE_TOOLS", clients);
        }
        command
    };
    run_tests(workspace, extra, prepared).await?;
    check_left_behind(scratch.path())
}

async fn run_tests(
    workspace: &Workspace,
    extra: &[String],
    prepared: impl Fn(Command) -> Command,
) -> anyhow::Result<()> {
    // One package's tests are wanted without building the rest.
    let is_part = extra.iter().any(|word| word == "-p" || word.starts_with("--package"));
    let scope: &[&str] = if is_part { &[] } else { &["--workspace"] };
    let has_nextest = succeeds(cargo(workspace).args(["nextest", "--version"])).await;
    let cargo = |words: &[&str]| {
        let mut command = prepared(cargo(workspace));
        command.args(words).args(scope);
        command
    };
    if !is_part {
        // With the tests, so that cargo settles on one set of features and builds each crate once.
        run(&mut cargo(&["build", "--bins", "--tests"])).await?;
    }
    if !has_nextest {
        return run(cargo(&["test"]).args(extra)).await;
    }
    if extra.is_empty() {
        // First, so that the last line is the count of the real tests.
        run(&mut cargo(&["test", "--doc", "--quiet"])).await?;
    }
    run(cargo(&["nextest", "run"]).args(extra)).await
}

fn check_left_behind(scratch: &Path) -> anyhow::Result<()> {
    let left = fs::read_dir(scratch).context("no scratch directory")?.count();
    if left > 0 {
        screen::say(format!("{left} tests left files behind; they are removed."));
    }
    Ok(())
}
