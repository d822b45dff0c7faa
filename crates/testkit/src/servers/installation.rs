//! Where the programs of Postgres and Redis are on this machine.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context;

const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// The programs that start a private server.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The folder with `initdb` and `postgres`.
    pub postgres: PathBuf,
    /// `redis-server`, or another that speaks its protocol.
    pub redis: PathBuf,
}

impl Installation {
    /// Names the folder of Postgres's programs, when it is not to be looked for.
    pub const POSTGRES_VARIABLE: &str = "CURSUS_POSTGRES_PROGRAMS";
    /// Names the Redis server program, when it is not to be looked for.
    pub const REDIS_VARIABLE: &str = "CURSUS_REDIS_SERVER";

    /// Finds both, or says what is missing.
    pub fn find() -> anyhow::Result<Self> {
        Ok(Self {
            postgres: Self::find_postgres().context(
                "no Postgres server programs on PATH or in /usr/lib/postgresql; `cargo xtask test` installs them",
            )?,
            redis: Self::find_redis()
                .context("no redis-server on PATH; `cargo xtask test` installs it")?,
        })
    }

    /// The folder of Postgres's programs: as told, on PATH, or the newest that Debian installed.
    pub fn find_postgres() -> Option<PathBuf> {
        let told = env::var_os(Self::POSTGRES_VARIABLE).map(PathBuf::from);
        let found = told.or_else(|| on_path("initdb")?.parent().map(Path::to_owned));
        let usable = found.filter(|programs| programs.join("postgres").is_file());
        usable.or_else(|| newest_version(Path::new(DEBIAN_POSTGRES)))
    }

    /// The Redis server: as told, or on PATH.
    pub fn find_redis() -> Option<PathBuf> {
        env::var_os(Self::REDIS_VARIABLE)
            .map(PathBuf::from)
            .filter(|program| program.is_file())
            .or_else(|| on_path("redis-server"))
            .or_else(|| on_path("valkey-server"))
    }
}

/// Where a program is on PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn newest_version(folder: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(folder).ok()?.flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let programs = |path: PathBuf| Some((number(&path)?, path.join("bin")));
    versions
        .filter_map(|entry| programs(entry.path()))
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .max_by_key(|(version, _)| *version)
        .map(|(_, programs)| programs)
}
