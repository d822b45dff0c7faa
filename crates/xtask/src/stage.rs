//! Everything a campaign needs on one machine: Postgres, Redis, a mail sink and the five services.

use cursus_testkit::cluster::{Blueprint, Cluster, Service};
use cursus_testkit::servers::Durability;
use cursus_testkit::sink::Sink;

use crate::command::{cargo, run};
use crate::environment::Environment;
use crate::screen;
use crate::workspace::{Profile, Workspace};

/// A running cluster and what it stands on.
#[derive(Debug)]
pub(crate) struct Stage {
    // The services first: they must not outlive what they use.
    pub(crate) cluster: Cluster,
    pub(crate) sink: Sink,
    _environment: Environment,
}

impl Stage {
    /// Builds the services and starts everything; mail goes to the sink. What they commit is as durable as in production.
    pub(crate) async fn set(
        workspace: &Workspace,
        tenant: &str,
        profile: Profile,
        sink: Sink,
    ) -> anyhow::Result<Self> {
        let mut build = cargo(workspace);
        build.args(["build", "--bins", "--profile", profile.name()]).env("SQLX_OFFLINE", "true");
        for service in Service::ALL {
            build.arg(format!("--package=cursus-{service}"));
        }
        run(&mut build).await?;
        let environment = Environment::start(workspace, Durability::Durable).await?;
        let step = screen::step("starting the five services");
        let blueprint = Blueprint {
            programs: workspace.programs(profile),
            database_url: environment.database_url.clone(),
            redis_url: environment.redis_url.clone(),
            relay: sink.address(),
            workspace: tenant.to_owned(),
            settings: Vec::new(),
        };
        let cluster = Cluster::start(blueprint).await?;
        step.done();
        Ok(Self { cluster, sink, _environment: environment })
    }
}
