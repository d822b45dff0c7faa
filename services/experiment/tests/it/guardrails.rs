//! Metrics that must not get worse.

use std::time::Duration;

use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::metric::Role;
use cursus_api::experiment::verdict::Action;

use crate::world::{DAY, HALF_HOUR, Replica, World, design, noon, outcome};

const GATE: Duration = Duration::from_hours(7);

fn guarded() -> proto::Design {
    let mut design = design();
    let mut guardrail = proto::Metric {
        metric_id: "unsubscribed".to_owned(),
        display_name: "unsubscriptions".to_owned(),
        events: vec!["email.unsubscribed".to_owned()],
        ceiling: Some(0.05),
        ..design.metrics[0].clone()
    };
    guardrail.set_role(Role::Guardrail);
    design.metrics.push(guardrail);
    design
}

async fn unsubscribe(service: &Replica, arm: &str, numbers: std::ops::Range<usize>) {
    let leave = |number: usize| {
        let id = format!("{arm}{number}");
        outcome(&format!("leave-{id}"), &id, "email.unsubscribed", noon() + HALF_HOUR)
    };
    service.record(numbers.map(leave).collect()).await.unwrap();
}

#[tokio::test]
async fn the_best_arm_is_not_promoted_if_it_drives_people_away() {
    let world = World::new().await;
    let service = world.start().await;
    let started = service.started(guarded()).await;
    let told = started.design.unwrap().metrics[2].clone();
    assert_eq!(told.direction(), proto::metric::Direction::LowerIsBetter);
    service.visits(noon(), 1_000, [100, 300]).await;
    unsubscribe(&service, "a", 0..2).await;
    unsubscribe(&service, "b", 0..12).await;
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    let verdict = service.looked(1).await;
    assert_eq!(verdict.action(), Action::Hold, "{verdict:?}");
    assert_eq!(
        (verdict.reason_code.as_str(), verdict.arm.as_str()),
        ("GUARDRAIL:unsubscribed", "b")
    );
    assert!(verdict.reason_text.contains("unsubscriptions"), "{verdict:?}");
    let results = service.results().await;
    let guardrail = &results.guardrails[0];
    assert_eq!((guardrail.metric_id.as_str(), guardrail.arms.len()), ("unsubscribed", 2));
    let (a, b) = (&guardrail.arms[0], &guardrail.arms[1]);
    assert!(!a.blocks && b.blocks && !b.exceeds_ceiling, "{guardrail:?}");
    assert!((b.harm.unwrap() - 0.01).abs() < 1e-12 && b.p.unwrap() < 0.05);
    assert!(b.at_most.unwrap() > 0.01);
    // Nobody decided, so at the deadline it is the same.
    world.ambient.advance(DAY);
    service.reaches(State::Decidable).await;
    assert_eq!(service.verdict().await.reason_code, "GUARDRAIL:unsubscribed");
}

#[tokio::test]
async fn harm_after_the_look_holds_back_at_once_and_takes_no_look() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(guarded()).await;
    service.visits(noon(), 1_000, [100, 300]).await;
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    let verdict = service.looked(1).await;
    assert_eq!((verdict.action(), verdict.arm.as_str()), (Action::Promote, "b"));
    // Both leave, so neither is worse than the other; but too many do.
    unsubscribe(&service, "a", 0..90).await;
    unsubscribe(&service, "b", 0..90).await;
    let verdict = service.verdict().await;
    assert_eq!((verdict.action(), verdict.look_count), (Action::Hold, 1));
    let results = service.results().await;
    assert!(results.guardrails[0].arms.iter().all(|arm| arm.exceeds_ceiling && arm.blocks));
    assert!(results.invalidated_by.contains("person"), "{}", results.invalidated_by);
    // A decision keeps what was seen.
    let decided = service.decide("").await.unwrap();
    assert_eq!(decided.decision.unwrap().verdict.unwrap().action(), Action::Hold);
}

#[tokio::test]
async fn money_can_be_guarded_too() {
    let world = World::new().await;
    let service = world.start().await;
    let mut design = design();
    design.metrics[1].set_role(Role::Guardrail);
    service.started(design).await;
    service.visits(noon(), 1_000, [100, 300]).await;
    let order = |number: usize| {
        let id = format!("a{number}");
        crate::world::purchase(&format!("order-{id}"), &id, 20.0, noon() + HALF_HOUR)
    };
    service.record((0..100).map(order).collect()).await.unwrap();
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    // More visits in one arm, and all the money in the other.
    let verdict = service.looked(1).await;
    assert_eq!(verdict.reason_code, "GUARDRAIL:revenue", "{verdict:?}");
}
