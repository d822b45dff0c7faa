//! Tests without a deadline: flows that never end, looked at while units are exposed.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;
use tonic::Code::FailedPrecondition;

use crate::world::{DAY, World, design, hours, moment, noon, refused};

const HOUR: Duration = Duration::from_hours(1);

fn endless() -> proto::Design {
    let mut design = proto::Design { decision_window: None, expected_event_count: 300, ..design() };
    design.set_method(proto::Method::Anytime);
    for metric in &mut design.metrics {
        metric.window = Some(hours(24));
    }
    design
}

#[tokio::test]
async fn looks_are_taken_of_those_whose_window_is_over_and_none_decides_in_the_first_week() {
    let world = World::new().await;
    let service = world.start().await;
    let started = service.started(endless()).await;
    assert_eq!(started.design.unwrap().decision_window, None);
    service.visits(noon(), 1_000, [100, 220]).await;
    world.ambient.advance(HOUR * 2);
    world.monitored().await;
    assert_eq!(world.looks().await, 0, "nobody's window is over");
    let results = service.results().await;
    assert_eq!(results.arms[0].unit_count, 0);
    let week = noon() + TimeDelta::days(7);
    assert_eq!(results.earliest_next_look_time, Some(moment(week)));
    world.ambient.advance(DAY);
    let verdict = service.looked(1).await;
    assert_eq!(verdict.reason_code, "IMMATURE_OR_TOO_FEW_EVENTS");
    assert!(verdict.reason_text.contains("first week"), "{verdict:?}");
    // More units, whose window is over by the end of the week.
    let day_five = noon() + TimeDelta::days(5);
    let more = |arm: &str, count: usize| {
        let ids = (2_000..2_000 + count).map(move |number| format!("{number}"));
        let arm = arm.to_owned();
        ids.map(move |id| crate::world::exposure(&format!("{arm}{id}"), &arm, day_five))
    };
    service.expose(more("a", 300).chain(more("b", 300)).collect()).await.unwrap();
    let visited = |number: usize| {
        let id = format!("b{}", 2_000 + number);
        crate::world::outcome(&id, &id, "site.visited", day_five + TimeDelta::hours(1))
    };
    service.record((0..100).map(visited).collect()).await.unwrap();
    world.ambient.advance(DAY * 6);
    let verdict = service.looked(2).await;
    assert_eq!((verdict.action(), verdict.arm.as_str()), (Action::Promote, "b"), "{verdict:?}");
    assert!(!verdict.r#final && verdict.boundary.unwrap() > 2.5);
    assert_eq!(service.get().await.unwrap().state(), State::Running);
    // It may be decided while it runs.
    let decided = service.decide("b").await.unwrap();
    assert!(decided.decision.unwrap().significant);
}

#[tokio::test]
async fn closing_the_exposure_ends_it_when_the_last_window_is_over() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(endless()).await;
    let outcome = service.extend(noon() + TimeDelta::days(30)).await;
    refused(outcome, FailedPrecondition, "NO_DEADLINE", "");
    service.visits(noon(), 500, [50, 52]).await;
    world.ambient.advance(DAY * 8);
    let verdict = service.looked(1).await;
    assert_eq!(verdict.reason_code, "NOT_SIGNIFICANT_YET", "{verdict:?}");
    let closed = service.close().await.unwrap();
    assert_eq!(closed.deadline, Some(moment(noon() + TimeDelta::days(9))));
    world.ambient.advance(DAY + Duration::from_secs(2));
    service.reaches(State::Decidable).await;
    // Nothing new was learned, so what was known is judged for the last time.
    let verdict = service.verdict().await;
    assert_eq!(
        (verdict.action(), verdict.reason_code.as_str()),
        (Action::Hold, "INCONCLUSIVE_AT_DEADLINE")
    );
    assert!(verdict.r#final && verdict.look_count == 2, "{verdict:?}");
    assert_eq!(service.results().await.arms[0].metrics[0].event_unit_count, 50);
}

#[tokio::test]
async fn a_lead_that_was_significant_stays_so_when_it_ends_with_nothing_new() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(endless()).await;
    service.visits(noon(), 500, [50, 150]).await;
    world.ambient.advance(DAY * 8);
    assert_eq!(service.looked(1).await.action(), Action::Promote);
    service.close().await.unwrap();
    world.ambient.advance(DAY + Duration::from_secs(2));
    service.reaches(State::Decidable).await;
    let verdict = service.verdict().await;
    assert_eq!(
        (verdict.action(), verdict.arm.as_str(), verdict.r#final),
        (Action::Promote, "b", true)
    );
}
