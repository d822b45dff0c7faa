//! A private Postgres: a fresh data directory, a free port, loopback only, no passwords.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::{Connection, PgConnection};

use super::Installation;
use crate::directory::Directory;
use crate::port;
use crate::process::{Process, Signal, User, tied};

const READY: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
const START_TRIES: usize = 5;

/// Whether what is committed survives a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As in production: for showing that nothing is lost.
    Durable,
    /// No `fsync`: for tests, which throw the data away.
    Fast,
}

/// A running server, stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    // Before the directory: the server must be gone when its files are removed.
    process: Option<Process>,
    directory: Directory,
    installation: Installation,
    durability: Durability,
    user: Option<User>,
    port: u16,
}

impl Postgres {
    /// Makes a data directory and starts a server on it.
    pub async fn start(
        installation: &Installation,
        durability: Durability,
    ) -> anyhow::Result<Self> {
        let directory = Directory::create()?;
        let user = server_user(&directory)?;
        initialize(&directory, installation, durability, user)?;
        let installation = installation.clone();
        let mut server =
            Self { process: None, directory, installation, durability, user, port: port::free()? };
        for _ in 1..START_TRIES {
            match server.resume().await {
                Err(error) if error.to_string().contains("Address already in use") => {
                    server.process = None;
                    server.port = port::free()?;
                }
                other => return other.map(|()| server),
            }
        }
        server.resume().await.map(|()| server)
    }

    /// The address of the database that is always there.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The address of one database.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Stops the server as an operator would: connections are cut, what is committed is kept.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::Interrupt, STOP).await?;
        }
        Ok(())
    }

    /// Starts the server again: same data, same port. Returns when it answers.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let mut process = self.spawn()?;
        let url = self.url();
        let started = Instant::now();
        while let Err(error) = PgConnection::connect(&url).await {
            process.check_running()?;
            if started.elapsed() > READY {
                bail!("Postgres did not answer: {error}\n{}", process.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
        self.process = Some(process);
        Ok(())
    }

    fn spawn(&self) -> anyhow::Result<Process> {
        let program = self.installation.postgres.join("postgres");
        // Quit is Postgres's immediate shutdown: it leaves no shared memory behind, which Kill
        // would.
        let mut command = tied(&program, Signal::Quit, self.user);
        command.arg("-D").arg(self.directory.join("data"));
        command.arg("-p").arg(self.port.to_string());
        command.arg("-k").arg(self.directory.join("sockets"));
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=500"]);
        command.args(["-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"]);
        if self.durability == Durability::Fast {
            command.args(["-c", "fsync=off", "-c", "synchronous_commit=off"]);
            command.args(["-c", "full_page_writes=off"]);
        }
        Process::spawn("Postgres", &mut command, Signal::Quit, &self.directory.join("log"))
    }
}

fn initialize(
    directory: &Directory,
    installation: &Installation,
    durability: Durability,
    user: Option<User>,
) -> anyhow::Result<()> {
    for name in ["data", "sockets"] {
        let path = directory.join(name);
        fs::create_dir(&path)?;
        if let Some(user) = user {
            chown(&path, Some(user.uid), Some(user.gid))?;
        }
    }
    let mut command = tied(&installation.postgres.join("initdb"), Signal::Kill, user);
    command.arg("-D").arg(directory.join("data"));
    command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
    if durability == Durability::Fast {
        command.arg("--no-sync");
    }
    run(&mut command, directory.path())
}

fn run(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let output = command.current_dir(folder).stdin(Stdio::null()).output().context("no initdb")?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Postgres refuses to run as root, so root runs it as `postgres`, or else as `nobody`.
fn server_user(directory: &Directory) -> anyhow::Result<Option<User>> {
    if fs::metadata(directory.path())?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let account = ["postgres", "nobody"].iter().find_map(|name| account(&accounts, name));
    Ok(Some(account.context("neither `postgres` nor `nobody` is a user here")?))
}

fn account(accounts: &str, name: &str) -> Option<User> {
    let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    Some(User { uid: numbers.next()?.ok()?, gid: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_committed_is_there_after_a_stop_and_a_resume() {
        let installation = Installation::find().unwrap();
        let mut server = Postgres::start(&installation, Durability::Fast).await.unwrap();
        let url = server.url();
        let mut conn = PgConnection::connect(&url).await.unwrap();
        sqlx::query("create table kept (n int)").execute(&mut conn).await.unwrap();

        server.stop().await.unwrap();
        assert!(PgConnection::connect(&url).await.is_err());

        server.resume().await.unwrap();
        let mut conn = PgConnection::connect(&url).await.unwrap();
        sqlx::query("insert into kept values (1)").execute(&mut conn).await.unwrap();
    }

    #[test]
    fn an_account_is_read_by_its_exact_name() {
        let accounts = "postgresql:x:7:8::/:/bin/sh\npostgres:x:101:102:,,,:/var:/bin/bash\n";
        let user = account(accounts, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 102));
        assert!(account(accounts, "nobody").is_none());
    }
}
