//! What delivery observes becomes events, each once, whatever breaks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cursus_api::delivery as proto;
use cursus_api::segmentation;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::rules::did;
use crate::world::{World, moment, noon, text};

/// A delivery service that knows nothing but outcomes, and tells them one at a time.
struct Delivery {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Script {
    outcomes: Vec<proto::Outcome>,
    /// How often it was watched.
    watched: usize,
}

type Runs = BoxStream<'static, Result<proto::WatchOutcomesResponse, Status>>;

impl Delivery {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::<Mutex<Script>>::default();
        let router = router(&script);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = tonic::transport::Server::builder()
                .add_routes(Routes::from(router))
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
            serving.await.unwrap();
        });
        Self { address, script, _server: server }
    }

    fn happens(&self, outcome: proto::Outcome) {
        self.script.lock().unwrap().outcomes.push(outcome);
    }

    fn watched(&self) -> usize {
        self.script.lock().unwrap().watched
    }
}

fn router(script: &Arc<Mutex<Script>>) -> axum::Router {
    let script = Arc::clone(script);
    let handle = move |request: http::Request<axum::body::Body>| {
        let script = Arc::clone(&script);
        let service = tower::service_fn(move |request: Request<proto::WatchOutcomesRequest>| {
            let answer = watch(&script, &request.into_inner());
            std::future::ready(Ok::<_, Status>(Response::new(answer)))
        });
        async move {
            let codec =
                ProstCodec::<proto::WatchOutcomesResponse, proto::WatchOutcomesRequest>::default();
            tonic::server::Grpc::new(codec).server_streaming(service, request).await
        }
    };
    let method = "/cursus.delivery.v1.DeliveryService/WatchOutcomes";
    axum::Router::new().route(method, axum::routing::post(handle))
}

/// Tells what has happened after the cursor, and ends: whoever wants more comes back.
fn watch(script: &Mutex<Script>, request: &proto::WatchOutcomesRequest) -> Runs {
    let mut script = script.lock().unwrap();
    script.watched += 1;
    assert_eq!(request.parent, "workspaces/-");
    let known = match request.cursor.as_str() {
        "" => 0,
        cursor => usize::from_str_radix(&cursor[16..], 16).unwrap(),
    };
    let runs: Vec<_> = script
        .outcomes
        .iter()
        .enumerate()
        .skip(known)
        .map(|(index, outcome)| {
            Ok(proto::WatchOutcomesResponse {
                outcomes: vec![outcome.clone()],
                cursor: format!("{:016x}{:016x}", 1, index + 1),
            })
        })
        .collect();
    stream::iter(runs).boxed()
}

fn outcome(
    world: &World,
    id: &str,
    contact: &str,
    kind: proto::outcome::Kind,
    actor: proto::Actor,
) -> proto::Outcome {
    proto::Outcome {
        outcome_id: id.to_owned(),
        kind: kind.into(),
        outcome_time: Some(moment(noon())),
        message: format!("{}/broadcasts/spring/messages/{id}", world.parent()),
        contact: format!("{}/contacts/{contact}", world.parent()),
        actor: actor.into(),
        ..proto::Outcome::default()
    }
}

/// Human clicks on a broadcast.
fn clicked(broadcast: &str) -> segmentation::Rule {
    let mut rule = did("email.clicked", Some(90), 1);
    let Some(segmentation::rule::Kind::Behaviour(behaviour)) = &mut rule.kind else {
        panic!("clicking is behaviour");
    };
    for (property, value) in [("actor", "human"), ("broadcast", broadcast)] {
        behaviour.r#where.push(segmentation::PropertyComparison {
            property: property.to_owned(),
            operator: segmentation::Operator::Equal.into(),
            value: Some(text(value)),
        });
    }
    rule
}

#[tokio::test]
async fn outcomes_are_events_that_segments_ask_about_and_nobody_outside_watches() {
    use proto::Actor::{Human, Machine, Unspecified};
    use proto::outcome::Kind::{Accepted, Clicked, HeldOut, Opened};
    let delivery = Delivery::start().await;
    let world = World::new().await.with(format!("--delivery-url=http://{}", delivery.address));
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[]), replica.contact("ben", &[])]).await.unwrap();
    replica.ready_segment("clickers", clicked("spring")).await;
    replica.ready_segment("opened", did("email.opened", Some(1), 1)).await;
    for (id, contact, kind, actor) in [
        ("o1", "ana", Accepted, Unspecified),
        ("o2", "stranger", Opened, Human),
        ("o3", "ben", Clicked, Machine),
        ("o4", "ben", HeldOut, Unspecified),
        ("o5", "ben", Opened, Machine),
        ("o6", "ana", Clicked, Human),
    ] {
        delivery.happens(outcome(&world, id, contact, kind, actor));
    }
    replica.until_members("clickers", &["ana", "ben"], &[true, false]).await;
    replica.until_members("opened", &["ana", "ben"], &[false, true]).await;
    let facts: i64 = sqlx::query_scalar("select count(*) from facts where topic = 'events'")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(facts, 0);
}

#[tokio::test]
async fn each_outcome_is_one_event_across_replicas_restarts_and_repetitions() {
    use proto::Actor::Human;
    use proto::outcome::Kind::Opened;
    let delivery = Delivery::start().await;
    let world = World::new().await.with(format!("--delivery-url=http://{}", delivery.address));
    let first = world.start().await;
    let second = world.start().await;
    first.write(vec![first.contact("ana", &[])]).await.unwrap();
    first.ready_segment("fans", did("email.opened", None, 20)).await;
    for n in 0..10 {
        delivery.happens(outcome(&world, &format!("o{n}"), "ana", Opened, Human));
    }
    let count = async || -> i64 {
        let query = sqlx::query_scalar("select count(*) from events");
        query.fetch_one(&world.database.pool).await.unwrap()
    };
    crate::world::until("ten were recorded", async || (count().await == 10).then_some(())).await;
    // One of them was following; whichever it was, the work goes on.
    first.kill();
    // Delivery tells the same fact again, as it may.
    delivery.happens(outcome(&world, "o3", "ana", Opened, Human));
    for n in 10..20 {
        delivery.happens(outcome(&world, &format!("o{n}"), "ana", Opened, Human));
    }
    second.until_members("fans", &["ana"], &[true]).await;
    assert_eq!(count().await, 20);
    assert!(delivery.watched() >= 2);
}

#[tokio::test]
async fn a_caller_cannot_take_the_id_of_an_outcome() {
    use proto::Actor::Human;
    use proto::outcome::Kind::Opened;
    let delivery = Delivery::start().await;
    let world = World::new().await.with(format!("--delivery-url=http://{}", delivery.address));
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica.ready_segment("openers", did("email.opened", None, 1)).await;
    replica.record(vec![replica.event("o1", "ana", "login", noon())]).await.unwrap();
    delivery.happens(outcome(&world, "o1", "ana", Opened, Human));
    replica.until_members("openers", &["ana"], &[true]).await;
}
