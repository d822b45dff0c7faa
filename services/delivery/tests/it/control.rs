//! Pausing, resuming and cancelling, while messages are on their way.

use std::time::Duration;

use cursus_api::delivery::{
    Broadcast, CancelBroadcastRequest, PauseBroadcastRequest, ResumeBroadcastRequest,
    broadcast::State,
};
use cursus_testkit::sink::{Answer, Sink, Step};
use tonic::{Code, Status};

use crate::world::{SPRING, Service, World, answered, assert_balanced, create, reason, until};

async fn pause(service: &Service) -> Result<Broadcast, Status> {
    let request =
        PauseBroadcastRequest { name: SPRING.to_owned(), ..PauseBroadcastRequest::default() };
    answered(service.client("grace").pause_broadcast(request)).await
}

async fn resume(service: &Service) -> Result<Broadcast, Status> {
    let request =
        ResumeBroadcastRequest { name: SPRING.to_owned(), ..ResumeBroadcastRequest::default() };
    answered(service.client("grace").resume_broadcast(request)).await
}

async fn cancel(service: &Service) -> Result<Broadcast, Status> {
    let request =
        CancelBroadcastRequest { name: SPRING.to_owned(), ..CancelBroadcastRequest::default() };
    answered(service.client("grace").cancel_broadcast(request)).await
}

/// Slow enough to be interrupted.
async fn sending(audience: usize) -> (World, Service) {
    let sink = Sink::scripted(|step| match step {
        Step::Message { .. } => Answer::After(Duration::from_millis(10), Box::new(Answer::Accept)),
        _ => Answer::Accept,
    });
    let world = World::new(sink.await.unwrap()).await.with("--relay-connections=1");
    world.peers.audience((0..audience).map(|n| format!("t{n}")));
    let service = world.start_with_sender().await;
    create(&service).await;
    world.sink.wait_for(20).await.unwrap();
    (world, service)
}

/// Until nothing is under way any more.
async fn quiet(service: &Service, world: &World) -> usize {
    until("quiet", async || {
        let under_way: i64 = sqlx::query_scalar(
            "select count(*) from messages where state in ('leased', 'committing')",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        if under_way == 0 { Ok(()) } else { Err(format!("{:?}", service.broadcast().await)) }
    })
    .await;
    world.sink.count()
}

#[tokio::test]
async fn a_paused_broadcast_sends_nothing_more_until_it_is_resumed() {
    let (world, service) = sending(600).await;
    let paused = pause(&service).await.unwrap();
    assert_eq!(paused.state(), State::Paused);
    let before = world.sink.count();
    let sent = quiet(&service, &world).await;
    assert!(sent - before <= 16, "at most what was in a transaction: {before}, then {sent}");
    assert!(sent < 600);
    let broadcast = service.broadcast().await;
    assert_balanced(&broadcast);
    assert_eq!(broadcast.state(), State::Paused);
    assert_eq!(broadcast.ledger.unwrap().accepted_count, i64::try_from(sent).unwrap());
    assert_eq!(resume(&service).await.unwrap().state(), State::Sending);
    let broadcast = service.reaches(State::Complete).await;
    assert_eq!(broadcast.ledger.unwrap().accepted_count, 600);
    assert!(world.sink.deliveries_by_recipient().values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_cancelled_broadcast_never_sends_the_rest() {
    let (world, service) = sending(600).await;
    let cancelled = cancel(&service).await.unwrap();
    assert_eq!(cancelled.state(), State::Cancelled);
    let sent = quiet(&service, &world).await;
    let broadcast = until("all cancelled", async || {
        let broadcast = service.broadcast().await;
        let waiting = broadcast.ledger.as_ref().unwrap().waiting_count;
        if waiting == 0 { Ok(broadcast) } else { Err(waiting.to_string()) }
    })
    .await;
    assert_balanced(&broadcast);
    let ledger = broadcast.ledger.unwrap();
    assert_eq!(ledger.accepted_count, i64::try_from(sent).unwrap());
    assert_eq!(ledger.cancelled_count, 600 - ledger.accepted_count);
    assert_eq!(cancel(&service).await.unwrap().state(), State::Cancelled, "again is no mistake");
    for refused in [pause(&service).await, resume(&service).await] {
        assert_eq!(reason(&refused.unwrap_err()), "BROADCAST_OVER");
    }
}

#[tokio::test]
async fn what_is_over_cannot_be_cancelled() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0".to_owned()]);
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Complete).await;
    let refused = cancel(&service).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "BROADCAST_OVER")
    );
}

#[tokio::test]
async fn a_remainder_that_is_cancelled_is_never_sent() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0", "held0", "held1"].map(str::to_owned));
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Holding).await;
    let cancelled = cancel(&service).await.unwrap().ledger.unwrap();
    assert_eq!((cancelled.accepted_count, cancelled.cancelled_count), (1, 2));
}
