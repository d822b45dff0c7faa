//! Segments: rules that make no sense are refused, changes are revisions, and a preview writes nothing.

use cursus_api::segmentation as proto;
use cursus_api::segmentation::{AttributeKind, Operator};
use tonic::Code;

use crate::rules::{all, compare, did, has, is};
use crate::world::{Replica, World, id_of, number, refused, text};

async fn with_attributes(world: &World) -> Replica {
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text), ("spend", AttributeKind::Number)]).await;
    replica
}

fn update(name: String, rule: Option<proto::Rule>, paths: &[&str]) -> proto::UpdateSegmentRequest {
    proto::UpdateSegmentRequest {
        segment: Some(proto::Segment { name, rule, ..proto::Segment::default() }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        }),
        request_id: String::new(),
    }
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused_with_its_path_and_the_closest_name() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    let check = async |rule, field: &str| {
        let outcome = replica.create_segment("bad", rule).await;
        refused(outcome, Code::InvalidArgument, "INVALID_RULE", field)
    };
    let misspelt = all(vec![has("email"), is("plna", text("pro"))]);
    let status = check(misspelt, "rule.all[1].attribute").await;
    assert_eq!(cursus_fault::value(&status, "closest").as_deref(), Some("plan"));
    check(compare("spend", Operator::Less, text("x")), "rule.value").await;
    check(proto::Rule { kind: None }, "rule").await;
    check(did("login", Some(-1), 1), "rule.from").await;
    let outcome = replica.segment("bad").await;
    refused(outcome, Code::NotFound, "NO_SUCH_SEGMENT", "");
}

#[tokio::test]
async fn events_need_not_have_happened_to_be_asked_for() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    let segment = replica.ready_segment("buyers", did("never.seen", Some(30), 2)).await;
    assert_eq!(segment.member_count, 0);
    assert!(segment.rule_text.contains("never.seen"), "{}", segment.rule_text);
}

#[tokio::test]
async fn a_changed_rule_is_a_new_revision_and_a_changed_name_is_not() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    let contacts = vec![
        replica.contact("ana", &[("plan", text("pro"))]),
        replica.contact("ben", &[("plan", text("free"))]),
        replica.contact("cat", &[("plan", text("free"))]),
    ];
    replica.write(contacts).await.unwrap();
    let first = replica.ready_segment("plan", is("plan", text("pro"))).await;
    assert_eq!((first.revision, first.member_count), (1, 1));

    let mut client = replica.client();
    let mut rename = update(first.name.clone(), None, &["display_name"]);
    rename.segment.as_mut().unwrap().display_name = "Plan".to_owned();
    let renamed = client.update_segment(rename).await.unwrap().into_inner();
    assert_eq!((renamed.revision, renamed.display_name.as_str()), (1, "Plan"));
    assert_ne!(renamed.etag, first.etag);

    let same = update(first.name.clone(), Some(is("plan", text("pro"))), &["rule"]);
    assert_eq!(client.update_segment(same).await.unwrap().into_inner().revision, 1);
    let other = update(first.name.clone(), Some(is("plan", text("free"))), &["rule"]);
    let changed = client.update_segment(other).await.unwrap().into_inner();
    assert_eq!((changed.revision, changed.display_name.as_str()), (2, "Plan"));
    assert_eq!(replica.ready("plan").await.member_count, 2);
    replica.until_members("plan", &["ana", "ben", "cat"], &[false, true, true]).await;
    assert_eq!(replica.check("plan", &["ana"]).await.unwrap().revision, 2);
}

#[tokio::test]
async fn what_has_changed_since_it_was_read_is_not_overwritten() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    let segment = replica.create_segment("plan", has("plan")).await.unwrap();
    let change = |etag: &str, field: Option<proto::Rule>, paths: &[&str]| {
        let mut request = update(segment.name.clone(), field, paths);
        request.segment.as_mut().unwrap().etag = etag.to_owned();
        request
    };
    let mut client = replica.client();
    let fresh = change(&segment.etag, Some(has("email")), &["rule"]);
    client.update_segment(fresh.clone()).await.unwrap();
    refused(client.update_segment(fresh).await, Code::Aborted, "STALE_ETAG", "");
    let unknown = change("", None, &["colour"]);
    let outcome = client.update_segment(unknown).await;
    refused(outcome, Code::InvalidArgument, "INVALID_FIELD", "update_mask");
}

