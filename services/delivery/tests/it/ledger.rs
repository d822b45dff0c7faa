//! From a snapshot to a ledger that balances, and messages as they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cursus_ambient::Ambient;
use cursus_api::delivery::{broadcast::State, message, outcome::Kind};
use cursus_testkit::sink::{Answer, Sink, Step};

use crate::peers::{LABELS, member};
use crate::world::{World, assert_balanced, counts, create, until};

#[tokio::test]
async fn everyone_is_in_the_ledger_and_the_test_is_sent() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.script().page_size = 3;
    world.peers.script().members = vec![
        member("t0", "t0@example.com"),
        member("t1", "t1@example.com"),
        member("held0", "held0@example.com"),
        member("out0", "out0@example.com"),
        member("none", ""),
        member("bad", "no address"),
        member("twin", "T0@Example.com"),
        member("t3", "t3@example.com"),
    ];
    let service = world.start_with_sender().await;
    create(&service).await;
    let broadcast = service.reaches(State::Holding).await;
    assert_balanced(&broadcast);
    let ledger = broadcast.ledger.clone().unwrap();
    assert_eq!(ledger.audience_count, 8);
    assert_eq!((ledger.accepted_count, ledger.held_count, ledger.holdout_count), (3, 1, 1));
    let suppressed = counts(&[("DUPLICATE_ADDRESS", 1), ("INVALID_ADDRESS", 1), ("NO_ADDRESS", 1)]);
    assert_eq!(ledger.suppressed_counts, suppressed);
    assert_eq!(ledger.unplanned_count, 0);
    assert_eq!(world.sink.deliveries_by_recipient().into_values().collect::<Vec<_>>(), [1, 1, 1]);
    let idle =
        until("idle", async || service.broadcast().await.idle_time.ok_or(String::new())).await;
    let last = service.messages(message::State::Accepted).await;
    let last = last.iter().map(|it| it.update_time.unwrap()).map(|it| (it.seconds, it.nanos)).max();
    assert_eq!(Some((idle.seconds, idle.nanos)), last, "the last hand-over ended it");
}

#[tokio::test]
async fn a_message_arrives_as_it_should() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0".to_owned()]);
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Complete).await;
    let delivery = &world.sink.deliveries()[0];
    assert_eq!(delivery.sender, "news@acme.example");
    let message = world.sink.message(delivery).unwrap();
    assert_eq!(message.header("From").as_deref().map(|it| it.contains("Acme")), Some(true));
    assert_eq!(message.header("Subject").as_deref(), Some("Spring, t0"));
    let id = service.messages(message::State::Accepted).await[0].name.clone();
    let id = id.rsplit('/').next().unwrap().replace('-', "");
    let message_id = message.header("Message-ID").unwrap();
    assert!(message_id.contains(&id), "{message_id} is derived from the send key {id}");
    let unsubscribe = message.header("List-Unsubscribe").unwrap();
    assert!(unsubscribe.contains("https://track.example.com/u/"), "{unsubscribe}");
    let post = message.header("List-Unsubscribe-Post").unwrap();
    assert_eq!(post.trim(), "List-Unsubscribe=One-Click");
}

#[tokio::test]
async fn facts_tell_what_happened_to_whom() {
    let sink = Sink::scripted(|step| match step {
        Step::Recipient { recipient, .. } if recipient.starts_with("bad") => {
            Answer::refuse(554, "5.7.1 no")
        }
        _ => Answer::Accept,
    });
    let world = World::new(sink.await.unwrap()).await;
    world.peers.audience(["t0", "bad1", "out0"].map(str::to_owned));
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Complete).await;
    let mut outcomes = service.outcomes(3).await;
    outcomes.sort_by_key(|it| it.kind);
    let told: Vec<_> = outcomes
        .iter()
        .map(|it| (it.kind(), it.contact.as_str(), it.arm.as_str(), it.reason.as_str()))
        .collect();
    let expected = [
        (Kind::HeldOut, "workspaces/acme/contacts/out0", "", ""),
        (Kind::Accepted, "workspaces/acme/contacts/t0", "a", ""),
        (Kind::Failed, "workspaces/acme/contacts/bad1", "b", "POLICY"),
    ];
    assert_eq!(told, expected);
    for outcome in &outcomes {
        assert_eq!(outcome.segments, [LABELS[1]]);
        assert_eq!(outcome.experiment, "workspaces/acme/experiments/spring");
        assert!(!outcome.released);
    }
    let mut ids: Vec<_> = outcomes.iter().map(|it| &it.outcome_id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_missing_mailbox_fails_and_is_suppressed_and_a_policy_is_not() {
    let sink = Sink::scripted(|step| match step {
        Step::Recipient { recipient, .. } if recipient.starts_with("gone") => {
            Answer::refuse(550, "5.1.1 no such user")
        }
        Step::Recipient { recipient, .. } if recipient.starts_with("policy") => {
            Answer::refuse(550, "5.7.1 we do not like you")
        }
        Step::Message { recipients, .. } if recipients[0].starts_with("spam") => {
            Answer::refuse(554, "5.7.0 spam")
        }
        _ => Answer::Accept,
    });
    let world = World::new(sink.await.unwrap()).await;
    world.peers.audience(["t0", "gone0", "policy0", "spam0", "erased0"].map(str::to_owned));
    let service = world.start_with_sender().await;
    create(&service).await;
    let broadcast = service.reaches(State::Complete).await;
    assert_balanced(&broadcast);
    let failed = broadcast.ledger.unwrap().failed_counts;
    assert_eq!(failed, counts(&[("HARD_BOUNCE", 1), ("NO_SUCH_CONTACT", 1), ("POLICY", 2)]));
    let suppressed: i64 = sqlx::query_scalar("select count(*) from suppressions")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(suppressed, 1);
    let kept: i64 = sqlx::query_scalar("select count(*) from messages where address is not null")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(kept, 0, "addresses are forgotten once a message is final");
}

#[tokio::test]
async fn a_deferred_message_is_sent_later_and_once() {
    let world = World::new(deferring_once().await).await.with("--first-retry=10ms");
    world.peers.audience(["t0".to_owned()]);
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Complete).await;
    let message = &service.messages(message::State::Accepted).await[0];
    assert_eq!(message.attempt_count, 2);
    assert_eq!(world.sink.deliveries_by_recipient()["t0@example.com"], 1);
}

