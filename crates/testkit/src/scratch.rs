//! What one test may have to itself on the servers that all tests share: a database, a name.
//!
//! The servers are named by `DATABASE_URL` and `REDIS_URL`, which `cargo xtask test` sets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::{env, thread};

use anyhow::Context;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

const POOL_SIZE: u32 = 8;

/// A fresh database with a service's schema; dropped with this.
#[derive(Debug)]
pub struct Database {
    /// Where it is, for a service's configuration.
    pub url: String,
    /// Connected to it, for looking behind the service's back.
    pub pool: PgPool,
    _blank: Blank,
}

/// A fresh database with nothing in it; dropped with this.
#[derive(Debug)]
pub struct Blank {
    pub url: String,
    name: String,
    server: String,
}

/// Makes a database on the server that `DATABASE_URL` names, with all of `migrations` run.
pub async fn database(owner: &str, migrations: &Migrator) -> anyhow::Result<Database> {
    let blank = blank(&variable("DATABASE_URL")?, &format!("test_{owner}")).await?;
    let url = blank.url.clone();
    let pool = PgPoolOptions::new().max_connections(POOL_SIZE).connect(&url).await?;
    migrations.run(&pool).await?;
    Ok(Database { url, pool, _blank: blank })
}

/// Makes an empty database on `server`, with a name like no other.
pub async fn blank(server: &str, owner: &str) -> anyhow::Result<Blank> {
    let name = unique(owner);
    let options: PgConnectOptions = server.parse().context("not the address of a Postgres")?;
    let url = options.database(&name).to_url_lossy().to_string();
    let blank = Blank { url, name, server: server.to_owned() };
    execute(server, format!(r#"create database "{}""#, blank.name)).await?;
    Ok(blank)
}

/// The Redis server that all tests share: use keys that no other test uses.
pub fn redis_url() -> anyhow::Result<String> {
    variable("REDIS_URL")
}

/// A name that no other test has, of small letters, digits and `_`.
pub fn unique(prefix: &str) -> String {
    let number = RandomState::new().build_hasher().finish();
    format!("{prefix}_{number:016x}")
}

impl Drop for Blank {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!(r#"drop database if exists "{}" with (force)"#, self.name);
        // A thread, because a runtime cannot block on itself. What cannot be dropped goes with the
        // server.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.is_ok_and(|runtime| runtime.block_on(execute(&server, statement)).is_ok())
        });
        drop(dropping.join());
    }
}

/// Runs one statement on a connection of its own.
async fn execute(server: &str, statement: String) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect(server).await.context("Postgres cannot be reached")?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut conn).await?;
    Ok(conn.close().await?)
}

fn variable(name: &str) -> anyhow::Result<String> {
    env::var_os(name).and_then(|value| value.into_string().ok()).with_context(|| {
        format!("{name} is not set; `cargo xtask test` starts private servers and sets it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(server: &str, name: &str) -> i64 {
        let mut conn = PgConnection::connect(server).await.unwrap();
        let query = sqlx::query_scalar("select count(*) from pg_database where datname = $1");
        query.bind(name).fetch_one(&mut conn).await.unwrap()
    }

    #[tokio::test]
    async fn a_scratch_database_is_gone_with_its_guard_even_while_connections_are_open() {
        let none = Migrator::with_migrations(Vec::new());
        let database = database("kit", &none).await.unwrap();
        let server = variable("DATABASE_URL").unwrap();
        let name: String = sqlx::query_scalar("select current_database()")
            .fetch_one(&database.pool)
            .await
            .unwrap();
        let open = database.pool.acquire().await.unwrap();
        assert_eq!(count(&server, &name).await, 1);
        drop(database);
        assert_eq!(count(&server, &name).await, 0);
        drop(open);
    }
}
