//! Following delivery and segmentation: each fact counts once, and no verdict falls before all of them were told.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::delivery::outcome::Kind;
use cursus_api::delivery::{Actor, Outcome};
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::segmentation::{Event, Value, value};

use crate::world::{DAY, HALF_HOUR, Replica, SPRING, World, contact, design, moment, noon, until};

/// Of a contact in arm `a`, by a person.
pub(crate) fn fact(id: &str, unit: &str, kind: Kind, time: DateTime<Utc>) -> Outcome {
    Outcome {
        outcome_id: id.to_owned(),
        kind: kind.into(),
        outcome_time: Some(moment(time)),
        contact: contact(unit),
        experiment: SPRING.to_owned(),
        arm: "a".to_owned(),
        actor: Actor::Human.into(),
        ..Outcome::default()
    }
}

fn bought(id: &str, unit: &str, amount: f64, time: DateTime<Utc>) -> Event {
    let amount = Value { kind: Some(value::Kind::Number(amount)) };
    Event {
        event_id: id.to_owned(),
        contact: contact(unit),
        event_name: "purchase".to_owned(),
        event_time: Some(moment(time)),
        properties: [("amount".to_owned(), amount)].into(),
    }
}

/// Opens decide.
fn opening() -> proto::Design {
    let mut design = proto::Design { holdout_share: 0.2, ..design() };
    design.metrics[0].events = vec!["email.opened".to_owned()];
    design
}

/// Waits until an arm has so many units, and so many who did what decides.
async fn counts(service: &Replica, arm: &str, expected: (i64, i64)) {
    until("as many are counted", async || {
        let counted = service.counted(arm, 0).await;
        let counts = (counted.unit_count, counted.event_unit_count);
        if counts == expected { Ok(()) } else { Err(counts) }
    })
    .await;
}

/// Waits until both feeds have been read as far as they were told.
async fn caught_up(world: &World, outcomes: i64, events: i64) {
    until("caught up", async || {
        let read: Vec<(String, String)> =
            sqlx::query_as("select feed, right(cursor, 16) from cursors order by feed")
                .fetch_all(&world.database.pool)
                .await
                .unwrap();
        let expected = [("delivery.outcomes", outcomes), ("segmentation.events", events)]
            .map(|(feed, count)| (feed.to_owned(), format!("{count:016x}")));
        if read == expected { Ok(()) } else { Err(read) }
    })
    .await;
}

#[tokio::test]
async fn whom_delivery_knows_behind_a_privacy_proxy_is_left_out_of_opens() {
    let world = World::following().await;
    let service = world.start().await;
    service.started(opening()).await;
    let (sent, seen) = (noon(), noon() + TimeDelta::minutes(5));
    let proxied = |outcome: Outcome| Outcome { privacy_proxy: true, ..outcome };
    let out = |outcome: Outcome| Outcome { arm: String::new(), ..outcome };
    world.delivery_tells(vec![
        out(fact("o1", "out", Kind::HeldOut, sent)),
        out(proxied(fact("o2", "hid", Kind::HeldOut, sent))),
        fact("o3", "ana", Kind::Accepted, sent),
        proxied(fact("o4", "ben", Kind::Accepted, sent)),
        fact("o5", "ana", Kind::Opened, seen),
        fact("o6", "ben", Kind::Opened, seen),
    ]);
    world.ambient.advance(DAY);
    counts(&service, "a", (1, 1)).await;
    let opens = service.counted("a", 0).await;
    assert_eq!(opens.privacy_proxy_unit_count, 1);
    let held_out = service.counted("", 0).await;
    assert_eq!((held_out.unit_count, held_out.privacy_proxy_unit_count), (1, 1));
}

