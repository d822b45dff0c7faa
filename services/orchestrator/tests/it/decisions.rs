//! From the end of the test to the end of the campaign.

use std::time::Duration;

use cursus_api::delivery::broadcast;
use cursus_api::experiment::verdict::Action;
use cursus_api::orchestrator::{PromotionPolicy, RequestApprovalRequest, approval, campaign};

use crate::peers::verdict;
use crate::world::{SPRING, World, reason};

/// A campaign whose test is sent.
async fn tested(policy: PromotionPolicy) -> World {
    let world = World::new().await;
    world.launch(|it| it.set_promotion_policy(policy)).await;
    world.until("launched", |it| !it.broadcast.is_empty()).await;
    world.all_sent(broadcast::State::Holding);
    world.reaches(campaign::State::AwaitingDecision).await;
    world
}

async fn finishes(world: &World) {
    world.reaches(campaign::State::Sending).await;
    world.all_sent(broadcast::State::Complete);
    world.reaches(campaign::State::Measuring).await;
    world.ambient.advance(Duration::from_mins(2));
    world.reaches(campaign::State::Complete).await;
}

#[tokio::test]
async fn a_significant_winner_goes_to_the_remainder_under_the_launch_approval() {
    let world = tested(PromotionPolicy::SignificantWinner).await;
    world.peers.script().verdict = verdict(Action::Promote, "b", true);
    finishes(&world).await;
    let script = world.peers.script();
    assert_eq!(script.broadcast.as_ref().unwrap().released_arm, "b");
    for method in ["CloseExposure", "DecideExperiment", "ReleaseBroadcast"] {
        assert_eq!(script.count(method), 1, "{method}");
    }
}

#[tokio::test]
async fn lost_answers_after_the_test_repeat_nothing() {
    let world = tested(PromotionPolicy::SignificantWinner).await;
    {
        let mut script = world.peers.script();
        script.lost_answers = vec!["DecideExperiment", "ReleaseBroadcast"];
        script.verdict = verdict(Action::Promote, "b", true);
    }
    finishes(&world).await;
    let script = world.peers.script();
    assert_eq!((script.count("DecideExperiment"), script.count("ReleaseBroadcast")), (1, 1));
}

#[tokio::test]
async fn without_that_permission_the_orchestrator_asks_for_one() {
    let world = tested(PromotionPolicy::Ask).await;
    world.peers.script().verdict = verdict(Action::PromoteNotSignificant, "a", true);
    let campaign = world.until("asked", |it| !it.promotion_approval.is_empty()).await;
    let asked = world.approval(&campaign.promotion_approval).await;
    assert_eq!((asked.proposer.as_str(), asked.arm.as_str()), ("orchestrator", "a"));
    assert_eq!(world.peers.script().count("ReleaseBroadcast"), 0);
    world.approve("grace", &asked).await.unwrap();
    finishes(&world).await;
    assert_eq!(world.peers.script().broadcast.as_ref().unwrap().released_arm, "a");
}

#[tokio::test]
async fn a_verdict_that_changes_after_the_approval_makes_it_void() {
    let world = tested(PromotionPolicy::Ask).await;
    world.peers.script().verdict = verdict(Action::PromoteNotSignificant, "a", true);
    let campaign = world.until("asked", |it| !it.promotion_approval.is_empty()).await;
    let asked = world.approval(&campaign.promotion_approval).await;
    world.peers.script().verdict = verdict(Action::Promote, "b", true);
    world.approve("grace", &asked).await.unwrap();
    let again =
        world.until("asked again", |it| it.promotion_approval != campaign.promotion_approval).await;
    assert_eq!(world.approval(&asked.name).await.state(), approval::State::Void);
    assert_eq!(world.approval(&again.promotion_approval).await.arm, "b");
    assert_eq!(world.peers.script().count("ReleaseBroadcast"), 0);
}

#[tokio::test]
async fn an_inconclusive_test_waits_for_a_person_to_choose() {
    let world = tested(PromotionPolicy::SignificantWinner).await;
    world.peers.script().verdict = verdict(Action::Hold, "", true);
    let campaign = world.until("held", |it| it.state_reason.contains("must choose")).await;
    assert!(campaign.promotion_approval.is_empty());
    let mut request = RequestApprovalRequest {
        campaign: SPRING.to_owned(),
        action: approval::Action::Promote.into(),
        ..RequestApprovalRequest::default()
    };
    let refused = world.client("ada").request_approval(request.clone()).await.unwrap_err();
    assert_eq!(cursus_fault::value(&refused, "field").as_deref(), Some("arm"));
    request.arm = "c".to_owned();
    let refused = world.client("ada").request_approval(request.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
    request.arm = "b".to_owned();
    let asked = world.client("ada").request_approval(request).await.unwrap().into_inner();
    world.approve("grace", &asked).await.unwrap();
    finishes(&world).await;
    assert_eq!(world.peers.script().broadcast.as_ref().unwrap().released_arm, "b");
}

#[tokio::test]
async fn where_nothing_is_held_nothing_needs_to_be_allowed() {
    let world = World::new().await;
    world.peers.script().held = 0;
    world.launch(|it| it.set_promotion_policy(PromotionPolicy::Ask)).await;
    world.until("launched", |it| !it.broadcast.is_empty()).await;
    world.all_sent(broadcast::State::Complete);
    world.peers.script().verdict = verdict(Action::Promote, "a", true);
    world.reaches(campaign::State::Measuring).await;
    let script = world.peers.script();
    assert_eq!((script.count("DecideExperiment"), script.count("ReleaseBroadcast")), (1, 0));
}

#[tokio::test]
async fn a_campaign_of_one_variant_is_sent_and_measured_without_a_test() {
    let world = World::new().await;
    world.peers.script().arms = vec!["only"];
    world
        .launch(|it| {
            it.experiment.clear();
            it.variants.truncate(1);
            "only".clone_into(&mut it.variants[0].arm);
        })
        .await;
    let campaign = world.until("launched", |it| !it.broadcast.is_empty()).await;
    assert_eq!(campaign.state(), campaign::State::Sending);
    finishes(&world).await;
    assert_eq!(world.peers.script().count("CreateExperiment"), 1);
}
