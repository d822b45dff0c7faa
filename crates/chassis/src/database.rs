//! The service's pool of connections: opened once Postgres is up, with its schema up to date, and
//! watched for as long as the service runs.

use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::DatabaseConfig;
use crate::readiness::Readiness;
use crate::tasks::Tasks;

/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections are renewed, so that a failed-over database is found.
const CONNECTION_AGE: Duration = Duration::from_mins(30);
/// How long one attempt to connect, or one ping, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_millis(250);
const PING_EVERY: Duration = Duration::from_secs(5);
/// Failed pings in a row after which requests are sent elsewhere.
const UNWELL_AFTER: u32 = 3;
/// Failed pings in a row, with a database that answers others, after which the pool is given up.
const WEDGED_AFTER: u32 = 12;

/// What a server does for the connections of a pool: no statement and no wait for a lock outlives
/// the patience of the client behind it, and a peer that vanished is noticed in about a minute.
const SETTINGS: [(&str, &str); 6] = [
    ("statement_timeout", "15s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// Opens the pool, waiting for the database to come up, and migrates it if that is wanted.
pub async fn connect(
    config: &DatabaseConfig,
    service_name: &str,
    migrator: &Migrator,
) -> anyhow::Result<PgPool> {
    let options = config.database_url.options().application_name(service_name);
    let mut first = first_connection(&options, config.database_wait).await?;
    if config.migrate {
        // On a connection without a statement timeout: a migration takes the time it takes, and so
        // does waiting for the replica that got there first.
        migrator.run(&mut first).await.context("the schema cannot be brought up to date")?;
    }
    first.close().await?;
    PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(CONNECTION_AGE)
        .connect_with(options.options(SETTINGS))
        .await
        .context("cannot connect to the database")
}

/// Starts the watch over `pool`: readiness goes while the database does not answer through it, and
/// comes back with it. A pool that hands out no connections although the database answers will
/// never recover, so then the process ends.
pub fn watch(pool: &PgPool, readiness: &Readiness, tasks: &Tasks) {
    let watchdog = Watchdog {
        pool: pool.clone(),
        readiness: readiness.clone(),
        every: PING_EVERY,
        patience: ANSWER_TIMEOUT,
        wedged_after: WEDGED_AFTER,
    };
    tasks.spawn("database-watchdog", watchdog.run(tasks.shutdown()));
}

struct Watchdog {
    pool: PgPool,
    readiness: Readiness,
    every: Duration,
    patience: Duration,
    wedged_after: u32,
}

impl Watchdog {
    async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let watching = async {
            let mut failed = 0;
            loop {
                sleep(self.every).await;
                failed = if self.answers_through_the_pool().await { 0 } else { failed + 1 };
                self.judge(failed).await?;
            }
        };
        shutdown.run_until_cancelled(watching).await.unwrap_or(Ok(()))
    }

    async fn judge(&self, failed: u32) -> anyhow::Result<()> {
        if failed == 0 {
            self.readiness.well("database");
        } else if failed >= UNWELL_AFTER {
            self.readiness.unwell("database");
        }
        if failed >= self.wedged_after && self.answers_directly().await {
            bail!("the pool hands out no connections though the database answers");
        }
        Ok(())
    }

    async fn answers_through_the_pool(&self) -> bool {
        let ping = sqlx::query("select 1").execute(&self.pool);
        matches!(timeout(self.patience, ping).await, Ok(Ok(_)))
    }

    async fn answers_directly(&self) -> bool {
        let options = self.pool.connect_options();
        let ping = async { PgConnection::connect_with(&options).await?.ping().await };
        matches!(timeout(self.patience, ping).await, Ok(Ok(())))
    }
}

async fn first_connection(
    options: &PgConnectOptions,
    wait: Duration,
) -> anyhow::Result<PgConnection> {
    let give_up = Instant::now() + wait;
    loop {
        let attempt = timeout(ANSWER_TIMEOUT, PgConnection::connect_with(options)).await;
        let error = match attempt {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if !may_come_up(&error) => Some(error),
            Ok(Err(error)) if Instant::now() >= give_up => Some(error),
            Err(_) if Instant::now() >= give_up => None,
            _ => {
                tracing::info!("waiting for the database");
                sleep(RETRY_EVERY).await;
                continue;
            }
        };
        let host = options.get_host();
        return match error {
            Some(error) => Err(error).with_context(|| format!("cannot connect to `{host}`")),
            None => bail!("the database at `{host}` does not answer"),
        };
    }
}

/// Whether a database that refuses like this may be on its way up. A wrong password will not become
/// right.
fn may_come_up(error: &sqlx::Error) -> bool {
    const CANNOT_CONNECT_NOW: &str = "57P03";
    const TOO_MANY_CONNECTIONS: &str = "53300";
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| [CANNOT_CONNECT_NOW, TOO_MANY_CONNECTIONS].contains(&&*code)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
