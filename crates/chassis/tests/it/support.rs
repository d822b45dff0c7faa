//! A server with a scripted service behind the chassis' layers, and ways to call it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use clap::Parser;
use cursus_chassis::{Caller, Peer, Role, ServeConfig, Server, Tasks};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use http::Uri;
use http::uri::PathAndQuery;
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, StdError};
use tonic::service::Routes;
use tonic::{Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

pub(crate) const NAME: &str = "test.v1.Script";
/// Editor of `acme`.
pub(crate) const TOKEN: &str = "ana-token";

/// What the scripted service does, and what was done to it.
pub(crate) struct Script {
    /// How often a handler was entered.
    pub(crate) entered: Semaphore,
    /// A permit lets one waiting handler go on.
    pub(crate) release: Semaphore,
    /// How often a waiting handler was dropped before it was released.
    pub(crate) dropped: Semaphore,
    /// How many calls of `Flaky` are refused as unavailable, before the rest is answered.
    pub(crate) refusals: AtomicUsize,
    /// How often `Flaky` was called.
    pub(crate) attempts: AtomicUsize,
    /// What `Relay` calls.
    pub(crate) next: Option<Peer>,
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) script: Arc<Script>,
    pub(crate) tasks: Tasks,
    pub(crate) shutdown: CancellationToken,
    ended: tokio::sync::oneshot::Receiver<anyhow::Result<()>>,
    _serving: Tasks,
    _identities: NamedTempFile,
}

#[derive(Parser)]
struct Config {
    #[command(flatten)]
    serve: ServeConfig,
}

pub(crate) async fn start() -> Running {
    start_with(|_| ()).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut ServeConfig)) -> Running {
    start_relaying(change, None).await
}

