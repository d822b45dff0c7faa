//! Following outcomes, and the small methods around senders and lists.

use cursus_api::delivery::{
    CreateSenderRequest, GetSenderRequest, ListBroadcastsRequest, ListMessagesRequest,
    ListSendersRequest, Sender, WatchOutcomesRequest, broadcast::State, message,
};
use cursus_testkit::sink::Sink;
use tonic::Code;

use crate::world::{SPRING, World, answered, create, reason};

#[tokio::test]
async fn a_watcher_goes_on_from_its_cursor_and_the_stream_ends_with_the_service() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["out0", "out1", "out2"].map(str::to_owned));
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Complete).await;
    let watch = |parent: &str, cursor: &str| WatchOutcomesRequest {
        parent: parent.to_owned(),
        cursor: cursor.to_owned(),
    };
    let mut client = service.client("orchestrator");
    let mut stream = answered(client.watch_outcomes(watch("workspaces/acme", ""))).await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.outcomes.len(), 3);

    let mut stream =
        answered(client.watch_outcomes(watch("workspaces/-", &first.cursor))).await.unwrap();
    let mut request = crate::world::create_request();
    request.broadcast_id = "summer".to_owned();
    answered(client.create_broadcast(request)).await.unwrap();
    let next = stream.message().await.unwrap().unwrap();
    assert!(next.outcomes.iter().all(|it| it.message.contains("/broadcasts/summer/")));
    service.stop().await;
    while let Ok(Some(_)) = stream.message().await {}
}

#[tokio::test]
async fn only_a_service_watches_and_only_one_of_all_workspaces_watches_them_all() {
    let world = World::new(Sink::start().await.unwrap()).await;
    let service = world.start().await;
    let watch = |cursor: &str| WatchOutcomesRequest {
        parent: "workspaces/-".to_owned(),
        cursor: cursor.to_owned(),
    };
    for (who, expected) in [("root", "ROLE_REQUIRED"), ("acme-service", "NOT_IN_WORKSPACE")] {
        let refused = answered(service.client(who).watch_outcomes(watch(""))).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    let garbage = service.client("orchestrator").watch_outcomes(watch("garbage")).await;
    let refused = garbage.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "MALFORMED_CURSOR")
    );
}

#[tokio::test]
async fn senders_are_declared_once_and_listed_in_pages() {
    let world = World::new(Sink::start().await.unwrap()).await;
    let service = world.start().await;
    let request = |id: &str, address: &str| CreateSenderRequest {
        parent: "workspaces/acme".to_owned(),
        sender_id: id.to_owned(),
        sender: Some(Sender {
            display_name: "Acme".to_owned(),
            address: address.to_owned(),
            ..Sender::default()
        }),
        request_id: String::new(),
    };
    let mut root = service.client("root");
    for id in ["c", "a", "b"] {
        answered(root.create_sender(request(id, "news@acme.example"))).await.unwrap();
    }
    let again = answered(root.create_sender(request("a", "news@acme.example"))).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let refused = answered(root.create_sender(request("d", "x\r\n@y.example"))).await.unwrap_err();
    assert_eq!(cursus_fault::value(&refused, "field").as_deref(), Some("sender.address"));
    let refused = service.client("grace").create_sender(request("d", "a@b.example")).await;
    assert_eq!(reason(&refused.unwrap_err()), "ROLE_REQUIRED");

    let mut edith = service.client("edith");
    let list = |page_size, page_token: &str| ListSendersRequest {
        parent: "workspaces/acme".to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let first = answered(edith.list_senders(list(2, ""))).await.unwrap();
    let second = answered(edith.list_senders(list(2, &first.next_page_token))).await.unwrap();
    let names: Vec<_> =
        first.senders.iter().chain(&second.senders).map(|it| it.name.as_str()).collect();
    let expected = ["a", "b", "c"].map(|id| format!("workspaces/acme/senders/{id}"));
    assert_eq!(names, expected);
    assert_eq!(second.next_page_token, "");
    for (size, token) in [(-1, ""), (2, "!")] {
        let refused = answered(edith.list_senders(list(size, token))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let missing = GetSenderRequest { name: "workspaces/acme/senders/z".to_owned() };
    let missing = answered(edith.get_sender(missing)).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "NOT_FOUND"));
}

#[tokio::test]
async fn messages_are_listed_in_pages_by_state_or_all() {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0", "t1", "held0", "held1", "out0"].map(str::to_owned));
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Holding).await;
    let mut edith = service.client("edith");
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let parent = SPRING.to_owned();
        let request = ListMessagesRequest { parent, state: 0, page_size: 2, page_token };
        let page = answered(edith.list_messages(request)).await.unwrap();
        names.extend(page.messages.into_iter().map(|it| it.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names.len(), 5);
    assert!(names.is_sorted_by(|a, b| a < b), "in ledger order, each once");
    assert_eq!(service.contacts(message::State::Held).await, ["held0", "held1"]);
    let parent = "workspaces/acme".to_owned();
    let request = ListBroadcastsRequest { parent, ..ListBroadcastsRequest::default() };
    let listed = answered(edith.list_broadcasts(request)).await.unwrap().broadcasts;
    assert_eq!(
        (listed.len(), listed[0].state(), listed[0].ledger.is_none()),
        (1, State::Holding, true)
    );
}
