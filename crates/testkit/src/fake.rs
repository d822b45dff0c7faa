//! Other services played by a script: a gRPC server of the few methods that a service's test needs.

mod feed;

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

pub use self::feed::Feed;

/// Methods and what they answer.
#[derive(Debug, Default)]
pub struct Fake {
    router: axum::Router,
}

/// A fake that is being served; it ends when dropped.
#[derive(Debug)]
pub struct Serving {
    pub address: SocketAddr,
    _server: JoinSet<()>,
}

impl Fake {
    /// Answers a unary method, such as `content.v1.ContentService/GetTemplate`.
    #[must_use]
    pub fn on<Q, A>(
        mut self,
        method: &str,
        answer: impl Fn(Q) -> Result<A, Status> + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let handle = move |request: axum::http::Request<axum::body::Body>| {
            let answer = answer.clone();
            let service = tower::service_fn(move |request: Request<Q>| {
                ready(answer(request.into_inner()).map(Response::new))
            });
            respond(service, request)
        };
        self.router = self.router.route(&format!("/cursus.{method}"), axum::routing::post(handle));
        self
    }

    /// Answers a method that watches, such as `delivery.v1.DeliveryService/WatchOutcomes`, with a feed. `cursor` reads
    /// where the watcher goes on.
    #[must_use]
    pub fn feeds<Q, A>(
        mut self,
        method: &str,
        feed: &Arc<Feed<A>>,
        cursor: impl Fn(Q) -> String + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Clone + Default + 'static,
    {
        let feed = Arc::clone(feed);
        let handle = move |request: axum::http::Request<axum::body::Body>| {
            let (feed, cursor) = (Arc::clone(&feed), cursor.clone());
            let service = tower::service_fn(move |request: Request<Q>| {
                ready(feed.follow(&cursor(request.into_inner())).map(Response::new))
            });
            let codec = tonic_prost::ProstCodec::<A, Q>::default();
            async move { tonic::server::Grpc::new(codec).server_streaming(service, request).await }
        };
        self.router = self.router.route(&format!("/cursus.{method}"), axum::routing::post(handle));
        self
    }

    pub async fn serve(self) -> anyhow::Result<Serving> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = tonic::transport::Server::builder()
                .add_routes(Routes::from(self.router))
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
            // A test that goes on without it fails by itself.
            let _ = serving.await;
        });
        Ok(Serving { address, _server: server })
    }
}

fn respond<Q, A, S>(
    service: S,
    request: axum::http::Request<axum::body::Body>,
) -> impl Future<Output = axum::http::Response<tonic::body::Body>>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
    S: tonic::server::UnaryService<Q, Response = A> + Send,
    S::Future: Send,
{
    let codec = tonic_prost::ProstCodec::<A, Q>::default();
    async move { tonic::server::Grpc::new(codec).unary(service, request).await }
}
