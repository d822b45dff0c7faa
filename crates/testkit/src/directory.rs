//! A scratch directory that a server running as another user can reach.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// A directory under the system's temporary one, removed when dropped.
#[derive(Debug)]
pub struct Directory {
    inner: TempDir,
}

impl Directory {
    /// Makes a fresh one, which others may traverse but not list.
    pub fn create() -> anyhow::Result<Self> {
        let inner =
            tempfile::Builder::new().prefix("cursus-").tempdir().context("no scratch directory")?;
        fs::set_permissions(inner.path(), fs::Permissions::from_mode(0o711))?;
        Ok(Self { inner })
    }

    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// A path inside it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.inner.path().join(name)
    }
}
