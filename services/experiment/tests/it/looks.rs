//! Looks are taken on the plan and by nobody else, and what they lead to.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;
use tonic::Code::FailedPrecondition;

use crate::world::{
    DAY, HALF_HOUR, World, arm, design, exposure, noon, outcome, purchase, refused,
};

/// Four fifths of the expected answers are in after 6.8 hours.
const GATE: Duration = Duration::from_hours(7);
const HOUR: Duration = Duration::from_hours(1);
/// What the last moment before the deadline takes to be told.
const SETTLED: Duration = Duration::from_secs(2);

#[track_caller]
fn check(verdict: &proto::Verdict, action: Action, reason: &str, arm: &str) {
    let told = (verdict.action(), verdict.reason_code.as_str(), verdict.arm.as_str());
    assert_eq!(told, (action, reason, arm), "{verdict:?}");
    assert!(!verdict.reason_text.is_empty());
}

#[tokio::test]
async fn a_clear_lead_is_promoted_once_the_data_are_mature_and_not_before() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 1_000, [100, 300]).await;
    world.ambient.advance(HOUR);
    // However clear it is, while units are being exposed nothing is said.
    let verdict = service.verdict().await;
    check(&verdict, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", "");
    let closed = service.close().await.unwrap();
    assert_eq!(closed.state(), State::Maturing);
    let early = service.looked(1).await;
    check(&early, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", "");
    assert!(early.boundary.is_none() && !early.r#final);

    // Something has to be learned for another look to be worth its error.
    let more = (0..20).map(|number| {
        let id = format!("a{}", 500 + number);
        outcome(&format!("late-{id}"), &id, "site.visited", noon() + HALF_HOUR * 3)
    });
    service.record(more.collect()).await.unwrap();
    world.ambient.advance(GATE);
    let verdict = service.looked(2).await;
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", "b");
    assert!(verdict.statistic >= verdict.boundary.unwrap());
    assert!(verdict.sequential_p.unwrap() < 0.05 && verdict.sample_ratio_p > 0.99);
    assert!((0.8..1.0).contains(&verdict.spending_time) && !verdict.r#final);

    world.ambient.advance(DAY);
    let decidable = service.reaches(State::Decidable).await;
    assert_eq!(decidable.deadline, closed.deadline);
    let verdict = service.verdict().await;
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", "b");
    assert_eq!((verdict.look_count, verdict.r#final), (3, true));
}

#[tokio::test]
async fn reading_results_is_not_a_look_and_the_verdict_is_that_of_the_last_one() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 52]).await;
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    let verdict = service.looked(1).await;
    check(&verdict, Action::Continue, "NOT_SIGNIFICANT_YET", "");
    // Overwhelming, but nobody has looked.
    let more = (100..400).map(|number| {
        let id = format!("b{number}");
        outcome(&format!("more-{id}"), &id, "site.visited", noon() + HALF_HOUR)
    });
    service.record(more.collect()).await.unwrap();
    for _ in 0..50 {
        assert_eq!(service.verdict().await, verdict);
    }
    assert_eq!(service.counted("b", 0).await.event_unit_count, 352);
    // A second is no step on the clock of spending, so there is no look of it: the next is the second.
    world.ambient.advance(Duration::from_secs(1));
    for _ in 0..50 {
        assert_eq!(service.verdict().await, verdict);
    }
    world.ambient.advance(HOUR * 3);
    let verdict = service.looked(2).await;
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", "b");
    assert_eq!((verdict.look_count, world.looks().await), (2, 2));
}

#[tokio::test]
async fn the_last_look_counts_what_happened_before_the_deadline_and_nothing_after() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 50]).await;
    service.close().await.unwrap();
    let deadline = noon() + TimeDelta::days(1);
    let at = |id: String, time| outcome(&format!("at-{id}"), &id, "site.visited", time);
    let mut last = vec![at("a400".to_owned(), deadline - TimeDelta::microseconds(1))];
    last.extend((100..400).map(|number| at(format!("b{number}"), deadline)));
    service.record(last).await.unwrap();
    world.ambient.advance(DAY + SETTLED);
    service.reaches(State::Decidable).await;
    let verdict = service.verdict().await;
    check(&verdict, Action::Hold, "INCONCLUSIVE_AT_DEADLINE", "");
    assert!(verdict.r#final && verdict.spending_time >= 1.0);
    assert!(verdict.reason_text.contains("a leads b by 0.2 points of visits"), "{verdict:?}");
    // What came later is shown, and changes no verdict.
    assert_eq!(service.counted("b", 0).await.event_unit_count, 350);
    world.ambient.advance(DAY * 30);
    assert_eq!(service.verdict().await, verdict);
    assert_eq!(world.looks().await, 1);
}

