//! What counts of what was told: exposures and what units did, in whatever order.

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};

use crate::world::{
    DAY, Fault, Replica, World, design, exposure, hours, noon, outcome, purchase, refused,
};

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// Something told, as it can be told again.
#[derive(Clone)]
enum Fact {
    Exposed(proto::Exposure),
    Did(proto::OutcomeEvent),
}

async fn tell(service: &Replica, facts: &[Fact]) {
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    for fact in facts {
        match fact {
            Fact::Exposed(exposure) => exposures.push(exposure.clone()),
            Fact::Did(outcome) => outcomes.push(outcome.clone()),
        }
    }
    service.expose(exposures).await.unwrap();
    service.record(outcomes).await.unwrap();
}

/// Forty contacts, exposed up to three times, who visit and buy before and after.
fn story(rng: &mut impl Rng) -> Vec<Fact> {
    let mut facts = Vec::new();
    for number in 0..40 {
        let id = format!("c{number}");
        let arm = ["a", "b", ""][number % 3];
        for _ in 0..rng.random_range(0..3) {
            let time = noon() + TimeDelta::minutes(rng.random_range(0..600));
            facts.push(Fact::Exposed(exposure(&id, arm, time)));
        }
        for deed in 0..rng.random_range(0..6) {
            let time = noon() + TimeDelta::minutes(rng.random_range(-60..1_200));
            let name = format!("{id}-{deed}");
            let mut did = if deed % 2 == 0 {
                outcome(&name, &id, "site.visited", time)
            } else {
                purchase(&name, &id, f64::from(rng.random_range(1..10_000)) / 100.0, time)
            };
            did.human = rng.random_bool(0.7);
            facts.push(Fact::Did(did));
        }
    }
    facts
}

#[tokio::test]
async fn the_order_and_the_number_of_times_facts_are_told_in_change_nothing() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let story = story(&mut rng);
    let mut told = Vec::new();
    for _ in 0..4 {
        let world = World::new().await;
        let service = world.start().await;
        service.started(proto::Design { holdout_share: 0.3, ..design() }).await;
        let mut facts = story.clone();
        facts.shuffle(&mut rng);
        for part in facts.chunks(17) {
            tell(&service, part).await;
        }
        facts.shuffle(&mut rng);
        tell(&service, &facts[..100]).await;
        world.ambient.advance(DAY);
        told.push(service.results().await);
    }
    assert!(told[0].arms.iter().all(|arm| arm.metrics[1].total > 0.0), "{told:?}");
    for other in &told[1..] {
        assert_eq!(other, &told[0]);
    }
}

#[tokio::test]
async fn callers_who_tell_the_same_at_once_do_not_get_in_each_others_way() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
    let story = story(&mut rng);
    let world = World::new().await;
    let services = [world.start().await, world.start().await];
    services[0].started(design()).await;
    let mut telling = Vec::new();
    for number in 0..8 {
        let mut facts = story.clone();
        facts.shuffle(&mut rng);
        let service = &services[number % 2];
        telling.push(async move { tell(service, &facts).await });
    }
    futures::future::join_all(telling).await;
    world.ambient.advance(DAY);
    let told = services[1].results().await;
    tell(&services[0], &story).await;
    assert_eq!(services[0].results().await, told);
}

#[tokio::test]
async fn only_what_a_person_did_within_the_window_of_the_first_exposure_counts() {
    let world = World::new().await;
    let service = world.start().await;
    let mut short = design();
    short.metrics[0].window = Some(hours(1));
    service.started(short).await;
    let (exposed, window) = (noon() + TimeDelta::minutes(10), TimeDelta::hours(1));
    let deeds = [
        ("before", exposed - TimeDelta::microseconds(1), 0),
        ("at-once", exposed, 1),
        ("just-in-time", exposed + window - TimeDelta::microseconds(1), 1),
        ("too-late", exposed + window, 0),
    ];
    for (id, time, _) in deeds {
        service.record(vec![outcome(id, id, "site.visited", time)]).await.unwrap();
        // Told after what it caused, and the second one first.
        let later = exposure(id, "b", exposed + SECOND);
        service.expose(vec![later, exposure(id, "a", exposed)]).await.unwrap();
    }
    world.ambient.advance(DAY);
    let expected: i64 = deeds.iter().map(|(_, _, counts)| counts).sum();
    let counted = service.counted("a", 0).await;
    assert_eq!((counted.unit_count, counted.event_unit_count), (4, expected));
    assert_eq!(service.counted("b", 0).await.unit_count, 0);
}

