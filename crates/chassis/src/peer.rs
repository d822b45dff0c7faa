//! Calls to peers. [`Peer::calls`] is for unary methods: they carry the deadline of the request
//! being handled, and are repeated within a budget while the peer is unavailable, which is safe
//! because each of ours repeats its answer for a repeated `request_id`. [`Peer::streams`] is for
//! streaming methods, which are neither limited nor repeated. Both show the service's token and
//! tell the trace.
//!
//! ```ignore
//! let content = config.peers.peer(&config.content_address)?;
//! let client = ContentServiceClient::new(content.calls());
//! let watch = ContentServiceClient::new(content.streams());
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, Uri};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::retry::budget::TpsBudget;
use tower::{Service, ServiceExt};
use tracing::{Instrument, Span};

use crate::config::PeerConfig;
use crate::context;
use crate::methods::Method;
use crate::metrics::{CLIENT, Call};
use crate::rpc::Observed;

mod retry;

/// Connections to a peer, used in turn, so that its replicas behind one address share the load.
const CONNECTIONS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that vanished without a word is noticed after both of these.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Retries allowed: one for every ten calls of the last ten seconds, and one a second besides.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
const BUDGET_FLOOR: u32 = 1;
const BUDGET_SHARE: f32 = 0.1;

/// Another service. Cheap to clone; clones share connections and the budget of retries.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Shared>);

/// A peer for unary methods: `SomeServiceClient::new(peer.calls())`.
#[derive(Clone, Debug)]
pub struct Calls(Arc<Shared>);

/// A peer for streaming methods: `SomeServiceClient::new(peer.streams())`.
#[derive(Clone, Debug)]
pub struct Streams(Arc<Shared>);

struct Shared {
    channels: Vec<Channel>,
    next: AtomicUsize,
    authorization: HeaderValue,
    call_timeout: Duration,
    budget: TpsBudget,
}

impl PeerConfig {
    /// The peer at `address`, called as this service.
    pub fn peer(&self, address: &Uri) -> anyhow::Result<Peer> {
        let path = &self.service_token_file;
        let token = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the service's token in `{}`", path.display()))?;
        Peer::new(address, token.trim(), self.call_timeout)
    }
}

impl Peer {
    /// The peer at `address`, called as the holder of `token`. Connects when first called, and
    /// again whenever that is needed. A unary call takes at most `call_timeout`.
    pub fn new(address: &Uri, token: &str, call_timeout: Duration) -> anyhow::Result<Self> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .context("the token has characters that cannot be sent")?;
        authorization.set_sensitive(true);
        let endpoint = Endpoint::from(address.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self(Arc::new(Shared {
            channels: (0..CONNECTIONS).map(|_| endpoint.connect_lazy()).collect(),
            next: AtomicUsize::new(0),
            authorization,
            call_timeout,
            budget: TpsBudget::new(BUDGET_WINDOW, BUDGET_FLOOR, BUDGET_SHARE),
        })))
    }

    /// For unary methods.
    pub fn calls(&self) -> Calls {
        Calls(Arc::clone(&self.0))
    }

    /// For streaming methods.
    pub fn streams(&self) -> Streams {
        Streams(Arc::clone(&self.0))
    }
}

impl Shared {
    /// One attempt, on the next connection.
    async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, tonic::transport::Error> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let mut channel = self.channels[turn % self.channels.len()].clone();
        channel.ready().await?.call(request).await
    }

    fn sign<B>(&self, request: &mut Request<B>) {
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        context::tell_trace(headers);
    }
}

impl Service<Request<Body>> for Calls {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    /// Always: readiness is that of the connection whose turn it is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = Arc::clone(&self.0);
        Box::pin(observed(request, async move |request| retry::call(&peer, request).await))
    }
}

impl Service<Request<Body>> for Streams {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    /// Always: readiness is that of the connection whose turn it is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = Arc::clone(&self.0);
        Box::pin(observed(request, async move |mut request: Request<Body>| {
            peer.sign(&mut request);
            peer.send(request).await.map_err(|error| Status::from_error(error.into()))
        }))
    }
}

/// Makes a call within its span and counts it once its answer has ended.
async fn observed<F>(
    request: Request<Body>,
    make: impl FnOnce(Request<Body>) -> F + Send,
) -> Result<Response<Body>, Status>
where
    F: Future<Output = Result<Response<Body>, Status>> + Send,
{
    let method = Arc::new(Method::of_path(request.uri().path()));
    let span = span(&method);
    let mut call = Call::start(&CLIENT, method, span.clone(), None);
    match make(request).instrument(span).await {
        Ok(response) => Ok(Observed::follow(call, response).map(Body::new)),
        Err(status) => {
            call.ends_with(status.code());
            Err(status)
        }
    }
}

fn span(method: &Method) -> Span {
    tracing::info_span!(
        "call",
        otel.name = format!("{}/{}", method.service, method.name),
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        rpc.system = "grpc",
        rpc.service = method.service,
        rpc.method = method.name,
        rpc.grpc.status_code = tracing::field::Empty,
    )
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}