#[tokio::test]
async fn mails_expose_and_what_people_do_counts_whichever_is_told_first() {
    let world = World::following().await;
    let service = world.start().await;
    service.started(opening()).await;
    let (sent, seen) = (noon(), noon() + TimeDelta::minutes(5));
    let held_out = Outcome { arm: String::new(), ..fact("o1", "out", Kind::HeldOut, sent) };
    let by = |actor: Actor, outcome: Outcome| Outcome { actor: actor.into(), ..outcome };
    let of = |experiment: &str, outcome: Outcome| Outcome {
        experiment: experiment.to_owned(),
        ..outcome
    };
    let elsewhere = "workspaces/elsewhere/experiments/spring";
    world.delivery_tells(vec![
        fact("o2", "ana", Kind::Opened, seen),
        by(Actor::Machine, fact("o3", "ben", Kind::Opened, seen)),
        by(Actor::Unknown, fact("o4", "cat", Kind::Opened, seen)),
    ]);
    world.delivery_tells(vec![
        held_out,
        fact("o5", "ana", Kind::Accepted, sent),
        fact("o6", "ben", Kind::Accepted, sent),
        fact("o7", "cat", Kind::Accepted, sent),
        fact("o8", "dan", Kind::Failed, sent),
        of("", fact("o9", "eve", Kind::Accepted, sent)),
        of(elsewhere, fact("o10", "fay", Kind::Accepted, sent)),
        of("workspaces/acme/experiments/other", fact("o11", "gus", Kind::Accepted, sent)),
        Outcome { arm: "c".to_owned(), ..fact("o12", "hal", Kind::Accepted, sent) },
        Outcome { arm: "\0".to_owned(), ..fact("o13", "ivy", Kind::Accepted, sent) },
        Outcome { contact: "ana".to_owned(), ..fact("o14", "", Kind::Accepted, sent) },
        Outcome { outcome_time: None, ..fact("o15", "jon", Kind::Accepted, sent) },
    ]);
    world
        .segmentation_tells(vec![bought("e1", "ana", 19.99, seen), bought("e2", "kim", 5.0, seen)]);
    caught_up(&world, 2, 1).await;
    world.ambient.advance(DAY);
    let results = service.results().await;
    let opens = &results.arms[0].metrics[0];
    let counts = (opens.unit_count, opens.event_unit_count, opens.machine_unit_count);
    assert_eq!(counts, (3, 1, 1));
    assert_eq!(opens.unknown_unit_count, 1);
    assert_eq!(results.arms[0].metrics[1].total.to_bits(), 19.99_f64.to_bits());
    assert_eq!((results.arms[1].unit_count, results.arms[2].unit_count), (0, 1));
}

#[tokio::test]
async fn after_a_restart_the_feeds_go_on_where_they_were_and_nothing_counts_twice() {
    let world = World::following().await;
    let first = world.start().await;
    let second = world.start().await;
    first.started(opening()).await;
    let seen = noon() + TimeDelta::minutes(5);
    let part = |from: usize| {
        let of = |number: usize| {
            let unit = format!("c{number}");
            let sent = fact(&format!("s{number}"), &unit, Kind::Accepted, noon());
            [sent, fact(&format!("o{number}"), &unit, Kind::Opened, seen)]
        };
        world.delivery_tells((from..from + 10).flat_map(of).collect());
        let event = |number: usize| bought(&format!("e{number}"), &format!("c{number}"), 0.1, seen);
        world.segmentation_tells((from..from + 10).map(event).collect());
    };
    part(0);
    caught_up(&world, 1, 1).await;
    // One of them was following; whichever it was, the work goes on.
    first.kill();
    part(10);
    // The peers tell some of it again, as they may.
    part(0);
    part(20);
    caught_up(&world, 4, 4).await;
    second.stop().await;
    part(30);
    let third = world.start().await;
    caught_up(&world, 5, 5).await;
    world.ambient.advance(DAY);
    counts(&third, "a", (40, 40)).await;
    let total = third.counted("a", 1).await.total;
    assert_eq!(total.to_bits(), 4.0_f64.to_bits());
    assert!(world.outcomes.watched() >= 2 && world.events.watched() >= 2);
}

