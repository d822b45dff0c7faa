//! Packages of Debian and Ubuntu, when we may install them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::bail;
use tokio::process::Command;

use crate::{command, screen};

/// Installs packages as root or with a `sudo` that asks for no password; fails where neither can
/// be.
pub(crate) async fn install(packages: &[&str]) -> anyhow::Result<()> {
    let is_root = fs::metadata("/proc/self")?.uid() == 0;
    if !is_root && !command::succeeds(Command::new("sudo").args(["-n", "true"])).await {
        bail!("not root, and sudo would ask for a password");
    }
    let step = screen::step(format!("installing {} with apt-get", packages.join(", ")));
    let install = || {
        let mut apt = apt_get(is_root);
        apt.args(["install", "-y", "--no-install-recommends"]).args(packages);
        apt
    };
    // A fresh container has no package lists yet, and old ones name packages that are gone.
    if !command::succeeds(&mut install()).await {
        command::read(apt_get(is_root).arg("update")).await?;
        command::read(&mut install()).await?;
    }
    step.done();
    Ok(())
}

fn apt_get(is_root: bool) -> Command {
    let mut command = if is_root { Command::new("env") } else { Command::new("sudo") };
    if !is_root {
        command.args(["-n", "env"]);
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
    command
}
