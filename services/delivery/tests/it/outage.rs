//! What delivery depends on goes away and comes back.

use std::time::Duration;

use cursus_api::delivery::{GetBroadcastRequest, broadcast::State};
use cursus_testkit::servers::{Durability, Installation, Postgres};
use cursus_testkit::sink::{Answer, Sink, Step};
use tonic::Code;

use crate::world::{SPRING, World, answered, assert_balanced, create, reason, until};

#[tokio::test]
async fn while_the_database_is_away_callers_are_told_and_afterwards_everything_goes_on() {
    let sink = Sink::scripted(|step| match step {
        Step::Message { .. } => Answer::After(Duration::from_millis(5), Box::new(Answer::Accept)),
        _ => Answer::Accept,
    });
    let installation = Installation::find().unwrap();
    let mut postgres = Postgres::start(&installation, Durability::Fast).await.unwrap();
    let world = World::on(&postgres.url(), sink.await.unwrap()).await;
    world.peers.audience((0..400).map(|n| format!("t{n}")));
    let service = world.start_with_sender().await;
    create(&service).await;
    world.sink.wait_for(50).await.unwrap();
    postgres.stop().await.unwrap();
    let get = GetBroadcastRequest { name: SPRING.to_owned() };
    let refused = answered(service.client("edith").get_broadcast(get.clone())).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "DATABASE_UNAVAILABLE")
    );
    postgres.resume().await.unwrap();
    until("answering again", async || {
        let answer = answered(service.client("edith").get_broadcast(get.clone())).await;
        answer.map(|_| ()).map_err(|status| status.to_string())
    })
    .await;
    let broadcast = service.reaches(State::Complete).await;
    assert_balanced(&broadcast);
    let ledger = broadcast.ledger.unwrap();
    assert_eq!(ledger.accepted_count + ledger.ambiguous_count, 400);
    assert!(world.sink.deliveries_by_recipient().values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_relay_that_is_away_loses_nothing() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience((0..40).map(|n| format!("t{n}")));
    // The relay is asked for at a port where nobody answers, then at the right one.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let misled = world.with(&format!("--relay-port={closed}"));
    let service = misled.start_with_sender().await;
    create(&service).await;
    until("planned", async || {
        let ledger = service.broadcast().await.ledger.unwrap();
        if ledger.waiting_count == 40 { Ok(()) } else { Err(format!("{ledger:?}")) }
    })
    .await;
    service.stop().await;
    let world = misled.without_settings();
    let service = world.start().await;
    let broadcast = service.reaches(State::Complete).await;
    assert_eq!(broadcast.ledger.unwrap().accepted_count, 40);
    assert!(
        service
            .messages(cursus_api::delivery::message::State::Accepted)
            .await
            .iter()
            .all(|it| it.attempt_count == 1)
    );
}