#[tokio::test]
async fn events_and_properties_that_nobody_counts_are_not_kept() {
    let world = World::following().await;
    let service = world.start().await;
    service.started(opening()).await;
    let named = |name: &str, event: Event| Event { event_name: name.to_owned(), ..event };
    let mut rich = bought("e2", "ana", 1.0, noon());
    rich.properties.insert("age".to_owned(), Value { kind: Some(value::Kind::Number(42.0)) });
    world.segmentation_tells(vec![named("site.visited", bought("e1", "ana", 1.0, noon())), rich]);
    let elsewhere = "workspaces/elsewhere/contacts/ana".to_owned();
    world.segmentation_tells(vec![Event { contact: elsewhere, ..bought("e3", "", 1.0, noon()) }]);
    world.delivery_tells(vec![fact("s1", "ana", Kind::Accepted, noon())]);
    caught_up(&world, 1, 2).await;
    let kept: Vec<(String, String)> =
        sqlx::query_as("select outcome_id, micros::text from evidence")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(kept, [("e2".to_owned(), r#"{"amount": 1000000}"#.to_owned())]);
}

/// After a hundred mails to each arm were told, and the exposure was closed: also what has not been told, that twenty and
/// fifty of them were opened in time.
async fn mailed(world: &World) -> (Replica, Vec<Outcome>) {
    let service = world.start().await;
    service.started(proto::Design { holdout_share: 0.0, ..opening() }).await;
    let (mut sent, mut seen) = (Vec::new(), Vec::new());
    for (arm, opened) in [("a", 20), ("b", 50)] {
        let of = |kind: Kind, number: usize, time| Outcome {
            arm: arm.to_owned(),
            ..fact(&format!("{kind:?}-{arm}{number}"), &format!("{arm}{number}"), kind, time)
        };
        sent.extend((0..100).map(|number| of(Kind::Accepted, number, noon())));
        seen.extend((0..opened).map(|number| of(Kind::Opened, number, noon() + HALF_HOUR)));
    }
    world.delivery_tells(sent);
    world.segmentation_tells(vec![bought("e1", "a1", 1.0, noon())]);
    caught_up(world, 1, 1).await;
    service.close().await.unwrap();
    (service, seen)
}

/// Time passes and the monitors go round without an end of it.
async fn stays_open(world: &World, service: &Replica) {
    world.monitored().await;
    assert_eq!(service.get().await.unwrap().state(), State::Maturing);
}

async fn rests_on_everything(service: &Replica) {
    service.reaches(State::Decidable).await;
    let text = service.verdict().await.reason_text;
    assert!(text.contains("b leads a by 30.0 points"), "{text}");
}

#[tokio::test]
async fn the_verdict_waits_for_a_feed_that_is_away_and_counts_what_it_tells_then() {
    let world = World::following().await;
    let (service, seen) = mailed(&world).await;
    world.outcomes.go_away();
    until("the loss is noticed", async || {
        let connected: bool = sqlx::query_scalar(
            "select is_connected from followings where feed = 'delivery.outcomes'",
        )
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        if connected { Err(connected) } else { Ok(()) }
    })
    .await;
    world.delivery_tells(seen);
    world.ambient.advance(DAY * 2);
    stays_open(&world, &service).await;
    world.outcomes.come_back();
    rests_on_everything(&service).await;
}

#[tokio::test]
async fn a_follower_that_was_killed_is_not_taken_for_one_that_has_nothing_to_tell() {
    let world = World::following().await;
    let (service, seen) = mailed(&world).await;
    let place: (i32, i32) = sqlx::query_as(
        "select classid::int4, objid::int4 from pg_locks join pg_stat_activity using (pid)
         where application_name = 'experiment.outcomes/0' and datname = current_database()
             and locktype = 'advisory'",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    service.kill();
    world.delivery_tells(seen);
    world.ambient.advance(DAY * 2);
    // Nobody else can follow, so that nobody corrects what the killed one left behind.
    let mut thief = world.database.pool.acquire().await.unwrap();
    let mut is_stolen = false;
    while !is_stolen {
        let stealing = sqlx::query_scalar("select pg_try_advisory_lock($1, $2)");
        is_stolen = stealing.bind(place.0).bind(place.1).fetch_one(&mut *thief).await.unwrap();
    }
    let service = world.start().await;
    stays_open(&world, &service).await;
    let giving_back = sqlx::query("select pg_advisory_unlock($1, $2)");
    giving_back.bind(place.0).bind(place.1).execute(&mut *thief).await.unwrap();
    rests_on_everything(&service).await;
}

#[tokio::test]
async fn a_feed_that_tells_without_end_of_long_ago_does_not_keep_the_verdict() {
    let world = World::following().await;
    let (service, seen) = mailed(&world).await;
    world.delivery_tells(seen);
    caught_up(&world, 2, 1).await;
    world.ambient.advance(DAY + Duration::from_hours(1));
    // As if segmentation had been telling of the past for more than a minute, and still were.
    let import = "update followings
         set advance_time = clock_timestamp() - interval '2 minutes',
             heard_time = clock_timestamp() + interval '1 hour'
         where feed = 'segmentation.events'";
    sqlx::query(import).execute(&world.database.pool).await.unwrap();
    rests_on_everything(&service).await;
}

#[tokio::test]
async fn a_feed_that_catches_up_is_waited_for_until_it_tells_of_later_things() {
    let world = World::following().await;
    let (service, seen) = mailed(&world).await;
    // As if delivery never paused.
    let busy = "update followings set heard_time = clock_timestamp() + interval '1 hour'
         where feed = 'delivery.outcomes'";
    sqlx::query(busy).execute(&world.database.pool).await.unwrap();
    world.ambient.advance(DAY + Duration::from_hours(1));
    stays_open(&world, &service).await;
    world.delivery_tells(seen);
    let after = noon() + TimeDelta::days(1) + TimeDelta::minutes(1);
    world.delivery_tells(vec![fact("later", "a1", Kind::Unsubscribed, after)]);
    rests_on_everything(&service).await;
}
