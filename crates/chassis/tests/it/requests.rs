//! What the layers do to a request.

use std::time::Duration;

use cursus_fault::{reason, value};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{NAME, start, start_with, streamed, unary, until};

fn given(time: &'static str, said: &str) -> Request<String> {
    let mut request = Request::new(said.to_owned());
    request.metadata_mut().insert("grpc-timeout", time.parse().unwrap());
    request
}

fn told(status: &Status) -> (Code, Option<String>) {
    (status.code(), reason(status))
}

#[tokio::test]
async fn who_shows_no_token_or_an_unknown_one_is_refused() {
    let server = start().await;
    let refused = unary(server.stranger(), "Echo", "hello").await.unwrap_err();
    assert_eq!(told(&refused), (Code::Unauthenticated, Some("NO_TOKEN".to_owned())));
    let refused = unary(server.peer_with("guess").calls(), "Echo", "hello").await.unwrap_err();
    assert_eq!(told(&refused), (Code::Unauthenticated, Some("UNKNOWN_TOKEN".to_owned())));
    assert_eq!(unary(server.peer().calls(), "Echo", "hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_caller_has_its_roles_and_its_workspaces_and_no_others() {
    let server = start().await;
    assert_eq!(unary(server.peer().calls(), "Enter", "acme").await.unwrap(), "ana");
    let refused = unary(server.peer().calls(), "Enter", "globex").await.unwrap_err();
    assert_eq!(told(&refused), (Code::PermissionDenied, Some("NOT_IN_WORKSPACE".to_owned())));
    assert_eq!(value(&refused, "workspace").as_deref(), Some("globex"));
    let refused = unary(server.peer().calls(), "Enter", "").await.unwrap_err();
    assert_eq!(told(&refused), (Code::PermissionDenied, Some("ROLE_REQUIRED".to_owned())));
    assert_eq!(value(&refused, "role").as_deref(), Some("approver"));
}

#[tokio::test]
async fn health_and_reflection_answer_strangers() {
    let server = start().await;
    let mut health = HealthClient::new(server.stranger());
    for service in ["", NAME] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(asked).await.unwrap().into_inner();
        assert_eq!(answer.status().as_str_name(), "SERVING", "{service}");
    }
    let asked = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut answers = ServerReflectionClient::new(server.stranger())
        .server_reflection_info(futures::stream::iter([asked]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|it| it.name).collect();
    names.sort();
    assert_eq!(names, ["grpc.health.v1.Health", NAME]);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing_and_the_server_lives_on() {
    let server = start().await;
    let failed = unary(server.peer().calls(), "Panic", "").await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Internal, "internal error"));
    assert_eq!(unary(server.peer().calls(), "Echo", "still here").await.unwrap(), "still here");
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_service_allows_is_ended() {
    let server = start_with(|config| config.request_timeout = Duration::from_millis(20)).await;
    let failed = unary(server.peer().calls(), "Wait", "").await.unwrap_err();
    assert_eq!(told(&failed), (Code::DeadlineExceeded, Some("DEADLINE_EXCEEDED".to_owned())));
    server.script.dropped.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn a_stream_outlives_the_request_timeout() {
    let server = start_with(|config| config.request_timeout = Duration::from_millis(20)).await;
    let asked = Request::new("first".to_owned());
    let mut stream = streamed(server.peer().streams(), "Watch", asked).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");
    unary(server.peer().calls(), "Wait", "").await.unwrap_err();
    // Had the stream ended with that request's time, its end would be here.
    let next = futures::FutureExt::now_or_never(stream.message());
    assert!(next.is_none(), "{next:?}");
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline_its_client_gave() {
    let server = start().await;
    let asked = given("500m", "first");
    let mut stream = streamed(server.peer().streams(), "Watch", asked).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");
    let ended = stream.message().await.unwrap_err();
    assert_eq!(told(&ended), (Code::DeadlineExceeded, Some("DEADLINE_EXCEEDED".to_owned())));
}

#[tokio::test]
async fn work_beyond_the_limit_is_refused_at_once_and_health_still_answers() {
    let server = start_with(|config| config.max_concurrent_requests = 1).await;
    let (waiting, peer) = (server.peer(), server.peer());
    let first = unary(waiting.calls(), "Wait", "first");
    let rest = async {
        server.script.entered.acquire().await.unwrap().forget();
        let refused = unary(peer.calls(), "Echo", "second").await.unwrap_err();
        let health =
            HealthClient::new(server.stranger()).check(HealthCheckRequest::default()).await;
        server.script.release.add_permits(1);
        (refused, health)
    };
    let (first, (refused, health)) = tokio::join!(first, rest);
    assert_eq!(told(&refused), (Code::ResourceExhausted, Some("OVERLOADED".to_owned())));
    health.unwrap();
    assert_eq!(first.unwrap(), "first");
    assert_eq!(unary(peer.calls(), "Echo", "third").await.unwrap(), "third");
}

#[tokio::test]
async fn metrics_tell_each_call_by_method_and_code_and_lump_strangers_together() {
    let server = start().await;
    let calls = || server.peer().calls();
    unary(calls(), "Echo", "hello").await.unwrap();
    unary(calls(), "Panic", "").await.unwrap_err();
    assert_eq!(unary(calls(), "MadeUp", "").await.unwrap_err().code(), Code::Unimplemented);
    for line in [
        r#"rpc_server_calls_total{code="Ok",method="Echo",service="test.v1.Script"}"#,
        r#"rpc_server_calls_total{code="Internal",method="Panic",service="test.v1.Script"}"#,
        r#"rpc_server_calls_total{code="Unimplemented",method="unknown",service="unknown"}"#,
        r#"rpc_server_seconds_count{method="Echo",service="test.v1.Script"}"#,
        r#"rpc_client_calls_total{code="Ok",method="Echo",service="test.v1.Script"}"#,
    ] {
        until(async || server.get("/metrics").await.contains(line)).await;
    }
    assert!(server.get("/livez").await.starts_with("HTTP/1.0 200"));
    assert!(server.get("/readyz").await.starts_with("HTTP/1.0 200"));
}
