//! `up`: the five services with everything they need, for trying things out.

use std::future::pending;

use cursus_testkit::{
    cluster::{ADMIN, APPROVER, Blueprint, Cluster, EDITOR, Service, VIEWER},
    servers::Durability,
    sink::Sink,
};

use crate::{
    command::{cargo, run},
    environment::Environment,
    screen,
    workspace::Workspace,
};

const WORKSPACE: &str = "demo";

pub(crate) async fn until_stopped(workspace: &Workspace) -> anyhow::Result<()> {
    let mut build = cargo(workspace);
    run(build.args(["build", "--workspace", "--bins"]).env("SQLX_OFFLINE", "true")).await?;
    let environment = Environment::start(workspace, Durability::Durable).await?;
    let sink = Sink::start().await?;
    let step = screen::step("starting the five services");
    let blueprint = Blueprint {
        programs: workspace.programs(),
        database_url: environment.database_url.clone(),
        redis_url: environment.redis_url.clone(),
        relay: sink.address(),
        workspace: WORKSPACE.to_owned(),
        settings: Vec::new(),
    };
    let cluster = Cluster::start(blueprint).await?;
    step.done();
    describe(&cluster, &sink)?;
    pending().await
}

fn describe(cluster: &Cluster, sink: &Sink) -> anyhow::Result<()> {
    screen::print(format!("\n{:<14} {:<22} log", "service", "gRPC"));
    for service in Service::ALL {
        let (address, log) = (cluster.address(service), cluster.log(service).display());
        screen::print(format!("{:<14} {:<22} {log}", service.name(), address.to_string()));
    }
    screen::print(format!("\n{:<22} {:<10} token (authorization: Bearer ...)", "subject", "role"));
    let people = [(EDITOR, "editor"), (APPROVER, "approver"), (VIEWER, "viewer"), (ADMIN, "admin")];
    for (subject, role) in people {
        screen::print(format!("{subject:<22} {role:<10} {}", cluster.token(subject)?));
    }
    screen::print(format!("\nWorkspace: workspaces/{WORKSPACE}"));
    screen::print(format!("Mail goes to a sink at {} and no further.", sink.address()));
    screen::print("Ctrl-C stops everything and removes its data.");
    Ok(())
}
