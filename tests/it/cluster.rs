//! A cluster of processes for a test, on the servers that `cargo xtask test` started.

use std::env;
use std::path::PathBuf;

use cursus_testkit::cluster::{Blueprint, Cluster};
use cursus_testkit::sink::Sink;

fn variable(name: &str) -> String {
    let value = env::var_os(name).and_then(|value| value.into_string().ok());
    value.unwrap_or_else(|| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}

/// The five services, whose people are in workspace `demo` and whose mail goes to `sink`.
pub(crate) async fn start(sink: &Sink) -> Cluster {
    let blueprint = Blueprint {
        programs: PathBuf::from(variable("CURSUS_PROGRAMS")),
        database_url: variable("DATABASE_URL"),
        redis_url: variable("REDIS_URL"),
        relay: sink.address(),
        workspace: "demo".to_owned(),
        settings: Vec::new(),
    };
    Cluster::start(blueprint).await.unwrap()
}