#[tokio::test]
async fn a_deferred_message_waits_for_its_time() {
    let mut world = World::new(deferring_once().await).await;
    world.ambient = Ambient::manual(Ambient::system().now(), 1);
    world.peers.audience(["t0".to_owned()]);
    let service = world.start_with_sender().await;
    create(&service).await;
    until("tried", async || match service.messages(message::State::Queued).await.first() {
        Some(message) if message.attempt_count == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let broadcast = service.broadcast().await;
    assert_eq!(broadcast.state(), State::Sending);
    assert_eq!(broadcast.ledger.unwrap().waiting_count, 1);
    assert_eq!(broadcast.idle_time, None);
    world.ambient.advance(Duration::from_secs(73));
    service.reaches(State::Complete).await;
    assert_eq!(world.sink.count(), 1);
}

#[tokio::test]
async fn a_message_that_is_deferred_for_a_day_fails() {
    let sink = Sink::scripted(|step| match step {
        Step::Recipient { .. } => Answer::refuse(451, "4.3.0 later"),
        _ => Answer::Accept,
    });
    let mut world = World::new(sink.await.unwrap()).await;
    world.ambient = Ambient::manual(Ambient::system().now(), 1);
    world.peers.audience(["t0".to_owned()]);
    let service = world.start_with_sender().await;
    create(&service).await;
    for attempts in 1..=3 {
        until("tried", async || match service.messages(message::State::Queued).await.first() {
            Some(message) if message.attempt_count == attempts => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        world.ambient.advance(Duration::from_hours(8));
    }
    let broadcast = service.reaches(State::Complete).await;
    assert_eq!(broadcast.ledger.unwrap().failed_counts, counts(&[("EXPIRED", 1)]));
}

#[tokio::test]
async fn a_relay_that_hangs_up_between_messages_loses_nothing() {
    let count = Arc::new(AtomicUsize::new(0));
    let sink = Sink::scripted(move |step| match step {
        // Every third offer finds the connection closed.
        Step::Recipient { .. } if count.fetch_add(1, Ordering::Relaxed) % 3 == 2 => Answer::HangUp,
        _ => Answer::Accept,
    });
    let world = World::new(sink.await.unwrap()).await.with("--first-retry=10ms");
    world.peers.audience((0..60).map(|n| format!("t{n}")));
    let service = world.start_with_sender().await;
    create(&service).await;
    let broadcast = service.reaches(State::Complete).await;
    assert_eq!(broadcast.ledger.unwrap().accepted_count, 60);
    assert!(world.sink.deliveries_by_recipient().values().all(|count| *count == 1));
}

#[tokio::test]
async fn content_that_is_down_for_a_while_loses_nothing() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience((0..20).map(|n| format!("t{n}")));
    world.peers.script().content_is_down = true;
    let service = world.start_with_sender().await;
    create(&service).await;
    until("planned", async || {
        let ledger = service.broadcast().await.ledger.unwrap();
        if ledger.waiting_count == 20 { Ok(()) } else { Err(format!("{ledger:?}")) }
    })
    .await;
    world.peers.script().content_is_down = false;
    let broadcast = service.reaches(State::Complete).await;
    assert_eq!(broadcast.ledger.unwrap().accepted_count, 20);
    assert_eq!(world.sink.count(), 20);
}

async fn deferring_once() -> Sink {
    let asked = AtomicUsize::new(0);
    let sink = Sink::scripted(move |step| match step {
        Step::Recipient { .. } if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
            Answer::refuse(450, "4.2.0 greylisted")
        }
        _ => Answer::Accept,
    });
    sink.await.unwrap()
}
