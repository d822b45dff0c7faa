//! `prepare`: each package's `.sqlx`, the record of its queries against its schema, with which it
//! builds without a database.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use cursus_testkit::scratch::{self, Blank};
use cursus_testkit::servers::Durability;
use serde::Deserialize;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use crate::command::{cargo, run};
use crate::environment::Environment;
use crate::screen;
use crate::workspace::Workspace;

const RECORDS: &str = ".sqlx";

/// A package that has a database of its own.
#[derive(Debug)]
struct Owner {
    folder: PathBuf,
    variable: String,
}

#[derive(Deserialize)]
struct Settings {
    common: Common,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Common {
    database_url_var: String,
}

type Records = BTreeMap<String, String>;

/// Replaces every `.sqlx`.
pub(crate) async fn write(workspace: &Workspace) -> anyhow::Result<()> {
    for (owner, fresh) in record_all(workspace).await? {
        let folder = owner.folder.join(RECORDS);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        for (name, record) in &fresh {
            fs::write(folder.join(name), record)?;
        }
        screen::say(format!("{}: {} queries", folder.display(), fresh.len()));
    }
    Ok(())
}

/// Fails when a `.sqlx` is not what `write` would make it.
pub(crate) async fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for (owner, fresh) in record_all(workspace).await? {
        let folder = owner.folder.join(RECORDS);
        if read_records(&folder)? != fresh {
            stale.push(folder.display().to_string());
        }
    }
    if !stale.is_empty() {
        bail!("stale: {}; run `cargo xtask prepare` and commit the result", stale.join(", "));
    }
    Ok(())
}

async fn record_all(workspace: &Workspace) -> anyhow::Result<Vec<(Owner, Records)>> {
    let environment = Environment::start(workspace, Durability::Fast).await?;
    let mut databases = Vec::new();
    let owners = owners(workspace.root())?;
    for owner in &owners {
        databases.push(migrated(owner, &environment.database_url).await?);
    }
    let check = || {
        // Everything at once, with the features that CI's other builds have: nothing is built twice.
        let mut check = cargo(workspace);
        check.args(["check", "--workspace", "--all-targets"]).env("SQLX_OFFLINE", "false");
        check.envs(owners.iter().zip(&databases).map(|(owner, it)| (&owner.variable, &it.url)));
        check
    };
    run(&mut check()).await?;
    let mut all = Vec::new();
    for owner in &owners {
        // Only this package is compiled now, so only its queries are noted.
        let noted = tempfile::tempdir()?;
        touch_sources(&owner.folder)?;
        run(check().env("SQLX_OFFLINE_DIR", noted.path())).await?;
        all.push(read_records(noted.path())?);
    }
    Ok(owners.into_iter().zip(all).collect())
}

/// A fresh database with a package's schema.
async fn migrated(owner: &Owner, server: &str) -> anyhow::Result<Blank> {
    let database = scratch::blank(server, "prepare").await?;
    let migrations = Migrator::new(owner.folder.join("migrations")).await?;
    let mut conn = PgConnection::connect(&database.url).await?;
    migrations.run(&mut conn).await?;
    conn.close().await?;
    Ok(database)
}

fn owners(root: &Path) -> anyhow::Result<Vec<Owner>> {
    let mut owners = Vec::new();
    for parent in ["crates", "services"] {
        for entry in fs::read_dir(root.join(parent))? {
            let folder = entry?.path();
            if let Ok(text) = fs::read_to_string(folder.join("sqlx.toml")) {
                let settings: Settings = toml::from_str(&text)
                    .with_context(|| format!("{}/sqlx.toml", folder.display()))?;
                owners.push(Owner { folder, variable: settings.common.database_url_var });
            }
        }
    }
    owners.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(owners)
}

/// Makes cargo compile the package again: sqlx notes a query only while compiling it.
fn touch_sources(folder: &Path) -> anyhow::Result<()> {
    for root in ["src/lib.rs", "src/main.rs", "tests/it/main.rs"] {
        let file = folder.join(root);
        if file.exists() {
            File::options().append(true).open(file)?.set_modified(SystemTime::now())?;
        }
    }
    Ok(())
}

fn read_records(folder: &Path) -> anyhow::Result<Records> {
    let mut records = Records::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            records.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(records)
}