#[tokio::test]
async fn an_earlier_exposure_told_later_moves_the_unit_and_its_window() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.record(vec![outcome("o", "ana", "site.visited", noon() + SECOND)]).await.unwrap();
    assert_eq!(service.expose(vec![exposure("ana", "a", noon() + SECOND * 2)]).await.unwrap(), 1);
    world.ambient.advance(DAY);
    assert_eq!(service.counted("a", 0).await.event_unit_count, 0);
    assert_eq!(service.expose(vec![exposure("ana", "b", noon())]).await.unwrap(), 0);
    assert_eq!(service.expose(vec![exposure("ana", "a", noon() + SECOND)]).await.unwrap(), 0);
    assert_eq!(service.counted("a", 0).await.unit_count, 0);
    let counted = service.counted("b", 0).await;
    assert_eq!((counted.unit_count, counted.event_unit_count), (1, 1));
}

#[tokio::test]
async fn machines_are_shown_apart_and_a_person_outweighs_them() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    let units = ["person", "machine", "both", "nobody"];
    service.expose(units.iter().map(|id| exposure(id, "a", noon())).collect()).await.unwrap();
    let by = |who: &str, id: &str, human| proto::OutcomeEvent {
        human,
        ..purchase(who, id, 10.0, noon() + SECOND)
    };
    let outcomes = vec![
        by("o1", "person", true),
        by("o2", "machine", false),
        by("o3", "both", false),
        by("o4", "both", true),
        by("o5", "stranger", true),
    ];
    service.record(outcomes).await.unwrap();
    world.ambient.advance(DAY);
    let revenue = service.counted("a", 1).await;
    let counts = (revenue.unit_count, revenue.event_unit_count, revenue.machine_unit_count);
    assert_eq!(counts, (4, 2, 1));
    assert!((revenue.total - 20.0).abs() < 1e-12, "{revenue:?}");
}

#[tokio::test]
async fn an_id_that_was_told_before_has_no_effect_whatever_it_says_now() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.expose(vec![exposure("ana", "a", noon())]).await.unwrap();
    let first = purchase("order", "ana", 10.0, noon() + SECOND);
    let second = purchase("order", "ana", 5_000.0, noon() + SECOND);
    assert_eq!(service.record(vec![first.clone(), second.clone()]).await.unwrap(), 1);
    assert_eq!(service.record(vec![second, first]).await.unwrap(), 0);
    world.ambient.advance(DAY);
    let total = service.counted("a", 1).await.total;
    assert!((total - 10.0).abs() < 1e-12, "{total}");
}

#[tokio::test]
async fn what_a_caller_told_one_experiment_does_not_count_for_another() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    let other = service.create("summer", design()).await.unwrap();
    service.launch(&other).await.unwrap();
    service.expose(vec![exposure("ana", "a", noon())]).await.unwrap();
    let mut client = service.client("orchestrator");
    let request = proto::RecordOutcomesRequest {
        experiment: other.name,
        outcomes: vec![outcome("o", "ana", "site.visited", noon() + SECOND)],
    };
    client.record_outcomes(request).await.unwrap();
    world.ambient.advance(DAY);
    assert_eq!(service.counted("a", 0).await.event_unit_count, 0);
    // The same id is another one here.
    let mine = outcome("o", "ana", "site.visited", noon() + SECOND);
    assert_eq!(service.record(vec![mine]).await.unwrap(), 1);
    assert_eq!(service.counted("a", 0).await.event_unit_count, 1);
}