#[tokio::test]
async fn a_deleted_segment_is_gone_and_its_id_goes_on_with_the_next_revision() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica.ready_segment("all", has("email")).await;
    replica.until_members("all", &["ana"], &[true]).await;
    let request = proto::DeleteSegmentRequest {
        name: replica.segment_name("all"),
        request_id: "6f0e4c52-7a9a-4f6e-8d15-0d4fd1c0a002".to_owned(),
    };
    let mut client = replica.client();
    client.delete_segment(request.clone()).await.unwrap();
    client.delete_segment(request.clone()).await.unwrap();
    let anew = proto::DeleteSegmentRequest { request_id: String::new(), ..request };
    refused(client.delete_segment(anew).await, Code::NotFound, "NO_SUCH_SEGMENT", "");
    refused(replica.segment("all").await, Code::NotFound, "NO_SUCH_SEGMENT", "");
    crate::world::until("nobody is told that it has members", async || {
        let outcome = replica.check("all", &["ana"]).await;
        outcome.is_err_and(|status| status.code() == Code::NotFound).then_some(())
    })
    .await;
    let again = replica.ready_segment("all", has("plan")).await;
    assert_eq!((again.revision, again.member_count), (2, 0));
    replica.until_members("all", &["ana"], &[false]).await;
}

#[tokio::test]
async fn segments_are_listed_by_id() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    for id in ["zebra", "apple", "mango"] {
        replica.create_segment(id, has("email")).await.unwrap();
    }
    let exists = replica.create_segment("apple", has("email")).await;
    refused(exists, Code::AlreadyExists, "SEGMENT_EXISTS", "");
    let mut ids = Vec::new();
    let mut page_token = String::new();
    for _ in 0..2 {
        let request =
            proto::ListSegmentsRequest { parent: world.parent(), page_size: 2, page_token };
        let page = replica.client().list_segments(request).await.unwrap().into_inner();
        ids.extend(page.segments.iter().map(|segment| id_of(&segment.name)));
        page_token = page.next_page_token;
    }
    assert_eq!(ids, ["apple", "mango", "zebra"]);
}

#[tokio::test]
async fn a_preview_says_what_each_clause_leaves_and_shows_some() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    let contacts = (0..10)
        .map(|n| {
            let plan = if n % 2 == 0 { "pro" } else { "free" };
            let attributes = [("plan", text(plan)), ("spend", number(f64::from(n)))];
            replica.contact(&format!("c{n}"), &attributes)
        })
        .collect();
    replica.write(contacts).await.unwrap();
    let rule =
        all(vec![is("plan", text("pro")), compare("spend", Operator::GreaterOrEqual, number(4.0))]);
    let request = proto::PreviewSegmentRequest {
        parent: world.parent(),
        rule: Some(rule),
        sample_size: 2,
        rule_text: String::new(),
    };
    let preview = replica.client().preview_segment(request).await.unwrap().into_inner();
    assert_eq!((preview.contact_count, preview.member_count), (10, 3));
    let left: Vec<_> = preview.clauses.iter().map(|clause| clause.remaining_count).collect();
    assert_eq!(left, [5, 3]);
    let sample: Vec<_> = preview.sample.iter().map(|contact| id_of(&contact.name)).collect();
    assert_eq!(sample, ["c4", "c6"]);
    let request = proto::ListSegmentsRequest { parent: world.parent(), ..Default::default() };
    let listed = replica.client().list_segments(request).await.unwrap().into_inner();
    assert!(listed.segments.is_empty());
}

#[tokio::test]
async fn a_preview_of_a_workspace_without_contacts_shows_its_clauses() {
    let world = World::new().await;
    let replica = with_attributes(&world).await;
    let rule = Some(all(vec![has("plan"), has("email")]));
    let request = proto::PreviewSegmentRequest {
        parent: world.parent(),
        rule,
        sample_size: 2,
        rule_text: String::new(),
    };
    let preview = replica.client().preview_segment(request).await.unwrap().into_inner();
    assert_eq!(preview.clauses.len(), 2);
    assert_eq!(preview.member_count, 0);
}
