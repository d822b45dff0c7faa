//! A cluster of processes for a test, on the servers that `cargo xtask test` started.

use std::env;
use std::path::PathBuf;

use cursus_testkit::cluster::{Blueprint, Cluster};
use cursus_testkit::sink::Sink;

fn variable(name: &str) -> String {
    let value = env::var_os(name).and_then(|value| value.into_string().ok());
    value.unwrap_or_else(|| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}

/// Where the tests' own Postgres is.
pub(crate) fn database_url() -> String {
    variable("DATABASE_URL")
}

/// The folder of the services' programs.
pub(crate) fn programs() -> PathBuf {
    PathBuf::from(variable("CURSUS_PROGRAMS"))
}

/// The five services, whose people are in workspace `demo` and whose mail goes to `sink`.
pub(crate) async fn start(sink: &Sink) -> Cluster {
    start_on(sink, &database_url(), None).await
}

/// The same on other servers.
pub(crate) async fn start_on(sink: &Sink, database_url: &str, redis_url: Option<&str>) -> Cluster {
    let blueprint = Blueprint {
        programs: programs(),
        database_url: database_url.to_owned(),
        redis_url: redis_url.map_or_else(|| variable("REDIS_URL"), str::to_owned),
        relay: sink.address(),
        workspace: cursus_demo::WORKSPACE.to_owned(),
        settings: Vec::new(),
    };
    Cluster::start(blueprint).await.unwrap()
}