#[tokio::test]
async fn the_future_counts_when_it_comes() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    let tomorrow = noon() + TimeDelta::days(1);
    service.expose(vec![exposure("ana", "a", tomorrow)]).await.unwrap();
    service.record(vec![outcome("o", "ana", "site.visited", tomorrow + SECOND)]).await.unwrap();
    let counted = service.counted("a", 0).await;
    assert_eq!((counted.unit_count, counted.rate), (0, None));
    world.ambient.advance(DAY * 2);
    assert_eq!(service.counted("a", 0).await.event_unit_count, 1);
}

#[tokio::test]
async fn exposures_that_make_no_sense_are_refused_by_field() {
    let world = World::new().await;
    let service = world.start().await;
    let good = exposure("ana", "a", noon());
    refused(service.expose(vec![good.clone()]).await, NotFound, "NOT_FOUND", "");
    let drafted = service.create("spring", design()).await.unwrap();
    refused(service.expose(vec![good.clone()]).await, FailedPrecondition, "NOT_STARTED", "");
    service.launch(&drafted).await.unwrap();
    let elsewhere = "workspaces/elsewhere/contacts/ana".to_owned();
    let faults: [(&str, Fault<proto::Exposure>); 6] = [
        ("unit", |it| it.unit = "ana".to_owned()),
        ("arm", |it| it.arm = "c".to_owned()),
        ("exposure_time", |it| it.exposure_time = None),
        ("exposure_time", |it| {
            it.exposure_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
        }),
        ("segments", |it| it.segments = vec!["vip\nworkspaces/acme/segments/x".to_owned()]),
        ("segments", |it| it.segments = vec!["workspaces/acme/segments/vip".to_owned(); 65]),
    ];
    for (field, spoil) in faults {
        let mut fault = good.clone();
        spoil(&mut fault);
        let outcome = service.expose(vec![good.clone(), fault]).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", &format!("exposures[1].{field}"));
    }
    let foreign = proto::Exposure { unit: elsewhere, ..good.clone() };
    refused(
        service.expose(vec![foreign]).await,
        InvalidArgument,
        "INVALID_FIELD",
        "exposures[0].unit",
    );
    let outcome = service.expose(vec![good; 5_001]).await;
    refused(outcome, InvalidArgument, "INVALID_FIELD", "exposures");
    assert_eq!(service.results().await.arms[0].unit_count, 0);
}

#[tokio::test]
async fn outcomes_that_make_no_sense_are_refused_by_field() {
    let world = World::new().await;
    let service = world.start().await;
    let good = purchase("o", "ana", 1.0, noon());
    refused(service.record(vec![good.clone()]).await, NotFound, "NOT_FOUND", "");
    service.started(design()).await;
    let faults: [(&str, Fault<proto::OutcomeEvent>); 12] = [
        ("outcome_id", |it| it.outcome_id.clear()),
        ("outcome_id", |it| it.outcome_id = "x".repeat(129)),
        ("outcome_id", |it| it.outcome_id = "a\0b".to_owned()),
        ("unit", |it| it.unit = "workspaces/elsewhere/contacts/ana".to_owned()),
        ("event", |it| it.event.clear()),
        ("event", |it| it.event = "a\0b".to_owned()),
        ("outcome_time", |it| it.outcome_time = None),
        ("values", |it| *it.values.get_mut("amount").unwrap() = f64::NAN),
        ("values", |it| *it.values.get_mut("amount").unwrap() = f64::INFINITY),
        ("values", |it| *it.values.get_mut("amount").unwrap() = -2e9),
        ("values", |it| it.values = [("a\0b".to_owned(), 1.0)].into()),
        ("values", |it| it.values.extend((0..20).map(|number| (number.to_string(), 1.0)))),
    ];
    for (field, spoil) in faults {
        let mut fault = good.clone();
        spoil(&mut fault);
        let outcome = service.record(vec![good.clone(), fault]).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", &format!("outcomes[1].{field}"));
    }
    let outcome = service.record(vec![good.clone(); 5_001]).await;
    refused(outcome, InvalidArgument, "INVALID_FIELD", "outcomes");
    // Nothing of what was refused was kept.
    assert_eq!(service.record(vec![good]).await.unwrap(), 1);
}
