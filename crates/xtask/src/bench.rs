//! `bench`: how fast it is, and whether the statistics keep their promises.

mod comparison;
mod data;
mod engines;
mod loading;
mod membership;
mod segments;

use clap::{Args, Subcommand};

use crate::command::{cargo, run as run_command};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    which: Option<Which>,
}

/// What to measure; without a word, `micro`.
#[derive(Debug, Subcommand)]
enum Which {
    /// The engines by themselves.
    Micro {
        /// Passed on to `cargo bench`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        extra: Vec<String>,
    },
    /// Segments over a million contacts and their events, from Postgres, beside DuckDB and ClickHouse.
    Segments(segments::Options),
    /// Verdicts on simulated campaigns beside what is allowed, and on real tests.
    Experiments {
        /// Which parts: `acceptance`, `arms`, `streaming`, `open-ended`, `sample-ratio`, `speed`, `upworthy`; nothing is all.
        parts: Vec<String>,
    },
    /// How soon membership follows events and deadlines under load, and how fast it is checked.
    Membership {
        /// Passed on to the benchmark; `--help` lists what it takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        extra: Vec<String>,
    },
}

pub(crate) async fn run(workspace: &Workspace, arguments: Arguments) -> anyhow::Result<()> {
    match arguments.which {
        None => micro(workspace, &[]).await,
        Some(Which::Micro { extra }) => micro(workspace, &extra).await,
        Some(Which::Segments(options)) => segments::run(workspace, &options).await,
        Some(Which::Experiments { parts }) => experiments(workspace, &parts).await,
        Some(Which::Membership { extra }) => membership::run(workspace, &extra).await,
    }
}

/// The others need servers or minutes, and have verbs of their own.
async fn micro(workspace: &Workspace, extra: &[String]) -> anyhow::Result<()> {
    let mut bench = cargo(workspace);
    bench.args(["bench", "--package=cursus-audience", "--package=cursus-template", "--bench=*"]);
    run_command(bench.args(extra)).await
}

/// `CURSUS_DATA` names the folder of scenarios and tests.
async fn experiments(workspace: &Workspace, parts: &[String]) -> anyhow::Result<()> {
    let mut bench = cargo(workspace);
    bench.args(["bench", "--package=cursus-statistics", "--bench=experiments", "--"]);
    run_command(bench.args(parts)).await
}
