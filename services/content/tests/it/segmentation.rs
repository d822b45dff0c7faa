//! The segmentation service, reduced to what content asks of it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use cursus_api::segmentation::{
    Attribute, AttributeKind, BatchGetContactsRequest, BatchGetContactsResponse, Contact,
    ListAttributesRequest, ListAttributesResponse, TextSet, Value, value,
};
use prost_types::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// So small that a few attributes take several pages.
const PAGE: usize = 2;

/// What it says, and what it was asked; a test may change it.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// By workspace.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) is_down: bool,
    /// The calls for contacts, each with the workspace and how many were asked for.
    pub(crate) asked: Vec<(String, usize)>,
}

#[derive(Debug)]
pub(crate) struct Segmentation {
    script: Arc<Mutex<Script>>,
    pub(crate) address: SocketAddr,
    _server: JoinSet<()>,
}

impl Segmentation {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script { attributes: attributes(), ..Script::default() };
        let script = Arc::new(Mutex::new(script));
        let router = router(&script);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = tonic::transport::Server::builder()
                .add_routes(Routes::from(router))
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
            serving.await.unwrap();
        });
        Self { script, address, _server: server }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Has a contact with these attributes.
    pub(crate) fn knows<const N: usize>(&self, id: &str, attributes: [(&str, value::Kind); N]) {
        self.knows_in("acme", id, attributes);
    }

    pub(crate) fn knows_in<const N: usize>(
        &self,
        workspace: &str,
        id: &str,
        attributes: [(&str, value::Kind); N],
    ) {
        let value = |kind| Value { kind: Some(kind) };
        self.script().contacts.push(Contact {
            name: format!("workspaces/{workspace}/contacts/{id}"),
            email: format!("{id}@example.com"),
            attributes: attributes.map(|(name, kind)| (name.to_owned(), value(kind))).into(),
            create_time: Some(Timestamp { seconds: 1_767_225_600, nanos: 0 }),
            ..Contact::default()
        });
    }
}

pub(crate) fn text(text: &str) -> value::Kind {
    value::Kind::Text(text.to_owned())
}

pub(crate) fn texts<const N: usize>(items: [&str; N]) -> value::Kind {
    value::Kind::Texts(TextSet { items: items.map(str::to_owned).into() })
}

fn attributes() -> Vec<Attribute> {
    let attribute = |(id, kind): (&str, AttributeKind)| Attribute {
        name: format!("workspaces/acme/attributes/{id}"),
        kind: kind.into(),
        ..Attribute::default()
    };
    [
        ("create_time", AttributeKind::Time),
        ("email", AttributeKind::Text),
        ("first_name", AttributeKind::Text),
        ("plan", AttributeKind::Text),
        ("renews", AttributeKind::Time),
        ("spend", AttributeKind::Number),
        ("tags", AttributeKind::TextSet),
        ("vip", AttributeKind::Flag),
    ]
    .map(attribute)
    .into()
}

fn router(script: &Arc<Mutex<Script>>) -> axum::Router {
    let it = Arc::clone(script);
    let router =
        unary(axum::Router::new(), "ListAttributes", move |r| list(&it.lock().unwrap(), &r));
    let it = Arc::clone(script);
    unary(router, "BatchGetContacts", move |r| batch(&mut it.lock().unwrap(), r))
}

fn list(
    script: &Script,
    request: &ListAttributesRequest,
) -> Result<ListAttributesResponse, Status> {
    if script.is_down {
        return Err(Status::unavailable("segmentation is down"));
    }
    let prefix = format!("{}/", request.parent);
    let all: Vec<_> =
        script.attributes.iter().filter(|it| it.name.starts_with(&prefix)).cloned().collect();
    let start: usize = request.page_token.parse().unwrap_or(0);
    let end = all.len().min(start + PAGE);
    let next_page_token = if end == all.len() { String::new() } else { end.to_string() };
    Ok(ListAttributesResponse { attributes: all[start..end].to_vec(), next_page_token })
}

fn batch(
    script: &mut Script,
    request: BatchGetContactsRequest,
) -> Result<BatchGetContactsResponse, Status> {
    if script.is_down {
        return Err(Status::unavailable("segmentation is down"));
    }
    script.asked.push((request.parent, request.names.len()));
    let found = |name: &String| script.contacts.iter().find(|it| it.name == *name).cloned();
    Ok(BatchGetContactsResponse { contacts: request.names.iter().filter_map(found).collect() })
}

/// A unary method as a route: the generated trait asks for every method of the service.
fn unary<Q, A>(
    router: axum::Router,
    method: &str,
    answer: impl Fn(Q) -> Result<A, Status> + Clone + Send + Sync + 'static,
) -> axum::Router
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let handle = move |request: http::Request<axum::body::Body>| {
        let answer = answer.clone();
        let service = tower::service_fn(move |request: Request<Q>| {
            std::future::ready(answer(request.into_inner()).map(Response::new))
        });
        respond(service, request)
    };
    let path = format!("/cursus.segmentation.v1.SegmentationService/{method}");
    router.route(&path, axum::routing::post(handle))
}

fn respond<Q, A, S>(
    service: S,
    request: http::Request<axum::body::Body>,
) -> impl Future<Output = http::Response<tonic::body::Body>>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
    S: tonic::server::UnaryService<Q, Response = A> + Send,
    S::Future: Send,
{
    let codec = tonic_prost::ProstCodec::<A, Q>::default();
    async move { tonic::server::Grpc::new(codec).unary(service, request).await }
}
