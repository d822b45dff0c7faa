//! Who must not be written to is not, at whichever moment that became known.

use cursus_api::delivery::suppression::Reason;
use cursus_api::delivery::{
    CreateSuppressionRequest, GetSuppressionRequest, ListSuppressionsRequest,
    PauseBroadcastRequest, ResumeBroadcastRequest, Suppression, broadcast::State,
};
use cursus_testkit::sink::Sink;
use tonic::Code;

use crate::world::{SPRING, Service, World, answered, assert_balanced, counts, create, until};

async fn suppress(service: &Service, address: &str, reason: Reason) -> Suppression {
    let suppression = Suppression {
        address: address.to_owned(),
        reason: reason.into(),
        ..Suppression::default()
    };
    let request = CreateSuppressionRequest {
        parent: "workspaces/acme".to_owned(),
        suppression: Some(suppression),
        request_id: String::new(),
    };
    answered(service.client("grace").create_suppression(request)).await.unwrap()
}

#[tokio::test]
async fn a_suppressed_address_is_passed_over_when_it_is_planned() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0", "t1", "out0", "held0"].map(str::to_owned));
    let service = world.start_with_sender().await;
    for address in ["T0@example.com", "out0@example.com", "held0@EXAMPLE.com"] {
        suppress(&service, address, Reason::Complaint).await;
    }
    create(&service).await;
    let broadcast = service.reaches(State::Complete).await;
    assert_balanced(&broadcast);
    let ledger = broadcast.ledger.unwrap();
    assert_eq!(ledger.suppressed_counts, counts(&[("COMPLAINT", 3)]));
    assert_eq!((ledger.holdout_count, ledger.held_count), (0, 0));
    let reached: Vec<_> = world.sink.deliveries_by_recipient().into_keys().collect();
    assert_eq!(reached, ["t1@example.com"]);
}

#[tokio::test]
async fn a_suppression_between_planning_and_leasing_blocks() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience((0..10).map(|n| format!("t{n}")));
    world.peers.script().content_is_down = true;
    let service = world.start_with_sender().await;
    create(&service).await;
    let name = SPRING.to_owned();
    let pause = PauseBroadcastRequest { name: name.clone(), ..PauseBroadcastRequest::default() };
    answered(service.client("grace").pause_broadcast(pause)).await.unwrap();
    until("planned", async || {
        let queued = service.contacts(cursus_api::delivery::message::State::Queued).await.len();
        if queued == 10 { Ok(()) } else { Err(queued.to_string()) }
    })
    .await;
    suppress(&service, "t3@example.com", Reason::Unsubscribed).await;
    world.peers.script().content_is_down = false;
    let resume = ResumeBroadcastRequest { name, ..ResumeBroadcastRequest::default() };
    answered(service.client("grace").resume_broadcast(resume)).await.unwrap();
    let broadcast = service.reaches(State::Complete).await;
    assert_balanced(&broadcast);
    let ledger = broadcast.ledger.unwrap();
    assert_eq!(ledger.suppressed_counts, counts(&[("UNSUBSCRIBED", 1)]));
    assert_eq!(ledger.accepted_count, 9);
    assert!(!world.sink.deliveries_by_recipient().contains_key("t3@example.com"));
}

#[tokio::test]
async fn a_suppression_is_known_by_its_address_and_never_tells_it() {
    let world = World::new(Sink::start().await.unwrap()).await;
    let service = world.start().await;
    let manual = suppress(&service, "ada@example.com", Reason::Manual).await;
    assert_eq!(manual.address, "");
    let strongest = suppress(&service, "ADA@example.com", Reason::Complaint).await;
    assert_eq!(
        (strongest.name.as_str(), strongest.reason()),
        (manual.name.as_str(), Reason::Complaint)
    );
    suppress(&service, "bob@example.com", Reason::HardBounce).await;
    let mut client = service.client("edith");
    let get = |address: &str| GetSuppressionRequest {
        parent: "workspaces/acme".to_owned(),
        address: address.to_owned(),
    };
    let found = answered(client.get_suppression(get(" ada@example.com"))).await.unwrap();
    assert_eq!(found.reason(), Reason::Complaint);
    let missing = answered(client.get_suppression(get("eve@example.com"))).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let refused = answered(client.get_suppression(get("nobody"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let parent = "workspaces/acme".to_owned();
        let request = ListSuppressionsRequest { parent, page_size: 1, page_token };
        let page = answered(client.list_suppressions(request)).await.unwrap();
        listed.extend(page.suppressions.into_iter().map(|it| it.reason()));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [Reason::HardBounce, Reason::Complaint], "each address once, newest first");
}
