//! Child processes that cannot outlive us.
//!
//! Each runs under `setpriv --pdeathsig`, so the kernel signals it when the thread that started it
//! ends: even a `kill -9` of a test leaves nothing behind. Start processes from a test or from a
//! runtime's own threads, never from `spawn_blocking`, whose threads end when idle.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

const POLL: Duration = Duration::from_millis(10);
const FAREWELL: Duration = Duration::from_secs(5);
const LOG_TAIL: u64 = 4096;

/// The signals we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Kill,
    Quit,
    Terminate,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
        }
    }
}

/// A user other than ours to run as, by number.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// A command that will get `farewell` when we die. Add arguments and variables, then give it to
/// [`Process::spawn`].
pub fn tied(program: &Path, farewell: Signal, user: Option<User>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--pdeathsig={}", farewell.name()));
    if let Some(user) = user {
        command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// A running child that logs to a file and is ended when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    farewell: Signal,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, so that a Ctrl-C in the terminal reaches
    /// only us and we end things in order. Output is appended to `log`. `farewell` is what it gets
    /// when dropped.
    pub fn spawn(
        name: &str,
        command: &mut Command,
        farewell: Signal,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, farewell, log: log.to_owned() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails, with the end of its log, when it is no longer running.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.log_tail()),
        }
    }

    /// The largest resident memory it has had so far, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Sends a signal; nothing happens when the process has ended.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        // A child that we have not reaped keeps its number, so this cannot hit another process.
        if self.exit_status()?.is_none() {
            send(signal, self.child.id())
                .with_context(|| format!("cannot signal {}", self.name))?;
        }
        Ok(())
    }

    /// Sends a signal and waits for the end; fails when it takes longer than `patience`.
    pub async fn end(&mut self, signal: Signal, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(signal)?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            if started.elapsed() > patience {
                bail!("{} did not end within {patience:?} of {signal:?}", self.name);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The last lines of its log, for an error message.
    pub fn log_tail(&self) -> String {
        read_tail(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let started = Instant::now();
        if self.signal(self.farewell).is_ok() {
            while matches!(self.child.try_wait(), Ok(None)) && started.elapsed() < FAREWELL {
                std::thread::sleep(POLL);
            }
        }
        match self.child.kill() {
            Err(error) if error.kind() != ErrorKind::InvalidInput => {}
            _ => drop(self.child.wait()),
        }
    }
}

/// Sends a signal to a process, if it is there.
pub fn send(signal: Signal, process: u32) -> std::io::Result<()> {
    // The shell's own `kill`: a small Debian has no other.
    let kill = format!("kill -s {} {process}", signal.name());
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().map(drop)
}

fn read_tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    fn shell(script: &str) -> (Directory, Process) {
        let directory = Directory::create().unwrap();
        let mut command = tied(Path::new("sh"), Signal::Kill, None);
        command.args(["-c", script]);
        let process =
            Process::spawn("a shell", &mut command, Signal::Kill, &directory.join("log")).unwrap();
        (directory, process)
    }

    fn is_alive(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[tokio::test]
    async fn dropping_a_process_ends_it() {
        let (_directory, process) = shell("exec sleep 600");
        let id = process.id();
        assert!(is_alive(id));
        drop(process);
        assert!(!is_alive(id));
    }

    #[tokio::test]
    async fn a_process_that_ended_by_itself_is_reported_with_its_log() {
        let (_directory, mut process) = shell("echo it broke; exit 3");
        while process.exit_status().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        let error = process.check_running().unwrap_err().to_string();
        assert!(error.contains("it broke") && error.contains('3'), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_ignores_a_signal_is_reported() {
        let (_directory, mut process) = shell("trap '' TERM; echo up; while :; do sleep 1; done");
        while !process.log_tail().contains("up") {
            tokio::task::yield_now().await;
        }
        let error = process.end(Signal::Terminate, Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }

    #[test]
    fn a_process_dies_with_the_thread_that_started_it() {
        let thread = std::thread::spawn(|| {
            let (directory, process) = shell("echo up; exec sleep 600");
            // The thread must be there until the kernel was asked to watch it.
            while !process.log_tail().contains("up") {
                std::thread::yield_now();
            }
            (directory, process)
        });
        let (_directory, mut process) = thread.join().unwrap();
        while process.exit_status().unwrap().is_none() {
            std::thread::yield_now();
        }
    }
}
