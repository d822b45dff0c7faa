//! How a server stops.

use std::time::Duration;

use anyhow::anyhow;
use cursus_fault::reason;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{start, start_with, streamed, unary, until};

#[tokio::test]
async fn readiness_goes_first_then_the_port_and_requests_under_way_are_answered() {
    let server = start().await;
    let mut health = HealthClient::new(server.stranger())
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status().as_str_name(), "SERVING");
    let peer = server.peer();
    let draining = async {
        server.script.entered.acquire().await.unwrap().forget();
        server.shutdown.cancel();
        let next = health.message().await.unwrap().unwrap();
        assert_eq!(next.status().as_str_name(), "NOT_SERVING");
        let ended = health.message().await.unwrap_err();
        assert_eq!(reason(&ended).as_deref(), Some("STOPPING"));
        until(async || TcpStream::connect(server.address).await.is_err()).await;
        assert!(server.get("/readyz").await.starts_with("HTTP/1.0 503"));
        assert!(server.get("/livez").await.starts_with("HTTP/1.0 200"));
        server.script.release.add_permits(1);
    };
    let (answer, ()) = tokio::join!(unary(peer.calls(), "Wait", "patience"), draining);
    assert_eq!(answer.unwrap(), "patience");
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_client_that_connects_and_says_nothing_does_not_hold_up_the_end() {
    let server = start().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    // The server greets whoever it has accepted.
    assert!(silent.read(&mut [0; 9]).await.unwrap() > 0);
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_drain_in_time_is_cut_off_and_told_why() {
    let server = start_with(|config| config.drain_timeout = Duration::from_millis(20)).await;
    let peer = server.peer();
    let asked = Request::new("first".to_owned());
    let mut stream = streamed(peer.streams(), "Watch", asked).await.unwrap();
    stream.message().await.unwrap().unwrap();
    let stopping = async {
        server.script.entered.acquire().await.unwrap().forget();
        server.shutdown.cancel();
        server.script.dropped.acquire().await.unwrap().forget();
    };
    // Without the retries of `calls`, which would find the port closed.
    let (call, ()) = tokio::join!(unary(peer.streams(), "Wait", ""), stopping);
    for cut in [call.unwrap_err(), stream.message().await.unwrap_err()] {
        assert_eq!(cut.code(), Code::Unavailable);
        assert_eq!(reason(&cut).as_deref(), Some("STOPPING"));
    }
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_task_that_fails_ends_the_service_with_its_failure() {
    let server = start().await;
    server.tasks.spawn("sender", async { Err(anyhow!("the disk is full")) });
    let failure = server.ended().await.unwrap_err().to_string();
    assert_eq!(failure, "the task `sender` failed: the disk is full");
}

#[tokio::test]
async fn draining_waits_for_tasks() {
    let server = start().await;
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    server.tasks.spawn("sender", async { Ok(finished.await?) });
    server.shutdown.cancel();
    until(async || TcpStream::connect(server.address).await.is_err()).await;
    // Readiness is still answered for, and denied, until the task is done.
    assert!(server.get("/readyz").await.starts_with("HTTP/1.0 503"));
    finish.send(()).unwrap();
    server.ended().await.unwrap();
}
