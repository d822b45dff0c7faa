//! The outermost layer of every call: its span, joined to the caller's trace, and its metrics.
//! The body of the answer is followed to its end, because the code of a call is in its trailers.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};
use tracing::{Instrument, Span};

use crate::context;
use crate::methods::{Method, Methods};
use crate::metrics::{Call, SERVER};

/// What following a call needs.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) methods: Arc<Methods>,
    /// Holds a token for every call until the last byte of its answer was taken.
    pub(crate) in_flight: TaskTracker,
}

pub(crate) async fn observe(
    State(observer): State<Observer>,
    request: Request,
    next: Next,
) -> Response {
    let method = observer.methods.at(request.uri().path());
    let span = span(&method);
    context::join_trace(&span, request.headers());
    let call = Call::start(&SERVER, method, span.clone(), Some(observer.in_flight.token()));
    let response = next.run(request).instrument(span).await;
    Observed::follow(call, response).map(Body::new)
}

fn span(method: &Method) -> Span {
    tracing::info_span!(
        "rpc",
        otel.name = format!("{}/{}", method.service, method.name),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system = "grpc",
        rpc.service = method.service,
        rpc.method = method.name,
        rpc.grpc.status_code = tracing::field::Empty,
    )
}

/// A status as the answer to a call.
pub(crate) fn answer(status: &Status) -> Response {
    status.clone().into_http()
}

/// What the client of a handler that panicked is told; the panic itself goes to the log.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = crate::tasks::said(&*panic);
    tracing::error!(panic = said, "a handler panicked");
    answer(&Status::internal("internal error"))
}

/// A body that reports to a [`Call`] how it ended.
pub(crate) struct Observed<B> {
    call: Call,
    body: B,
}

impl<B> Observed<B> {
    pub(crate) fn follow(mut call: Call, response: http::Response<B>) -> http::Response<Self> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            call.ends_with(status.code());
        }
        response.map(|body| Self { call, body })
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Observed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code) {
                    self.call.ends_with(code);
                }
            }
            Some(Err(_)) => self.call.ends_with(Code::Unknown),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn code(trailers: &HeaderMap) -> Option<Code> {
    Some(Status::from_header_map(trailers)?.code())
}
