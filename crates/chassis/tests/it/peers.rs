//! How peers are called.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cursus_chassis::Peer;
use cursus_fault::reason;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::{Code, Request};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{
    TOKEN, current_trace, start, start_relaying, start_with, streamed, unary, unary_given, until,
};

#[tokio::test]
async fn a_unary_call_is_repeated_while_the_peer_is_unavailable() {
    let server = start().await;
    server.script.refusals.store(2, Ordering::SeqCst);
    let answer = unary(server.peer().calls(), "Flaky", "once more").await.unwrap();
    assert_eq!(answer, "once more");
    assert_eq!(server.script.attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn other_failures_and_streams_are_not_repeated() {
    let server = start().await;
    unary(server.peer().calls(), "Panic", "").await.unwrap_err();
    let asked = Request::new(String::new());
    let refused = streamed(server.peer().streams(), "Watch", asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(server.script.attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn repeats_are_bounded_by_a_budget_that_all_clones_share() {
    let server = start().await;
    server.script.refusals.store(usize::MAX, Ordering::SeqCst);
    let peer = server.peer();
    let calls = (0..200).map(|_| unary(peer.clone().calls(), "Flaky", ""));
    for outcome in futures::future::join_all(calls).await {
        assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    }
    // A tenth of the calls, and one for each second of the window.
    let repeats = server.script.attempts.load(Ordering::SeqCst) - 200;
    assert!((1..=30 + 1).contains(&repeats), "{repeats}");
}

#[tokio::test]
async fn a_peer_is_found_again_after_it_restarted() {
    let server = start().await;
    let (address, peer) = (server.address, server.peer());
    assert_eq!(unary(peer.calls(), "Echo", "before").await.unwrap(), "before");
    server.stop().await;
    let failed = unary(peer.calls(), "Echo", "gone").await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    let _again = start_with(|config| config.listen = address).await;
    until(async || unary(peer.calls(), "Echo", "after").await.is_ok()).await;
}

#[tokio::test]
async fn a_peer_that_never_answers_takes_no_longer_than_a_call_may() {
    let server = start().await;
    let peer = Peer::new(&server.uri(), TOKEN, Duration::from_millis(20)).unwrap();
    let failed = unary(peer.calls(), "Wait", "").await.unwrap_err();
    assert_eq!(failed.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&failed).as_deref(), Some("DEADLINE_EXCEEDED"));
}

/// How long, in milliseconds, a peer is given by a handler that itself has `limit`, and whose
/// client gave it `asked`.
async fn inherited(limit: Duration, asked: &'static str) -> u128 {
    let last = start().await;
    let relaying = start_relaying(|config| config.request_timeout = limit, Some(last.peer())).await;
    let mut request = Request::new("Time".to_owned());
    request.metadata_mut().insert("grpc-timeout", asked.parse().unwrap());
    let given = unary_given(relaying.peer().calls(), "Relay", request).await.unwrap();
    given.strip_suffix('m').unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_call_made_for_a_request_inherits_the_time_that_request_has_left() {
    // The client's hour is more than the service allows, and its minute is less.
    let left = inherited(Duration::from_mins(1), "1H").await;
    assert!((1..=60_000).contains(&left), "{left}");
    let left = inherited(Duration::from_hours(1), "1M").await;
    assert!((1..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_trace_goes_on_through_a_call_and_the_call_it_makes() {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = SdkTracerProvider::builder().build().tracer("it");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let _installed = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let last = start().await;
    let relaying = start_relaying(|_| (), Some(last.peer())).await;
    let span = tracing::info_span!("test");
    let here = span.in_scope(current_trace);
    let there = unary(relaying.peer().calls(), "Relay", "Trace").instrument(span).await.unwrap();
    assert_ne!(here, "00000000000000000000000000000000");
    assert_eq!(there, here);
}