#[tokio::test]
async fn when_the_data_decide_nothing_the_design_does() {
    use proto::InconclusivePolicy::{Control, Hold, PosteriorBest};
    let outcomes = [
        (Hold, Action::Hold, ""),
        (PosteriorBest, Action::PromoteNotSignificant, "b"),
        (Control, Action::PromoteControl, "a"),
    ];
    for (policy, action, arm) in outcomes {
        let world = World::new().await;
        let service = world.start().await;
        let control_arm = "a".to_owned();
        service
            .started(proto::Design { inconclusive_policy: policy.into(), control_arm, ..design() })
            .await;
        service.visits(noon(), 500, [50, 55]).await;
        service.close().await.unwrap();
        world.ambient.advance(DAY + SETTLED);
        service.reaches(State::Decidable).await;
        let verdict = service.verdict().await;
        check(&verdict, action, "INCONCLUSIVE_AT_DEADLINE", arm);
        assert!(verdict.sequential_p.unwrap() > 0.05);
    }
}

#[tokio::test]
async fn arms_that_did_not_get_their_numbers_are_never_promoted() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(proto::Design { arms: vec![arm("a", 3.0), arm("b", 2.0)], ..design() }).await;
    service.visits(noon(), 1_000, [100, 400]).await;
    world.ambient.advance(HOUR);
    check(&service.verdict().await, Action::Hold, "SRM", "");
    service.close().await.unwrap();
    world.ambient.advance(DAY + SETTLED);
    service.reaches(State::Decidable).await;
    let verdict = service.verdict().await;
    check(&verdict, Action::Hold, "SRM", "");
    assert!(verdict.sample_ratio_p < 0.001 && verdict.r#final);
    assert!(verdict.reason_text.contains("b: 1000"), "{verdict:?}");
}

#[tokio::test]
async fn a_holdout_that_is_told_before_the_mails_leave_raises_no_alarm() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(proto::Design { holdout_share: 0.5, ..design() }).await;
    let out = |number: usize| exposure(&format!("out{number}"), "", noon());
    service.expose((0..1_000).map(out).collect()).await.unwrap();
    service.visits(noon(), 100, [10, 10]).await;
    world.ambient.advance(HOUR);
    let verdict = service.verdict().await;
    check(&verdict, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", "");
    // With everybody said to be exposed, far too many were held out.
    service.close().await.unwrap();
    check(&service.looked(1).await, Action::Hold, "SRM", "");
}

#[tokio::test]
async fn where_money_decides_the_arm_that_brings_more_of_it_wins() {
    let world = World::new().await;
    let service = world.start().await;
    let mut selling = design();
    selling.metrics.swap(0, 1);
    service.started(selling).await;
    service.visits(noon(), 1_000, [0, 0]).await;
    let orders = |arm: &str, count: usize, amount: f64| -> Vec<proto::OutcomeEvent> {
        let order = |number: usize| {
            let id = format!("{arm}{number}");
            purchase(&format!("order-{id}"), &id, amount, noon() + HALF_HOUR)
        };
        (0..count).map(order).collect()
    };
    // More orders in one arm, more money in the other.
    service.record(orders("a", 200, 10.0)).await.unwrap();
    service.record(orders("b", 150, 40.0)).await.unwrap();
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    let verdict = service.looked(1).await;
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", "b");
    assert!(verdict.reason_text.contains("4.0 of revenue per contact"), "{verdict:?}");
}

#[tokio::test]
async fn one_arm_and_nobody_at_all_leave_nothing_to_look_at() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(proto::Design { arms: vec![arm("a", 1.0)], ..design() }).await;
    service.expose(vec![exposure("ana", "a", noon())]).await.unwrap();
    check(&service.verdict().await, Action::None, "ONE_ARM", "");
    assert!(!service.verdict().await.r#final);
    service.close().await.unwrap();
    assert!(service.verdict().await.r#final);
    world.ambient.advance(DAY + SETTLED);
    service.reaches(State::Decidable).await;
    check(&service.verdict().await, Action::None, "ONE_ARM", "");
    assert_eq!(world.looks().await, 0);

    let world = World::new().await;
    let service = world.start().await;
    let policy = proto::InconclusivePolicy::PosteriorBest.into();
    service.started(proto::Design { inconclusive_policy: policy, ..design() }).await;
    service.close().await.unwrap();
    world.ambient.advance(DAY + SETTLED);
    service.reaches(State::Decidable).await;
    check(&service.verdict().await, Action::Hold, "INCONCLUSIVE_AT_DEADLINE", "");
}

#[tokio::test]
async fn the_decision_window_begins_once() {
    let world = World::new().await;
    let service = world.start().await;
    service.create("spring", design()).await.unwrap();
    refused(service.close().await, FailedPrecondition, "NOT_STARTED", "");
    let drafted = service.get().await.unwrap();
    service.launch(&drafted).await.unwrap();
    let closed = service.close().await.unwrap();
    let (end, deadline) = (closed.exposure_end_time.unwrap(), closed.deadline.unwrap());
    assert_eq!(deadline.seconds - end.seconds, 86_400);
    world.ambient.advance(HOUR);
    let again = service.close().await.unwrap();
    assert_eq!((again.exposure_end_time.unwrap(), again.deadline.unwrap()), (end, deadline));
}
