//! A private Redis: a free port, loopback only, nothing kept on disk.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Installation;
use crate::directory::Directory;
use crate::port;
use crate::process::{Process, Signal, tied};

const READY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A running server, stopped when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    directory: Directory,
    installation: Installation,
    port: u16,
    /// Settings beyond the usual ones.
    settings: Vec<String>,
}

impl Redis {
    pub async fn start(installation: &Installation) -> anyhow::Result<Self> {
        Self::start_with(installation, Vec::new()).await
    }

    pub(super) async fn start_with(
        installation: &Installation,
        settings: Vec<String>,
    ) -> anyhow::Result<Self> {
        let installation = installation.clone();
        let directory = Directory::create()?;
        let port = port::free()?;
        let mut server = Self { process: None, directory, installation, port, settings };
        server.resume().await?;
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills the server. Nothing it held survives, as after the loss of a node.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::Kill, STOP).await?;
        }
        Ok(())
    }

    /// Starts an empty server on the same port. Returns when it answers.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let mut command = tied(&self.installation.redis, Signal::Kill, None);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.args(&self.settings);
        command.arg("--dir").arg(self.directory.path());
        let log = self.directory.join("log");
        let mut process = Process::spawn("Redis", &mut command, Signal::Kill, &log)?;
        let started = Instant::now();
        while !answers(self.port).await {
            process.check_running()?;
            if started.elapsed() > READY {
                bail!("Redis did not answer\n{}", process.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
        self.process = Some(process);
        Ok(())
    }
}

async fn answers(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG")
    };
    ping.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_server_does_not_answer_until_it_is_resumed() {
        let mut server = Redis::start(&Installation::find().unwrap()).await.unwrap();
        assert!(answers(server.port).await);
        server.stop().await.unwrap();
        assert!(!answers(server.port).await);
        server.resume().await.unwrap();
        assert!(answers(server.port).await);
    }
}
