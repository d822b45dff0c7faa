//! However a service ends, nobody is mailed twice and nobody is forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use cursus_api::delivery::{broadcast::State, message, outcome::Kind};
use cursus_testkit::sink::{Answer, Sink, Step};

use crate::world::{Service, World, assert_balanced, create, until};

const PARTITIONS: usize = 16;
const CONNECTIONS: usize = 2;

#[tokio::test]
async fn a_lost_reply_leaves_a_message_ambiguous_and_it_is_not_sent_again() {
    let sink = Sink::scripted(|step| match step {
        Step::Message { recipients, .. } if recipients[0].starts_with("lost") => {
            Answer::AcceptThenHangUp
        }
        _ => Answer::Accept,
    });
    let world = World::new(sink.await.unwrap()).await;
    world.peers.audience(["t0", "lost0", "t1"].map(str::to_owned));
    let service = world.start_with_sender().await;
    create(&service).await;
    let broadcast = service.reaches(State::Complete).await;
    let ledger = broadcast.ledger.unwrap();
    assert_eq!((ledger.accepted_count, ledger.ambiguous_count), (2, 1));
    assert!(world.sink.deliveries_by_recipient().values().all(|count| *count == 1));
    let outcomes = service.outcomes(3).await;
    let doubt = outcomes.iter().find(|it| it.kind() == Kind::Ambiguous).unwrap();
    assert_eq!(doubt.contact, "workspaces/acme/contacts/lost0");
}

#[tokio::test]
async fn a_service_killed_again_and_again_mails_everybody_at_most_once_and_counts_its_doubts() {
    let sink = Sink::scripted(|step| match step {
        // Long enough for a kill to find dots without a reply.
        Step::Message { .. } => Answer::After(Duration::from_millis(5), Box::new(Answer::Accept)),
        _ => Answer::Accept,
    });
    let world = World::new(sink.await.unwrap())
        .await
        .with("--batch=16")
        .with(&format!("--relay-connections={CONNECTIONS}"));
    world.peers.script().page_size = 100;
    world.peers.audience((0..600).map(|n| format!("t{n}")));
    let mut service = world.start_with_sender().await;
    create(&service).await;
    let mut kills = 0;
    for count in [20, 120, 300] {
        world.sink.wait_for(count).await.unwrap();
        service.kill();
        kills += 1;
        service = world.start().await;
    }
    let broadcast = service.reaches(State::Complete).await;
    assert_balanced(&broadcast);
    let ledger = broadcast.ledger.unwrap();
    assert_eq!(ledger.accepted_count + ledger.ambiguous_count, 600);
    let bound = kills * PARTITIONS * CONNECTIONS;
    assert!(usize::try_from(ledger.ambiguous_count).unwrap() <= bound, "{ledger:?}");
    assert_at_most_once(&world, &service).await;
    let outcomes = service.outcomes(600).await;
    let ids: BTreeSet<_> = outcomes.iter().map(|it| &it.outcome_id).collect();
    assert_eq!((outcomes.len(), ids.len()), (600, 600), "each message has one fact");
}

#[tokio::test]
async fn lanes_that_lose_their_connections_go_on_where_they_were() {
    let world = World::new(slow().await).await.with("--batch=16");
    world.peers.audience((0..400).map(|n| format!("t{n}")));
    let service = world.start_with_sender().await;
    create(&service).await;
    world.sink.wait_for(50).await.unwrap();
    let killed: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name like 'delivery.messages/%'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(killed > 0);
    let broadcast = service.reaches(State::Complete).await;
    assert_balanced(&broadcast);
    assert_at_most_once(&world, &service).await;
}

