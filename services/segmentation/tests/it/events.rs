//! Events: recorded once, refused with a reason, and told to those who watch.

use std::time::Duration;

use cursus_api::segmentation as proto;
use tonic::Code;

use crate::world::{Replica, World, noon, refused, text, texts};

async fn with_ana(world: &World) -> Replica {
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica
}

fn watch(parent: &str, cursor: &str) -> proto::WatchEventsRequest {
    proto::WatchEventsRequest { parent: parent.to_owned(), cursor: cursor.to_owned() }
}

#[tokio::test]
async fn an_event_is_recorded_once_even_when_told_with_another_time() {
    let world = World::new().await;
    let replica = with_ana(&world).await;
    let record = async |days: i64| {
        let time = noon() - chrono::TimeDelta::days(days);
        let event = Some(replica.event("e1", "ana", "login", time));
        let request = proto::RecordEventRequest { parent: world.parent(), event };
        replica.client().record_event(request).await.unwrap().into_inner().duplicate
    };
    assert!(!record(1).await);
    assert!(record(1).await);
    assert!(record(400).await, "in another partition, too");
    let batch = ["e1", "e2", "e2"].map(|id| replica.event(id, "ana", "login", noon())).to_vec();
    let recorded = replica.record(batch).await.unwrap();
    assert_eq!((recorded.recorded_count, recorded.duplicate_count), (1, 2));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_and_takes_its_batch_along() {
    let world = World::new().await;
    let replica = with_ana(&world).await;
    let good = || replica.event("good", "ana", "login", noon());
    let check = async |event: proto::Event, reason: &str, field: &str| {
        let outcome = replica.record(vec![good(), event]).await;
        let status = refused(outcome, Code::InvalidArgument, reason, field);
        assert_eq!(cursus_fault::value(&status, "row").as_deref(), Some("1"));
    };
    check(
        replica.event("1", "ana", "email.opened", noon()),
        "RESERVED_EVENT_NAME",
        "event.event_name",
    )
    .await;
    check(replica.event("1", "bob", "login", noon()), "UNKNOWN_CONTACT", "event.contact").await;
    check(replica.event("", "ana", "login", noon()), "INVALID_FIELD", "event.event_id").await;
    let mut timeless = good();
    timeless.event_time = None;
    check(timeless, "INVALID_FIELD", "event.event_time").await;
    let mut tagged = good();
    tagged.properties.insert("tags".to_owned(), texts(&["a"]));
    check(tagged, "WRONG_KIND", "event.properties[tags]").await;
    assert_eq!(replica.record(vec![good()]).await.unwrap().recorded_count, 1);
}

#[tokio::test]
async fn an_import_of_events_keeps_good_rows() {
    let world = World::new().await;
    let replica = with_ana(&world).await;
    let part = |events| proto::ImportEventsRequest { parent: world.parent(), events };
    let parts = vec![
        part(vec![
            replica.event("1", "ana", "login", noon()),
            replica.event("2", "bob", "login", noon()),
        ]),
        part(vec![
            replica.event("3", "ana", "email.sent", noon()),
            replica.event("1", "ana", "login", noon()),
            replica.event("4", "ana", "login", noon()),
        ]),
    ];
    let imported =
        replica.client().import_events(tokio_stream::iter(parts)).await.unwrap().into_inner();
    assert_eq!((imported.recorded_count, imported.duplicate_count), (2, 1));
    let refusals: Vec<_> =
        imported.refusals.iter().map(|it| (it.row, it.reason.as_str())).collect();
    assert_eq!(refusals, [(1, "UNKNOWN_CONTACT"), (2, "RESERVED_EVENT_NAME")]);
}

#[tokio::test]
async fn parts_of_an_import_are_for_one_workspace() {
    let world = World::new().await;
    let replica = with_ana(&world).await;
    let part = |parent: &str| proto::ImportEventsRequest {
        parent: parent.to_owned(),
        events: vec![replica.event("1", "ana", "login", noon())],
    };
    let parts = vec![part(&world.parent()), part("workspaces/elsewhere")];
    let outcome = replica.client().import_events(tokio_stream::iter(parts)).await;
    refused(outcome, Code::InvalidArgument, "INVALID_FIELD", "parent");
}

#[tokio::test]
async fn those_who_watch_see_each_event_once_in_order_and_go_on_from_a_cursor() {
    let world = World::new().await;
    let replica = with_ana(&world).await;
    let mut first = replica.event("1", "ana", "login", noon());
    first.properties.insert("device".to_owned(), text("phone"));
    replica.record(vec![first.clone()]).await.unwrap();
    let mut watcher = replica.client_of("delivery");
    let mut stream = watcher.watch_events(watch(&world.parent(), "")).await.unwrap().into_inner();
    let run = stream.message().await.unwrap().unwrap();
    assert_eq!(run.events, [first]);
    drop(stream);

    let rest: Vec<_> =
        (2..5).map(|n| replica.event(&n.to_string(), "ana", "login", noon())).collect();
    replica.record(rest.clone()).await.unwrap();
    // A duplicate is no event.
    replica.record(vec![rest[0].clone()]).await.unwrap();
    let mut stream =
        watcher.watch_events(watch("workspaces/-", &run.cursor)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(stream.message().await.unwrap().unwrap().events);
    }
    assert_eq!(seen, rest);
    let more = tokio::time::timeout(Duration::from_millis(300), stream.message()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn only_services_watch_and_only_those_of_all_workspaces_watch_all() {
    let world = World::new().await;
    let replica = with_ana(&world).await;
    let outcome = replica.client().watch_events(watch(&world.parent(), "")).await.map(|_| ());
    refused(outcome, Code::PermissionDenied, "ROLE_REQUIRED", "");
    let mut watcher = replica.client_of("delivery");
    let outcome = watcher.watch_events(watch("workspaces/-", "garbage")).await.map(|_| ());
    refused(outcome, Code::InvalidArgument, "MALFORMED_CURSOR", "");
}
