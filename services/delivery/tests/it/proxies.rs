//! Whose messages machines opened is told with what is sent to them next, and was known before it was sent.

use std::collections::BTreeMap;

use cursus_api::delivery::broadcast::State;
use cursus_api::delivery::outcome::Kind;
use cursus_testkit::sink::Sink;
use reqwest::header::USER_AGENT;

use crate::world::{Service, TRACKING, World, answered, create_request};

/// How Apple's mail privacy proxy introduces itself.
const PROXY: &str = "Mozilla/5.0";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";

/// Sends another broadcast to everybody, and says of whom it is told that they are behind a proxy.
async fn send(service: &Service, id: &str, told_before: usize) -> BTreeMap<String, bool> {
    let mut request = create_request();
    request.broadcast_id = id.to_owned();
    answered(service.client("orchestrator").create_broadcast(request)).await.unwrap();
    let outcomes = service.outcomes(told_before + 4).await.split_off(told_before);
    let contact = |contact: &str| contact.rsplit('/').next().unwrap().to_owned();
    assert!(outcomes.iter().all(|it| matches!(it.kind(), Kind::Accepted | Kind::HeldOut)));
    outcomes.iter().map(|it| (contact(&it.contact), it.privacy_proxy)).collect()
}

/// Fetches the pixel of the message that somebody got.
async fn open(world: &World, service: &Service, recipient: &str, agent: &str) {
    let deliveries = world.sink.deliveries();
    let theirs = deliveries.iter().find(|it| it.recipients == [recipient]).unwrap();
    let html = world.sink.message(theirs).unwrap().html().unwrap();
    let start = format!("{TRACKING}/o/");
    let url = html.split('"').find(|url| url.starts_with(&start)).unwrap();
    let url = format!("http://{}{}", service.tracking, &url[TRACKING.len()..]);
    let response = reqwest::Client::new().get(url).header(USER_AGENT, agent).send().await.unwrap();
    assert!(response.status().is_success());
}

#[tokio::test]
async fn whose_messages_machines_opened_is_told_from_the_next_one_on_for_ninety_days() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0", "t1", "out0", "out1"].map(str::to_owned));
    let service = world.start_with_sender().await;
    let told = |proxied: &[&str]| -> BTreeMap<String, bool> {
        let all = ["t0", "t1", "out0", "out1"];
        all.into_iter().map(|id| (id.to_owned(), proxied.contains(&id))).collect()
    };
    assert_eq!(send(&service, "spring", 0).await, told(&[]));
    service.reaches(State::Complete).await;
    open(&world, &service, "t0@example.com", PROXY).await;
    open(&world, &service, "t1@example.com", BROWSER).await;
    // Who is held out got something earlier.
    sqlx::query(
        "insert into machine_opens values ('acme', 'out0', now()), ('elsewhere', 'out1', now())",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    assert_eq!(send(&service, "summer", 6).await, told(&["t0", "out0"]));
    sqlx::query("update machine_opens set open_time = open_time - interval '91 days'")
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(send(&service, "autumn", 10).await, told(&[]));
}
