//! What results tell beside estimates and verdict: whether to believe them, when to look again, what would undo them.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;

use crate::world::{DAY, HALF_HOUR, Replica, World, arm, design, exposure, moment, noon, outcome};

const GATE: Duration = Duration::from_hours(7);

fn codes(results: &proto::Results) -> Vec<&str> {
    results.warnings.iter().map(|it| it.code.as_str()).collect()
}

#[tokio::test]
async fn the_next_look_is_foretold_and_taken_then() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 150]).await;
    let running = service.results().await;
    assert_eq!(running.earliest_next_look_time, None);
    service.close().await.unwrap();
    let results = service.results().await;
    let next = results.earliest_next_look_time.unwrap().seconds - moment(noon()).seconds;
    // Nothing is decided before the gate, 6.8 hours.
    assert!((24_000..25_000).contains(&next), "{next}");
    assert!(results.maturity < 0.01);
    world.ambient.advance(Duration::from_secs(u64::try_from(next).unwrap()));
    let verdict = service.looked(1).await;
    assert_eq!(verdict.action(), Action::Promote, "{verdict:?}");
    let results = service.results().await;
    assert!((results.maturity - 0.8).abs() < 0.01, "{}", results.maturity);
    let later = results.earliest_next_look_time.unwrap().seconds - moment(noon()).seconds;
    assert!(later > next && later < 86_400);
    assert!(results.invalidated_by.contains("turn out to be a machine's"), "{results:?}");
    assert_eq!(codes(&results), ["EARLY"]);
    world.ambient.advance(DAY);
    service.reaches(State::Decidable).await;
    let results = service.results().await;
    assert_eq!((results.earliest_next_look_time, results.maturity), (None, 1.0));
    assert_eq!(results.timing.unwrap().state(), proto::timing::State::Settled);
}

#[tokio::test]
async fn the_sample_ratio_is_watched_while_units_are_exposed() {
    use proto::sample_ratio::State::{Alarm, Ok};
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 1_000, [100, 100]).await;
    world.ambient.advance(DAY);
    let ratio = service.results().await.sample_ratio.unwrap();
    assert_eq!(ratio.state(), Ok);
    assert!(ratio.evidence <= 1.0 && ratio.p >= 1.0, "{ratio:?}");
    let more = (1_000..1_400).map(|number| exposure(&format!("a{number}"), "a", noon()));
    service.expose(more.collect()).await.unwrap();
    let results = service.results().await;
    let ratio = results.sample_ratio.unwrap();
    assert_eq!(ratio.state(), Alarm);
    assert!(ratio.evidence > 1_000.0, "{ratio:?}");
    assert!(codes(&results).contains(&"SAMPLE_RATIO"));
}

#[tokio::test]
async fn every_arm_is_compared_with_the_control() {
    let world = World::new().await;
    let service = world.start().await;
    let arms = vec![arm("a", 1.0), arm("b", 1.0)];
    service.started(proto::Design { arms, control_arm: "a".to_owned(), ..design() }).await;
    service.visits(noon(), 500, [50, 80]).await;
    service.close().await.unwrap();
    assert_eq!(service.results().await.arms[1].p_against_control, None);
    world.ambient.advance(GATE);
    let verdict = service.looked(1).await;
    let results = service.results().await;
    assert_eq!(results.arms[0].p_against_control, None);
    let p = results.arms[1].p_against_control.unwrap();
    assert!(p > 0.0 && p < 0.2, "{p}");
    if verdict.action() == Action::Continue {
        assert_eq!(verdict.tied_arms, ["a"]);
    }
    assert!(verdict.conditional_power.unwrap() > 0.5, "{verdict:?}");
}

#[tokio::test]
async fn a_lead_that_may_be_speed_is_told() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [100, 0]).await;
    let late = |number: usize| {
        let id = format!("b{number}");
        let time = noon() + TimeDelta::hours(6);
        outcome(&format!("visit-{id}"), &id, "site.visited", time)
    };
    service.record((0..160).map(late).collect()).await.unwrap();
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    let verdict = service.looked(1).await;
    assert_eq!(verdict.reason_code, "TIMING_SHIFT", "{verdict:?}");
    let results = service.results().await;
    assert_eq!(results.timing.unwrap().state(), proto::timing::State::Shifted);
    assert_eq!(codes(&results), ["TIMING_SHIFT"]);
}

async fn in_segment(service: &Replica, segment: &str, visitors: [usize; 2]) {
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    for (arm, visitors) in ["a", "b"].into_iter().zip(visitors) {
        let ids = || (0..400).map(|number| format!("{segment}-{arm}{number}"));
        exposures.extend(ids().map(|id| proto::Exposure {
            segments: vec![format!("workspaces/acme/segments/{segment}")],
            ..exposure(&id, arm, noon())
        }));
        let visit = |id: String| outcome(&id, &id, "site.visited", noon() + HALF_HOUR);
        outcomes.extend(ids().take(visitors).map(visit));
    }
    service.expose(exposures).await.unwrap();
    service.record(outcomes).await.unwrap();
}

#[tokio::test]
async fn segments_in_which_an_arm_does_better_are_told_apart() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    in_segment(&service, "north", [40, 120]).await;
    in_segment(&service, "south", [80, 60]).await;
    in_segment(&service, "west", [3, 5]).await;
    world.ambient.advance(DAY);
    let results = service.results().await;
    let differences = &results.segment_differences[0];
    assert_eq!((differences.arm.as_str(), differences.baseline.as_str()), ("b", "a"));
    assert!(differences.p < 0.001 && differences.i_squared > 0.8, "{differences:?}");
    let told: Vec<_> = differences
        .segments
        .iter()
        .map(|it| (it.segment.rsplit('/').next().unwrap(), it.difference > 0.0))
        .collect();
    assert_eq!(told, [("north", true), ("south", false)]);
}

#[tokio::test]
async fn few_events_and_machines_that_prefer_an_arm_are_warned_of() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [5, 6]).await;
    let scan = |number: usize| proto::OutcomeEvent {
        human: false,
        ..outcome(
            &format!("scan{number}"),
            &format!("a{number}"),
            "site.visited",
            noon() + HALF_HOUR,
        )
    };
    service.record((100..150).map(scan).collect()).await.unwrap();
    world.ambient.advance(DAY);
    let results = service.results().await;
    assert_eq!(codes(&results), ["FEW_EVENTS", "MACHINE_SHARES_DIFFER"]);
    let visits = &results.arms[0].metrics[0];
    assert!((visits.machine_share.unwrap() - 50.0 / 55.0).abs() < 1e-12, "{visits:?}");
    assert_eq!(results.arms[1].metrics[1].machine_share, None);
}