#[tokio::test]
async fn what_was_only_leased_is_sent_and_what_was_committing_is_not() {
    let sink = Sink::scripted(|step| match step {
        // Nobody gets a reply to a dot before the kill.
        Step::Message { recipients, .. } if recipients[0].starts_with("stuck") => {
            Answer::After(Duration::from_hours(1), Box::new(Answer::HangUp))
        }
        _ => Answer::Accept,
    });
    let world = World::new(sink.await.unwrap()).await.with("--relay-connections=1");
    world.peers.audience((0..40).map(|n| format!("stuck{n}")));
    let service = world.start_with_sender().await;
    create(&service).await;
    // Every partition has one dot out and the rest of its messages leased.
    let committing = until("stuck", async || {
        let committing = service.contacts(message::State::Committing).await;
        let queued = service.contacts(message::State::Queued).await;
        let leased = service.contacts(message::State::Leased).await;
        let stuck = queued.is_empty() && committing.len() + leased.len() == 40;
        let partitions: i64 = partitions(&world).await;
        if stuck && committing.len() == usize::try_from(partitions).unwrap() {
            Ok(committing)
        } else {
            Err(format!("{committing:?} {queued:?} {leased:?}"))
        }
    })
    .await;
    service.kill();
    let service = world.start().await;
    // Each of the survivors gets stuck in turn, so only the first ones can be told apart: they are ambiguous for good.
    until("recovered", async || {
        let ambiguous = service.contacts(message::State::Ambiguous).await;
        if ambiguous == committing { Ok(()) } else { Err(format!("{ambiguous:?}")) }
    })
    .await;
    let again = until("going on", async || {
        let again = service.contacts(message::State::Committing).await;
        if again.is_empty() { Err(String::new()) } else { Ok(again) }
    })
    .await;
    assert!(again.iter().all(|contact| !committing.contains(contact)));
}

#[tokio::test]
async fn a_service_told_to_stop_leaves_nothing_in_doubt() {
    let world = World::new(slow().await).await.with("--batch=16");
    world.peers.audience((0..400).map(|n| format!("t{n}")));
    let service = world.start_with_sender().await;
    create(&service).await;
    world.sink.wait_for(50).await.unwrap();
    service.stop().await;
    let under_way: i64 = sqlx::query_scalar(
        "select count(*) from messages where state in ('leased', 'committing', 'ambiguous')",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(under_way, 0);
    let service = world.start().await;
    let broadcast = service.reaches(State::Complete).await;
    assert_eq!(broadcast.ledger.unwrap().accepted_count, 400);
    assert_at_most_once(&world, &service).await;
}

#[tokio::test]
async fn a_planner_killed_between_pages_plans_everybody_once() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.script().page_size = 5;
    world.peers.audience((0..300).map(|n| format!("held{n}")));
    let mut service = world.start_with_sender().await;
    create(&service).await;
    for _ in 0..2 {
        let before = planned(&world).await;
        until("planning", async || {
            let now = planned(&world).await;
            if now > before || now == 300 { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
        service.kill();
        service = world.start().await;
    }
    let broadcast = service.reaches(State::Holding).await;
    assert_eq!(broadcast.ledger.unwrap().held_count, 300);
    assert_eq!(planned(&world).await, 300);
}

#[tokio::test]
async fn replicas_share_the_work_and_take_over_from_each_other() {
    let world = World::new(slow().await).await.with("--batch=8");
    world.peers.audience((0..500).map(|n| format!("t{n}")));
    let first = world.start_with_sender().await;
    create(&first).await;
    world.sink.wait_for(30).await.unwrap();
    let second = world.start().await;
    until("shared", async || {
        let lanes: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks
             where locktype = 'advisory' and objsubid = 2 and granted
                 and database = (select oid from pg_database where datname = current_database())
                 and pid in (select pid from pg_stat_activity
                     where application_name = 'delivery.messages/replica')",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        if lanes == 2 { Ok(()) } else { Err(lanes.to_string()) }
    })
    .await;
    world.sink.wait_for(120).await.unwrap();
    first.kill();
    let broadcast = second.reaches(State::Complete).await;
    assert_balanced(&broadcast);
    assert_at_most_once(&world, &second).await;
}

async fn planned(world: &World) -> i64 {
    let counting = sqlx::query_scalar("select count(*) from messages");
    counting.fetch_one(&world.pool).await.unwrap()
}

async fn partitions(world: &World) -> i64 {
    let counting = sqlx::query_scalar("select count(distinct partition) from messages");
    counting.fetch_one(&world.pool).await.unwrap()
}

async fn slow() -> Sink {
    let sink = Sink::scripted(|step| match step {
        Step::Message { .. } => Answer::After(Duration::from_millis(5), Box::new(Answer::Accept)),
        _ => Answer::Accept,
    });
    sink.await.unwrap()
}

/// Whoever the relay took a message for got one, and whoever it did not is accounted for.
async fn assert_at_most_once(world: &World, service: &Service) {
    let delivered = world.sink.deliveries_by_recipient();
    assert!(delivered.values().all(|count| *count == 1), "{delivered:?}");
    let accepted = service.contacts(message::State::Accepted).await;
    for contact in &accepted {
        assert!(delivered.contains_key(&format!("{contact}@example.com")), "{contact}");
    }
    let doubtful = service.contacts(message::State::Ambiguous).await;
    assert!(delivered.len() <= accepted.len() + doubtful.len());
}
