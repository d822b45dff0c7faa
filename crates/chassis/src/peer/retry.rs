//! One unary call, made again while the peer is unavailable, the budget lasts and time is left.

use std::error::Error;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use cursus_fault::Fault;
use http::{Request, Response};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status, TimeoutExpired};
use tower::retry::backoff::{Backoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::Budget;
use tower::util::rng::HasherRng;

use crate::context;
use crate::methods::Method;
use crate::metrics::CLIENT;
use crate::peer::Shared;

/// Attempts in all.
const ATTEMPTS: u32 = 4;
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Up to half a pause is added to it, by chance, so that callers do not come back in step.
const JITTER: f64 = 0.5;
/// Largest request kept to be sent again. What the peers accept is less.
const LARGEST_REQUEST: usize = 64 << 20;

pub(super) async fn call(peer: &Shared, request: Request<Body>) -> Result<Response<Body>, Status> {
    let deadline = deadline(peer, &request);
    let attempts = attempts(peer, request, deadline);
    timeout_at(deadline, attempts).await.unwrap_or_else(|_| Err(too_late()))
}

async fn attempts(
    peer: &Shared,
    request: Request<Body>,
    deadline: Instant,
) -> Result<Response<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(axum::body::Body::new(body), LARGEST_REQUEST)
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    let method = Method::of_path(parts.uri.path());
    peer.budget.deposit();
    let mut pauses = pauses();
    let mut attempt = 1;
    loop {
        context::give_time(&mut parts.headers, deadline.saturating_duration_since(Instant::now()));
        let mut request = Request::from_parts(parts.clone(), whole(body.clone()));
        peer.sign(&mut request);
        let outcome = peer.send(request).await.map_err(|error| told(&error));
        if attempt == ATTEMPTS || !is_unavailable(&outcome) || !peer.budget.withdraw() {
            return outcome;
        }
        attempt += 1;
        pauses.next_backoff().await;
        CLIENT.retried(&method);
    }
}

/// The earliest of the peer's own limit, the limit of the request being handled, and the one the
/// caller has set on this call.
fn deadline(peer: &Shared, request: &Request<Body>) -> Instant {
    let given = context::time_given(request.headers()).unwrap_or(peer.call_timeout);
    let own = Instant::now() + given.min(peer.call_timeout);
    context::deadline().map_or(own, |inherited| inherited.min(own))
}

fn whole(body: Bytes) -> Body {
    Body::new(axum::body::Body::from(body))
}

fn pauses() -> impl Backoff<Future: Send> + Send {
    ExponentialBackoffMaker::new(SHORTEST_PAUSE, LONGEST_PAUSE, JITTER, HasherRng::default())
        .expect("the shortest pause is below the longest")
        .make_backoff()
}

/// What a failed connection is told as. Our unary methods may be repeated, so it does not matter
/// whether the peer had begun.
fn told(error: &tonic::transport::Error) -> Status {
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(cause) = source {
        if cause.is::<TimeoutExpired>() {
            return too_late();
        }
        source = cause.source();
    }
    Status::unavailable(cursus_fault::chain(error))
}

fn too_late() -> Status {
    Fault::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
        .status(crate::DOMAIN, "the peer did not answer in time")
}

fn is_unavailable(outcome: &Result<Response<Body>, Status>) -> bool {
    match outcome {
        Ok(response) => Status::from_header_map(response.headers())
            .is_some_and(|status| status.code() == Code::Unavailable),
        Err(status) => status.code() == Code::Unavailable,
    }
}
