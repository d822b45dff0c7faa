//! Nothing is sent that was not approved.

use cursus_api::delivery::{GetBroadcastRequest, ReleaseBroadcastRequest, broadcast::State};
use cursus_api::orchestrator::PromotionPolicy;
use cursus_api::orchestrator::approval::{Action, State as ApprovalState};
use cursus_testkit::sink::Sink;
use tonic::Code;

use crate::peers::{LAUNCH, PROMOTE, launch, promote};
use crate::world::{SPRING, Service, World, answered, create, create_request, reason};

async fn world() -> (World, Service) {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0", "held0", "held1", "out0"].map(str::to_owned));
    let service = world.start_with_sender().await;
    (world, service)
}

fn release(arm: &str, approval: &str) -> ReleaseBroadcastRequest {
    ReleaseBroadcastRequest {
        name: SPRING.to_owned(),
        arm: arm.to_owned(),
        approval: approval.to_owned(),
        request_id: String::new(),
    }
}

#[tokio::test]
async fn a_broadcast_without_a_valid_approval_is_refused_and_leaves_nothing() {
    let (world, service) = world().await;
    let mut client = service.client("orchestrator");
    for state in [
        ApprovalState::Pending,
        ApprovalState::Rejected,
        ApprovalState::Void,
        ApprovalState::Expired,
    ] {
        let mut approval = launch();
        approval.set_state(state);
        world.peers.script().approvals.insert(LAUNCH.to_owned(), approval);
        let refused = answered(client.create_broadcast(create_request())).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "APPROVAL_REQUIRED")
        );
    }
    world.peers.script().approvals.clear();
    let refused = answered(client.create_broadcast(create_request())).await.unwrap_err();
    assert_eq!(reason(&refused), "APPROVAL_REQUIRED");
    let missing = client.get_broadcast(GetBroadcastRequest { name: SPRING.to_owned() }).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_broadcast_that_differs_from_what_was_approved_is_refused() {
    let (world, service) = world().await;
    let mut other_digest = launch();
    other_digest.digest = vec![8; 32];
    let mut other_action = launch();
    other_action.set_action(Action::Promote);
    other_action.arm = "a".to_owned();
    let mut other_sender = launch();
    other_sender.summary.as_mut().unwrap().sender = "Evil <evil@example.com>".to_owned();
    let mut other_version = launch();
    other_version.summary.as_mut().unwrap().variants[1].template_version =
        "workspaces/acme/templates/spring/versions/9".to_owned();
    for approval in [other_digest, other_action, other_sender, other_version] {
        world.peers.script().approvals.insert(LAUNCH.to_owned(), approval);
        let creating = service.client("orchestrator").create_broadcast(create_request()).await;
        let refused = creating.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused), "APPROVAL_MISMATCH");
    }
}

#[tokio::test]
async fn the_remainder_is_released_under_an_approval_of_its_own() {
    let (world, service) = world().await;
    create(&service).await;
    service.reaches(State::Holding).await;
    let mut client = service.client("orchestrator");
    let refused = answered(client.release_broadcast(release("b", ""))).await.unwrap_err();
    assert_eq!(reason(&refused), "APPROVAL_REQUIRED");
    let refused = answered(client.release_broadcast(release("a", PROMOTE))).await.unwrap_err();
    assert_eq!(reason(&refused), "APPROVAL_MISMATCH");
    let refused = answered(client.release_broadcast(release("z", PROMOTE))).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
    let mut elsewhere = promote();
    elsewhere.campaign = "workspaces/acme/campaigns/other".to_owned();
    world.peers.script().approvals.insert(PROMOTE.to_owned(), elsewhere);
    let refused = answered(client.release_broadcast(release("b", PROMOTE))).await.unwrap_err();
    assert_eq!(reason(&refused), "APPROVAL_MISMATCH");
    world.peers.script().approvals.insert(PROMOTE.to_owned(), promote());

    let released = answered(client.release_broadcast(release("b", PROMOTE))).await.unwrap();
    assert_eq!((released.released_arm.as_str(), released.idle_time), ("b", None));
    let complete = service.reaches(State::Complete).await;
    assert_eq!(complete.ledger.unwrap().accepted_count, 3);
    let outcomes = service.outcomes(4).await;
    let released: Vec<_> =
        outcomes.iter().filter(|it| it.released).map(|it| it.arm.as_str()).collect();
    assert_eq!(released, ["b", "b"]);
    assert!(!world.sink.deliveries_by_recipient().contains_key("out0@example.com"));

    let again = answered(client.release_broadcast(release("b", PROMOTE))).await.unwrap();
    assert_eq!(again.released_arm, "b");
    assert_eq!(world.sink.count(), 3);
}

#[tokio::test]
async fn a_significant_winner_may_be_released_if_the_launch_allowed_it() {
    let (world, service) = world().await;
    let mut approval = launch();
    approval.summary.as_mut().unwrap().set_promotion_policy(PromotionPolicy::SignificantWinner);
    world.peers.script().approvals.insert(LAUNCH.to_owned(), approval);
    create(&service).await;
    service.reaches(State::Holding).await;
    let mut client = service.client("orchestrator");
    answered(client.release_broadcast(release("a", ""))).await.unwrap();
    service.reaches(State::Complete).await;
    assert_eq!(world.sink.count(), 3);
    let refused = answered(client.release_broadcast(release("b", PROMOTE))).await.unwrap_err();
    assert_eq!(reason(&refused), "ALREADY_RELEASED");
}

#[tokio::test]
async fn a_request_sent_again_gets_the_first_answer_even_if_the_approval_is_void_by_then() {
    let (world, service) = world().await;
    let mut request = create_request();
    request.request_id = "0190aaaa-0000-7000-8000-000000000001".to_owned();
    let mut client = service.client("orchestrator");
    let first = answered(client.create_broadcast(request.clone())).await.unwrap();
    world.peers.script().approvals.clear();
    assert_eq!(answered(client.create_broadcast(request.clone())).await.unwrap(), first);
    request.broadcast_id = "other".to_owned();
    let refused = answered(client.create_broadcast(request)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    world.peers.script().approvals.insert(LAUNCH.to_owned(), launch());
    let refused = answered(client.create_broadcast(create_request())).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn only_a_service_creates_broadcasts_and_only_in_its_workspaces() {
    let (_world, service) = world().await;
    let creating = service.client("grace").create_broadcast(create_request()).await;
    assert_eq!(reason(&creating.unwrap_err()), "ROLE_REQUIRED");
    let mut request = create_request();
    request.parent = "workspaces/other".to_owned();
    let creating = service.client("orchestrator").create_broadcast(request).await;
    assert_eq!(creating.unwrap_err().code(), Code::InvalidArgument);
    let get = GetBroadcastRequest { name: SPRING.to_owned() };
    let refused = answered(service.client("mallory").get_broadcast(get)).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_IN_WORKSPACE");
}
