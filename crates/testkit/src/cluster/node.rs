//! One service's process, over its lives.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Service;
use crate::port;
use crate::process::{Process, Signal, tied};

const READY: Duration = Duration::from_mins(1);
const END: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Node {
    service: Service,
    program: PathBuf,
    log: PathBuf,
    listen: SocketAddr,
    admin: SocketAddr,
    settings: Vec<(&'static str, String)>,
    process: Option<Process>,
    /// The peak of the lives before this one.
    past_peak: u64,
}

impl Node {
    pub(super) fn new(service: Service, program: PathBuf, log: PathBuf) -> anyhow::Result<Self> {
        if !program.is_file() {
            bail!("{} is not built", program.display());
        }
        let (listen, admin) = (loopback()?, loopback()?);
        let (settings, process) = (Vec::new(), None);
        let node = Self { service, program, log, listen, admin, settings, process, past_peak: 0 };
        Ok(node.with_setting("CURSUS_LISTEN", &listen).with_setting("CURSUS_ADMIN_LISTEN", &admin))
    }

    pub(super) fn with_setting(mut self, variable: &'static str, value: &dyn ToString) -> Self {
        self.set(variable, value);
        self
    }

    pub(super) fn set(&mut self, variable: &'static str, value: &dyn ToString) {
        self.settings.retain(|(known, _)| *known != variable);
        self.settings.push((variable, value.to_string()));
    }

    pub(super) fn setting(&self, variable: &str) -> Option<&str> {
        let setting = self.settings.iter().find(|(known, _)| *known == variable);
        setting.map(|(_, value)| value.as_str())
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn peak_memory(&self) -> u64 {
        let now = self.process.as_ref().and_then(Process::peak_memory).unwrap_or_default();
        now.max(self.past_peak)
    }

    pub(super) fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = tied(&self.program, Signal::Kill, None);
        // Only what we set: a variable in the developer's shell must not change a test.
        command.env_clear().env("RUST_BACKTRACE", "1");
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.envs(self.settings.iter().map(|(variable, value)| (variable, value)));
        let name = self.service.name();
        self.process = Some(Process::spawn(name, &mut command, Signal::Kill, &self.log)?);
        Ok(())
    }

    pub(super) async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while !is_ready(self.admin).await {
            self.check_running()?;
            if started.elapsed() > READY {
                let log = self.process.as_ref().map(Process::log_tail).unwrap_or_default();
                bail!("{} is not ready after {READY:?}:\n{log}", self.service);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) fn check_running(&mut self) -> anyhow::Result<()> {
        let process = self.process.as_mut();
        process.with_context(|| format!("{} was stopped", self.service))?.check_running()
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.past_peak = self.peak_memory();
        if let Some(mut process) = self.process.take() {
            process.end(Signal::Kill, END).await?;
        }
        Ok(())
    }

    pub(super) fn ask_to_end(&mut self) -> anyhow::Result<()> {
        self.past_peak = self.peak_memory();
        self.process.as_mut().map_or(Ok(()), |process| process.signal(Signal::Terminate))
    }

    pub(super) async fn wait_until_ended(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let status = process.end(Signal::Terminate, END).await?;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.service, process.log_tail());
        }
        Ok(())
    }
}

fn loopback() -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], port::free()?)))
}

async fn is_ready(admin: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    ask.await.unwrap_or(false)
}