pub(crate) async fn start_relaying(
    change: impl FnOnce(&mut ServeConfig),
    next: Option<Peer>,
) -> Running {
    let identities = NamedTempFile::new().unwrap();
    let hash = "fdb19af2cd8f3f7de8c00cbdd4c4838366cbe4fa2e7ae38ba7f5847e75ad4bb5";
    let listed = format!(
        r#"[{{"subject": "ana", "token_sha256": "{hash}", "roles": ["editor"], "workspaces": ["acme"]}}]"#
    );
    std::fs::write(&identities, listed).unwrap();
    let path = identities.path().to_str().unwrap();
    let arguments = ["it", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let arguments = arguments.into_iter().chain(["--identities-file", path]);
    let mut config = Config::parse_from(arguments).serve;
    // Long enough that a test which waits for it in vain is ended by the runner instead.
    config.drain_timeout = Duration::from_hours(1);
    config.request_timeout = Duration::from_hours(1);
    change(&mut config);

    let server = Server::bind(&config).await.unwrap();
    let (address, admin) = (server.local_addr(), server.admin_addr());
    let script = Arc::new(Script {
        entered: Semaphore::new(0),
        release: Semaphore::new(0),
        dropped: Semaphore::new(0),
        refusals: AtomicUsize::new(0),
        attempts: AtomicUsize::new(0),
        next,
    });
    let shutdown = CancellationToken::new();
    let tasks = Tasks::new(&shutdown);
    let serving = server.run(routes(&script), descriptor_set(), &[NAME], tasks.clone());
    let (end, ended) = tokio::sync::oneshot::channel();
    let running = Tasks::new(&CancellationToken::new());
    running.spawn("server under test", async move {
        let _ = end.send(serving.await);
        Ok(())
    });
    Running {
        address,
        admin,
        script,
        tasks,
        shutdown,
        ended,
        _serving: running,
        _identities: identities,
    }
}

impl Running {
    pub(crate) fn uri(&self) -> Uri {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer_with(TOKEN)
    }

    pub(crate) fn peer_with(&self, token: &str) -> Peer {
        Peer::new(&self.uri(), token, Duration::from_hours(1)).unwrap()
    }

    /// A connection without a token, retries or a deadline.
    pub(crate) fn stranger(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from(self.uri()).connect_lazy()
    }

    /// Waits for the server to have stopped.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        self.ended.await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await.unwrap();
    }

    /// What the admin port answers, head and all.
    pub(crate) async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Waits until something is so.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    while !condition().await {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn unary<C>(client: C, method: &str, said: &str) -> Result<String, Status>
where
    C: GrpcService<Body>,
    C::ResponseBody: HttpBody + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError>,
{
    unary_given(client, method, tonic::Request::new(said.to_owned())).await
}

pub(crate) async fn unary_given<C>(
    client: C,
    method: &str,
    request: tonic::Request<String>,
) -> Result<String, Status>
where
    C: GrpcService<Body>,
    C::ResponseBody: HttpBody + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError>,
{
    let mut client = tonic::client::Grpc::new(client);
    client.ready().await.map_err(|error| Status::unknown(error.into().to_string()))?;
    let codec = ProstCodec::<String, String>::default();
    Ok(client.unary(request, path(method), codec).await?.into_inner())
}

pub(crate) async fn streamed<C>(
    client: C,
    method: &str,
    request: tonic::Request<String>,
) -> Result<tonic::Streaming<String>, Status>
where
    C: GrpcService<Body>,
    C::ResponseBody: HttpBody + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError>,
{
    let mut client = tonic::client::Grpc::new(client);
    client.ready().await.map_err(|error| Status::unknown(error.into().to_string()))?;
    let codec = ProstCodec::<String, String>::default();
    Ok(client.server_streaming(request, path(method), codec).await?.into_inner())
}

fn path(method: &str) -> PathAndQuery {
    format!("/{NAME}/{method}").parse().unwrap()
}

fn descriptor_set() -> &'static [u8] {
    let method = |name: &str, server_streaming| MethodDescriptorProto {
        name: Some(name.to_owned()),
        server_streaming: Some(server_streaming),
        ..MethodDescriptorProto::default()
    };
    let unary = ["Echo", "Enter", "Flaky", "Panic", "Relay", "Time", "Trace", "Wait"];
    let service = ServiceDescriptorProto {
        name: Some("Script".to_owned()),
        method: unary.iter().map(|it| method(it, false)).chain([method("Watch", true)]).collect(),
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("test/v1/script.proto".to_owned()),
        package: Some("test.v1".to_owned()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    Box::leak(FileDescriptorSet { file: vec![file] }.encode_to_vec().into_boxed_slice())
}

fn routes(script: &Arc<Script>) -> Routes {
    let at = |method: &str| format!("/{NAME}/{method}");
    let router = Router::new()
        .route(&at("Echo"), post(async |request: Request| answered(request, echo).await))
        .route(&at("Enter"), post(async |request: Request| answered(request, enter).await))
        .route(&at("Panic"), post(async |request: Request| answered(request, panic).await))
        .route(&at("Time"), post(async |request: Request| answered(request, time).await))
        .route(&at("Trace"), post(async |request: Request| answered(request, trace).await))
        .route(&at("Wait"), post(wait))
        .route(&at("Flaky"), post(flaky))
        .route(&at("Relay"), post(relay))
        .route(&at("Watch"), post(watch))
        .with_state(Arc::clone(script));
    // As tonic's own routes do.
    let unknown = async || Status::unimplemented("no such method").into_http::<axum::body::Body>();
    Routes::from(router.fallback(unknown))
}

async fn answered<F>(
    request: Request,
    handler: impl FnMut(tonic::Request<String>) -> F,
) -> http::Response<Body>
where
    F: Future<Output = Result<Response<String>, Status>> + Send + 'static,
{
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
    grpc.unary(service_fn(handler), request).await
}

async fn echo(request: tonic::Request<String>) -> Result<Response<String>, Status> {
    Ok(Response::new(request.into_inner()))
}

/// Asks for the editor's role in the workspace said, or for the approver's when nothing is said.
async fn enter(request: tonic::Request<String>) -> Result<Response<String>, Status> {
    let role = if request.get_ref().is_empty() { Role::Approver } else { Role::Editor };
    let (caller, workspace) = Caller::admit(request, role)?;
    caller.enter(&workspace)?;
    Ok(Response::new(caller.subject().to_owned()))
}

async fn panic(_: tonic::Request<String>) -> Result<Response<String>, Status> {
    panic!("a secret of ours")
}

/// Says how much time was given.
async fn time(request: tonic::Request<String>) -> Result<Response<String>, Status> {
    let given = request.metadata().get("grpc-timeout").map_or("", |it| it.to_str().unwrap());
    Ok(Response::new(given.to_owned()))
}

/// Says which trace the handler is part of.
async fn trace(_: tonic::Request<String>) -> Result<Response<String>, Status> {
    Ok(Response::new(current_trace()))
}

pub(crate) fn current_trace() -> String {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    tracing::Span::current().context().span().span_context().trace_id().to_string()
}

async fn wait(State(script): State<Arc<Script>>, request: Request) -> http::Response<Body> {
    answered(request, move |request| {
        let script = Arc::clone(&script);
        async move {
            script.entered.add_permits(1);
            let dropped = Dropped(Some(Arc::clone(&script)));
            script.release.acquire().await.unwrap().forget();
            dropped.not();
            Ok(Response::new(request.into_inner()))
        }
    })
    .await
}

async fn flaky(State(script): State<Arc<Script>>, request: Request) -> http::Response<Body> {
    answered(request, move |request| {
        script.attempts.fetch_add(1, Ordering::SeqCst);
        let take = |left: usize| left.checked_sub(1);
        let refused =
            script.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        async move {
            if refused {
                return Err(Status::unavailable("not now"));
            }
            Ok(Response::new(request.into_inner()))
        }
    })
    .await
}

async fn relay(State(script): State<Arc<Script>>, request: Request) -> http::Response<Body> {
    answered(request, move |request| {
        let next = script.next.clone().expect("a relay has somewhere to relay to");
        async move { unary(next.calls(), &request.into_inner(), "").await.map(Response::new) }
    })
    .await
}

/// Says one thing, and nothing more for ever.
async fn watch(State(script): State<Arc<Script>>, request: Request) -> http::Response<Body> {
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
    let handler = service_fn(move |request: tonic::Request<String>| {
        script.attempts.fetch_add(1, Ordering::SeqCst);
        let refused = request.get_ref().is_empty();
        let first = futures::stream::iter([Ok(request.into_inner())]);
        let stream: BoxStream<'static, Result<String, Status>> =
            first.chain(futures::stream::pending()).boxed();
        let answer =
            if refused { Err(Status::unavailable("not now")) } else { Ok(Response::new(stream)) };
        std::future::ready(answer).boxed()
    });
    grpc.server_streaming(handler, request).await
}

struct Dropped(Option<Arc<Script>>);

impl Dropped {
    fn not(mut self) {
        self.0 = None;
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(script) = &self.0 {
            script.dropped.add_permits(1);
        }
    }
}
