//! Recording what was decided.

use std::time::Duration;

use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;
use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};

use crate::world::{DAY, REQUEST_ID, SPRING, World, design, noon, refused};

#[tokio::test]
async fn a_decision_waits_for_the_exposure_and_is_made_once() {
    let world = World::new().await;
    let service = world.start().await;
    refused(service.decide("a").await, NotFound, "NOT_FOUND", "");
    let drafted = service.create("spring", design()).await.unwrap();
    refused(service.decide("a").await, FailedPrecondition, "NOT_STARTED", "");
    service.launch(&drafted).await.unwrap();
    refused(service.decide("a").await, FailedPrecondition, "NOT_CLOSED", "");
    service.close().await.unwrap();
    refused(service.decide("c").await, InvalidArgument, "INVALID_FIELD", "arm");
    let decide = async |arm: &str, approval: &str| {
        let request = proto::DecideExperimentRequest {
            name: SPRING.to_owned(),
            arm: arm.to_owned(),
            approval: approval.to_owned(),
            request_id: REQUEST_ID.to_owned(),
        };
        let answer = service.client("orchestrator").decide_experiment(request).await?;
        Ok(answer.into_inner())
    };
    let outcome = decide("a", "the boss").await;
    refused::<proto::Experiment>(outcome, InvalidArgument, "INVALID_FIELD", "approval");
    let approval = "workspaces/acme/approvals/promote";
    let decided = decide("a", approval).await.unwrap();
    assert_eq!(decided.state(), State::Decided);
    let decision = decided.decision.as_ref().unwrap();
    assert_eq!((decision.arm.as_str(), decision.approval.as_str()), ("a", approval));
    world.ambient.advance(DAY);
    assert_eq!(decide("a", approval).await.unwrap(), decided);
    assert_eq!(service.decide("a").await.unwrap(), decided);
    refused(decide("b", approval).await, AlreadyExists, "REQUEST_ID_REUSED", "");
    for arm in ["b", ""] {
        refused(service.decide(arm).await, FailedPrecondition, "DECIDED", "");
    }
}

#[tokio::test]
async fn a_decision_keeps_the_verdict_of_its_moment_and_ends_the_looks() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 150]).await;
    service.close().await.unwrap();
    world.ambient.advance(Duration::from_hours(7));
    let seen = service.looked(1).await;
    assert_eq!(seen.action(), Action::Promote);
    // Whoever decides may choose another arm than was recommended.
    let decided = service.decide("a").await.unwrap();
    let decision = decided.decision.clone().unwrap();
    assert_eq!(decision.arm, "a");
    assert_eq!(decision.verdict.unwrap(), proto::Verdict { r#final: true, ..seen });

    // Others still mature, and time passes for them.
    let other = service.create("summer", design()).await.unwrap();
    service.launch(&other).await.unwrap();
    let name = other.name.clone();
    let request = proto::CloseExposureRequest { name: name.clone(), ..Default::default() };
    service.client("orchestrator").close_exposure(request).await.unwrap();
    world.ambient.advance(DAY * 2);
    crate::world::until("the other is decidable", async || {
        let request = proto::GetExperimentRequest { name: name.clone() };
        let other = service.client("edith").get_experiment(request).await.unwrap().into_inner();
        if other.state() == State::Decidable { Ok(()) } else { Err(other) }
    })
    .await;
    assert_eq!(service.get().await.unwrap(), decided);
    assert_eq!(world.looks().await, 2, "one of each");
}

#[tokio::test]
async fn choosing_none_is_a_decision_too() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.close().await.unwrap();
    let decided = service.decide("").await.unwrap();
    let decision = decided.decision.unwrap();
    assert_eq!(decision.arm, "");
    let verdict = decision.verdict.unwrap();
    assert_eq!(
        (verdict.action(), verdict.r#final, verdict.look_count),
        (Action::Continue, true, 0)
    );
}
