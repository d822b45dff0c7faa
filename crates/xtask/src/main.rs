//! `cargo xtask <verb>`: what people and CI do with this repository, in one place.

mod bench;
mod chart;
mod command;
mod demo;
mod deny;
mod environment;
mod fmt;
mod lint;
mod prepare;
mod proto;
mod screen;
mod stage;
mod test;
mod tools;
mod up;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::command::Failed;
use crate::workspace::Workspace;

const INTERRUPTED: u8 = 130;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What people and CI do with this repository")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the benchmarks of the engines.
    Bench {
        /// Passed on to `cargo bench`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        extra: Vec<String>,
    },
    /// Check the Helm chart, and what it renders.
    Chart,
    /// Run a campaign from import to report, and compare the report with what happened.
    Demo {
        /// The MineThatData e-mail challenge: `hillstrom.csv` or its folder. Without it people are made up.
        #[arg(long, value_name = "PATH")]
        hillstrom: Option<PathBuf>,
    },
    /// Check licences, banned crates and sources against `deny.toml`.
    Deny,
    /// Simulate experiments, and compare what was decided with what is allowed.
    Experiments,
    /// Format the Rust code.
    Fmt {
        /// Change nothing; fail when something is not formatted.
        #[arg(long)]
        check: bool,
    },
    /// Run clippy and rustdoc on everything; warnings are errors.
    Lint,
    /// Write each service's `.sqlx` anew, so that it builds without a database.
    Prepare {
        /// Change nothing; fail when a `.sqlx` is stale.
        #[arg(long)]
        check: bool,
    },
    /// Check the protos: style, format, comments, and compatibility with branch `main`.
    Proto,
    /// Run all tests against private servers.
    Test {
        /// Passed on to the test runner: a filter, or `-p <package>`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        extra: Vec<String>,
    },
    /// Start the five services with everything they need, until Ctrl-C.
    Up,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Whatever a verb has started is owned by its future: dropping it stops servers and removes
    // scratch directories.
    let outcome = tokio::select! {
        biased;
        outcome = run(arguments.verb) => Some(outcome),
        () = interrupted() => None,
    };
    match outcome {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            screen::error(&error);
            error.downcast_ref().map_or(ExitCode::FAILURE, Failed::exit_code)
        }
        None => ExitCode::from(INTERRUPTED),
    }
}

async fn run(verb: Verb) -> anyhow::Result<()> {
    let workspace = Workspace::find().await?;
    match verb {
        Verb::Bench { extra } => bench::all(&workspace, &extra).await,
        Verb::Chart => chart::check(&workspace).await,
        Verb::Demo { hillstrom } => demo::run(&workspace, hillstrom).await,
        Verb::Deny => deny::check(&workspace).await,
        Verb::Experiments => bench::experiments(&workspace).await,
        Verb::Fmt { check: true } => fmt::check(&workspace).await,
        Verb::Fmt { check: false } => fmt::format(&workspace).await,
        Verb::Lint => lint::all(&workspace).await,
        Verb::Prepare { check: true } => prepare::check(&workspace).await,
        Verb::Prepare { check: false } => prepare::write(&workspace).await,
        Verb::Proto => proto::check(&workspace).await,
        Verb::Test { extra } => test::all(&workspace, &extra).await,
        Verb::Up => up::until_stopped(&workspace).await,
    }
}

/// Returns at Ctrl-C, or when the terminal or a supervisor asks us to end.
async fn interrupted() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut stream) => drop(stream.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
