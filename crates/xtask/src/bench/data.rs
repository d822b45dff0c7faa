//! The data set of the segment benchmark: contacts and events in Parquet files, given or generated once.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use crate::workspace::Workspace;
use crate::{command, screen, tools};

const CONTACTS: &str = "contacts.parquet";
const EVENTS: &str = "events.parquet";
const SEED: u32 = 7;
/// Names the folder of the benchmark's scripts.
const VARIABLE: &str = "CURSUS_BENCH";

/// A folder with `contacts.parquet` and `events.parquet`.
#[derive(Debug)]
pub(crate) struct DataSet {
    pub(crate) folder: PathBuf,
    /// Whether it is the generator's for our seed, so that what is in it is known.
    pub(crate) is_ours: bool,
}

impl DataSet {
    /// One that was made elsewhere.
    pub(crate) fn given(folder: &Path) -> anyhow::Result<Self> {
        for file in [CONTACTS, EVENTS] {
            ensure!(folder.join(file).is_file(), "no {file} in {}", folder.display());
        }
        Ok(Self { folder: folder.canonicalize()?, is_ours: false })
    }

    /// One of so many contacts, kept for the next time.
    pub(crate) async fn generated(
        workspace: &Workspace,
        scripts: Option<&Path>,
        contacts: u32,
    ) -> anyhow::Result<Self> {
        let folder = workspace.data().join(format!("segments-{contacts}-{SEED}"));
        if [CONTACTS, EVENTS].iter().all(|file| folder.join(file).is_file()) {
            return Ok(Self { folder, is_ours: true });
        }
        let Some(scripts) = scripts else {
            bail!(
                "there is no data set: give `--data DIR` with {CONTACTS} and {EVENTS}, or `--scripts DIR` (or {VARIABLE}) \
                 with the generate.py that writes them"
            )
        };
        let modules = tools::python_columns(workspace).await?;
        let step = screen::step(format!("generating {contacts} contacts and their events"));
        // Files appear whole or not at all.
        let unfinished = folder.with_extension("unfinished");
        let mut generate = Command::new("python3");
        generate.arg(scripts.join("generate.py")).arg(&unfinished).env("PYTHONPATH", modules);
        generate.arg(format!("--contacts={contacts}")).arg(format!("--seed={SEED}"));
        command::read(&mut generate).await?;
        std::fs::rename(&unfinished, &folder)?;
        step.done();
        Ok(Self { folder, is_ours: true })
    }

    pub(crate) fn contacts(&self) -> PathBuf {
        self.folder.join(CONTACTS)
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.folder.join(EVENTS)
    }
}

/// The folder with the benchmark's scripts: as told, or beside the checkout.
pub(crate) fn scripts(
    workspace: &Workspace,
    told: Option<&Path>,
) -> anyhow::Result<Option<PathBuf>> {
    let told = told.map(Path::to_owned).or_else(|| env::var_os(VARIABLE).map(PathBuf::from));
    let is_told = told.is_some();
    let folder = told.unwrap_or_else(|| workspace.root().join("../shared/bench"));
    if folder.join("generate.py").is_file() {
        return Ok(Some(folder.canonicalize().context("no scripts")?));
    }
    ensure!(!is_told, "no generate.py in {}", folder.display());
    Ok(None)
}
