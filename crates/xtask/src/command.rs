//! Other programs, run in the foreground: they share our terminal and end with us.

use std::process::{ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use cursus_testkit::process::{self, Signal};
use tokio::process::{Child, Command};

use crate::workspace::Workspace;

const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A program ended badly. Its own output has said why.
#[derive(Debug, thiserror::Error)]
#[error("`{program}` failed ({ending})")]
pub(crate) struct Failed {
    program: String,
    ending: String,
    code: Option<i32>,
}

impl Failed {
    /// What to end with ourselves: the same.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let code = self.code.and_then(|code| u8::try_from(code).ok());
        code.map_or(ExitCode::FAILURE, ExitCode::from)
    }
}

/// `cargo`, the one that runs us, in the workspace's root.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut cargo = Command::new(workspace.cargo());
    cargo.current_dir(workspace.root());
    cargo
}

/// Runs a command with our terminal; fails when it does.
pub(crate) async fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = name(command);
    let child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    let mut running = Running(child);
    let status = running.0.wait().await?;
    if status.success() {
        return Ok(());
    }
    Err(Failed { program, ending: status.to_string(), code: status.code() }.into())
}

/// Runs a command quietly and returns what it printed; fails, with its complaint, when it does.
pub(crate) async fn read(command: &mut Command) -> anyhow::Result<String> {
    let program = name(command);
    let output = output(command).await?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let failed = Failed { program, ending: output.status.to_string(), code: output.status.code() };
    Err(anyhow::Error::new(failed).context(complaint))
}

/// Whether a command succeeds; what it prints is dropped.
pub(crate) async fn succeeds(command: &mut Command) -> bool {
    output(command).await.is_ok_and(|output| output.status.success())
}

async fn output(command: &mut Command) -> anyhow::Result<Output> {
    let program = name(command);
    let output = command.kill_on_drop(true).stdin(Stdio::null()).output().await;
    output.with_context(|| format!("cannot run {program}"))
}

fn name(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A child in the foreground. At Ctrl-C the terminal has told it too; it gets a moment to end its
/// own children.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(id) = self.0.id() else { return };
        drop(process::send(Signal::Terminate, id));
        let started = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && started.elapsed() < PATIENCE {
            std::thread::sleep(POLL);
        }
        drop(self.0.start_kill());
    }
}
