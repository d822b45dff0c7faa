//! Where we are: the checkout, its target directory, and the cargo that runs us.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use crate::command;

#[derive(Debug)]
pub(crate) struct Workspace {
    cargo: OsString,
    layout: Layout,
}

/// How the services are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Soon built, slow: for tests and for trying things out.
    Dev,
    /// As in production: where speed is shown.
    Release,
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Layout {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and configuration files count.
    pub(crate) async fn find() -> anyhow::Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut metadata = Command::new(&cargo);
        metadata.args(["metadata", "--format-version=1", "--no-deps", "--offline"]);
        let layout = serde_json::from_str(&command::read(&mut metadata).await?)?;
        Ok(Self { cargo, layout })
    }

    pub(crate) fn cargo(&self) -> &OsString {
        &self.cargo
    }

    pub(crate) fn root(&self) -> &Path {
        &self.layout.workspace_root
    }

    /// Where the services' programs are after a build.
    pub(crate) fn programs(&self, profile: Profile) -> PathBuf {
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        };
        self.layout.target_directory.join(folder)
    }

    /// Where data sets go that we make for ourselves.
    pub(crate) fn data(&self) -> PathBuf {
        self.layout.target_directory.join("data")
    }

    /// Where tools that we install for ourselves go.
    pub(crate) fn tools(&self) -> PathBuf {
        self.layout.target_directory.join("tools")
    }
}
