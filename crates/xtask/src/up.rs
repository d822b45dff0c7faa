//! `up`: the five services with everything they need, for trying things out.

use std::time::Duration;

use cursus_testkit::cluster::{ADMIN, APPROVER, EDITOR, PROGRAM, Service, VIEWER};

use cursus_testkit::sink::Sink;

use crate::screen;
use crate::stage::Stage;
use crate::workspace::{Profile, Workspace};

const WORKSPACE: &str = "demo";
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn until_stopped(workspace: &Workspace) -> anyhow::Result<()> {
    let mut stage = Stage::set(workspace, WORKSPACE, Profile::Dev, Sink::start().await?).await?;
    describe(&stage)?;
    loop {
        tokio::time::sleep(LOOK).await;
        stage.cluster.check_running()?;
    }
}

fn describe(stage: &Stage) -> anyhow::Result<()> {
    let Stage { cluster, sink, .. } = stage;
    screen::print(format!("\n{:<14} {:<22} log", "service", "gRPC"));
    for service in Service::ALL {
        let (address, log) = (cluster.address(service), cluster.log(service).display());
        screen::print(format!("{:<14} {:<22} {log}", service.name(), address.to_string()));
    }
    screen::print(format!("\n{:<22} {:<10} token (authorization: Bearer ...)", "subject", "role"));
    let callers = [
        (EDITOR, "editor"),
        (APPROVER, "approver"),
        (VIEWER, "viewer"),
        (ADMIN, "admin"),
        (PROGRAM, "service"),
    ];
    for (subject, role) in callers {
        screen::print(format!("{subject:<22} {role:<10} {}", cluster.token(subject)?));
    }
    screen::print(format!("\nWorkspace: workspaces/{WORKSPACE}"));
    if let Some(address) = cluster.setting(Service::Segmentation, "CURSUS_INGEST_LISTEN") {
        screen::print(format!("Calls of Segment's tracking API are taken at http://{address}."));
    }
    if let Some(url) = cluster.setting(Service::Delivery, "CURSUS_TRACKING_URL") {
        screen::print(format!("Links in mail lead to {url}."));
    }
    screen::print(format!("Mail goes to a sink at {} and no further.", sink.address()));
    screen::print("Ctrl-C stops everything and removes its data.");
    Ok(())
}
