//! What delivery observes becomes events, each once, whatever breaks.

use std::net::SocketAddr;
use std::sync::Arc;

use cursus_api::delivery as proto;
use cursus_api::segmentation;
use cursus_testkit::fake::{Fake, Feed, Serving};

use crate::rules::did;
use crate::world::{World, moment, noon, text};

/// A delivery service that knows nothing but outcomes, and tells them one at a time.
struct Delivery {
    feed: Arc<Feed<proto::WatchOutcomesResponse>>,
    address: SocketAddr,
    _serving: Serving,
}

impl Delivery {
    async fn start() -> Self {
        let feed = Arc::<Feed<_>>::default();
        let method = "delivery.v1.DeliveryService/WatchOutcomes";
        let cursor = |request: proto::WatchOutcomesRequest| {
            assert_eq!(request.parent, "workspaces/-");
            request.cursor
        };
        let serving = Fake::default().feeds(method, &feed, cursor).serve().await.unwrap();
        Self { feed, address: serving.address, _serving: serving }
    }

    fn happens(&self, outcome: proto::Outcome) {
        let outcomes = vec![outcome];
        self.feed.tell(|cursor| proto::WatchOutcomesResponse { outcomes, cursor });
    }
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
    // One of them was following; whichever it was, the work goes on, even though delivery is away for a moment.
    first.kill();
    delivery.feed.go_away();
    delivery.feed.come_back();
    // Delivery tells the same fact again, as it may.
    delivery.happens(outcome(&world, "o3", "ana", Opened, Human));
    for n in 10..20 {
        delivery.happens(outcome(&world, &format!("o{n}"), "ana", Opened, Human));
    }
    second.until_members("fans", &["ana"], &[true]).await;
    assert_eq!(count().await, 20);
    assert!(delivery.feed.watched() >= 2);
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
