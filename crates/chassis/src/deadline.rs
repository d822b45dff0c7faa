//! The layer that ends calls in time: at their deadline, and when the service stops without having
//! drained.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use cursus_fault::Fault;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::context::{self, DEADLINE};
use crate::methods::Methods;
use crate::rpc;

/// What bounds a call.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) methods: Arc<Methods>,
    pub(crate) request_timeout: Duration,
    /// Cancelled when what is still running after draining must end.
    pub(crate) abandoned: CancellationToken,
}

pub(crate) async fn limit(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let streaming = limits.methods.at(request.uri().path()).streaming;
    let given = context::time_given(request.headers());
    let allowed = if streaming {
        given
    } else {
        Some(given.map_or(limits.request_timeout, |given| given.min(limits.request_timeout)))
    };
    // A client may ask for more years than a clock has; that is no limit.
    let deadline = allowed.and_then(|allowed| Instant::now().checked_add(allowed));
    let end = ended(deadline, limits.abandoned);
    let mut end = Box::pin(end);
    tokio::select! {
        biased;
        response = DEADLINE.scope(deadline, next.run(request)) => {
            if streaming { response.map(|body| Body::new(Bounded { body, end })) } else { response }
        }
        status = &mut end => rpc::answer(&status),
    }
}

/// Ends the streams of health and reflection, which nobody else ends, when the server closes.
pub(crate) async fn until_closing(
    State(closing): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    response.map(|body| Body::new(Bounded { body, end: Box::pin(ended(None, closing)) }))
}

/// Resolves when a call must end, with what its client is told.
async fn ended(deadline: Option<Instant>, stopped: CancellationToken) -> Status {
    let expired = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = expired => Fault::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
            .status(crate::DOMAIN, "the time for this request ran out"),
        () = stopped.cancelled() => Fault::new(Code::Unavailable, "STOPPING")
            .status(crate::DOMAIN, "the service is stopping"),
    }
}

/// A stream of answers that ends early, with a status, when `end` resolves.
struct Bounded<F> {
    body: Body,
    end: Pin<Box<F>>,
}

impl<F: Future<Output = Status>> HttpBody for Bounded<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        // An empty body stands for one that was ended: it must not be asked again.
        let Poll::Ready(status) = self.end.as_mut().poll(cx) else { return Poll::Pending };
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        let told = status.add_header(&mut trailers).map_err(axum::Error::new);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
