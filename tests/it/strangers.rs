//! The services seen by a gRPC client that nobody here wrote: reflection, health, and a refusal.

use std::env;
use std::process::Command;

use cursus_testkit::cluster::{EDITOR, Service};
use cursus_testkit::sink::Sink;

use crate::cluster;

const CLIENT: &str = include_str!("strangers.py");

#[tokio::test]
async fn a_client_in_python_finds_every_service_healthy_and_is_refused_without_a_token() {
    let Some(modules) = env::var_os("CURSUS_PYTHON_TOOLS") else {
        eprintln!("skipped: no gRPC for Python here (CURSUS_PYTHON_TOOLS is not set)");
        return;
    };
    let sink = Sink::start().await.unwrap();
    let cluster = cluster::start(&sink).await;
    for service in Service::ALL {
        let output = Command::new("python3")
            .args(["-c", CLIENT, service.name(), &cluster.address(service).to_string()])
            .arg(cluster.token(EDITOR).unwrap())
            .env("PYTHONPATH", &modules)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{service}: {complaint}");
    }
}
