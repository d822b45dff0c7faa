//! Snapshots: exact at their moment, immutable, and read page by page.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::segmentation as proto;
use cursus_api::segmentation::{AttributeKind, Operator};
use tonic::Code;

use crate::rules::{compare, did, has};
use crate::world::{Replica, World, id_of, noon, number, refused};

async fn with_spenders(world: &World) -> Replica {
    let replica = world.start().await;
    replica.declare(&[("spend", AttributeKind::Number)]).await;
    let contacts = (0..200)
        .map(|n| replica.contact(&format!("c{n:03}"), &[("spend", number(f64::from(n)))]))
        .collect();
    replica.write(contacts).await.unwrap();
    let at_least = |least| compare("spend", Operator::GreaterOrEqual, number(least));
    replica.create_segment("some", at_least(50.0)).await.unwrap();
    replica.create_segment("many", at_least(100.0)).await.unwrap();
    replica.create_segment("most", at_least(150.0)).await.unwrap();
    replica
}

fn request(
    replica: &Replica,
    parent: &str,
    (include, exclude, labels): (&[&str], &[&str], &[&str]),
) -> proto::CreateSnapshotRequest {
    let names = |ids: &[&str]| ids.iter().map(|id| replica.segment_name(id)).collect();
    proto::CreateSnapshotRequest {
        parent: parent.to_owned(),
        snapshot_id: "spring".to_owned(),
        snapshot: Some(proto::Snapshot {
            audience: Some(proto::Audience { include: names(include), exclude: names(exclude) }),
            labels: names(labels),
            ..proto::Snapshot::default()
        }),
        request_id: String::new(),
    }
}

async fn members(replica: &Replica, snapshot: &str, page_size: i32) -> Vec<proto::SnapshotMember> {
    let mut members = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListSnapshotMembersRequest {
            parent: snapshot.to_owned(),
            page_size,
            page_token,
        };
        let page = replica.client().list_snapshot_members(request).await.unwrap().into_inner();
        assert!(page.members.len() <= usize::try_from(page_size).unwrap());
        members.extend(page.members);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return members;
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_who_is_included_and_not_excluded_with_labels() {
    let world = World::new().await;
    let replica = with_spenders(&world).await;
    let asked =
        request(&replica, &world.parent(), (&["some", "many"], &["most"], &["many", "most"]));
    let snapshot = replica.client().create_snapshot(asked).await.unwrap().into_inner();
    assert_eq!((snapshot.member_count, snapshot.label_counts.as_slice()), (100, &[50, 0][..]));
    assert_eq!(snapshot.revisions, [1, 1, 1, 1, 1]);
    assert_eq!(snapshot.retention.unwrap().seconds, 90 * 86_400);
    let members = members(&replica, &snapshot.name, 7).await;
    let ids: Vec<_> = members.iter().map(|member| id_of(&member.contact)).collect();
    let expected: Vec<_> = (50..150).map(|n| format!("c{n:03}")).collect();
    assert_eq!(ids, expected);
    assert!(members.iter().all(|member| member.email.ends_with("@example.com")));
    let labelled = members.iter().filter(|member| member.labels == [0]).count();
    assert_eq!(labelled, 50);
}

#[tokio::test]
async fn a_snapshot_stays_when_contacts_segments_and_time_go_on() {
    let world = World::new().await;
    let replica = with_spenders(&world).await;
    let asked = request(&replica, &world.parent(), (&["most"], &[], &[]));
    let snapshot = replica.client().create_snapshot(asked).await.unwrap().into_inner();
    let mut moved = replica.contact("c199", &[("spend", number(0.0))]);
    moved.email = "new@example.com".to_owned();
    replica.write(vec![moved]).await.unwrap();
    let name = replica.segment_name("most");
    let delete = proto::DeleteSegmentRequest { name, request_id: String::new() };
    replica.client().delete_segment(delete).await.unwrap();
    world.ambient.advance(Duration::from_hours(24));
    let members = members(&replica, &snapshot.name, 1_000).await;
    assert_eq!(members.len(), 50);
    assert_eq!(members[49].email, "new@example.com", "the address is the one of now");
    let get = proto::GetSnapshotRequest { name: snapshot.name.clone() };
    assert_eq!(replica.client().get_snapshot(get).await.unwrap().into_inner(), snapshot);
}

#[tokio::test]
async fn a_snapshot_does_not_wait_for_the_background() {
    let world = World::new().await;
    let replica = with_spenders(&world).await;
    replica.create_segment("active", did("login", Some(1), 1)).await.unwrap();
    replica.ready("active").await;
    let mut tx = world.database.pool.begin().await.unwrap();
    // Nobody can write containers.
    sqlx::query("lock table containers in exclusive mode").execute(&mut *tx).await.unwrap();
    replica
        .record(vec![
            replica.event("1", "c001", "login", noon() - TimeDelta::hours(23)),
            replica.event("2", "c002", "login", noon()),
        ])
        .await
        .unwrap();
    world.ambient.advance(Duration::from_hours(1));
    let asked = request(&replica, &world.parent(), (&["active"], &[], &[]));
    let snapshot = replica.client().create_snapshot(asked).await.unwrap().into_inner();
    assert_eq!(snapshot.member_count, 1, "the window of c001 has closed");
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_is_the_same_snapshot() {
    let world = World::new().await;
    let replica = with_spenders(&world).await;
    let mut asked = request(&replica, &world.parent(), (&["most"], &[], &[]));
    asked.request_id = "6f0e4c52-7a9a-4f6e-8d15-0d4fd1c0a003".to_owned();
    let mut client = replica.client();
    let first = client.create_snapshot(asked.clone()).await.unwrap().into_inner();
    replica.write(vec![replica.contact("new", &[("spend", number(999.0))])]).await.unwrap();
    assert_eq!(client.create_snapshot(asked.clone()).await.unwrap().into_inner(), first);
    asked.request_id = String::new();
    let outcome = client.create_snapshot(asked).await;
    refused(outcome, Code::AlreadyExists, "SNAPSHOT_EXISTS", "");
}

#[tokio::test]
async fn an_audience_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let replica = with_spenders(&world).await;
    let check = async |audience, code, reason: &str, field: &str| {
        let asked = request(&replica, &world.parent(), audience);
        refused(replica.client().create_snapshot(asked).await, code, reason, field);
    };
    let invalid = Code::InvalidArgument;
    check((&[], &["some"], &[]), invalid, "INVALID_FIELD", "snapshot.audience.include").await;
    check((&["some"], &[], &["x", "x"]), invalid, "INVALID_FIELD", "snapshot.labels").await;
    check((&["some", "none"], &[], &[]), Code::NotFound, "NO_SUCH_SEGMENT", "").await;
    let parent = format!("{}/snapshots/none", world.parent());
    let list = proto::ListSnapshotMembersRequest { parent, ..Default::default() };
    let outcome = replica.client().list_snapshot_members(list).await;
    refused(outcome, Code::NotFound, "NO_SUCH_SNAPSHOT", "");
}

#[tokio::test]
async fn an_empty_audience_is_a_snapshot_of_nobody() {
    let world = World::new().await;
    let replica = with_spenders(&world).await;
    replica.create_segment("nobody", crate::rules::not(has("email"))).await.unwrap();
    let asked = request(&replica, &world.parent(), (&["nobody"], &[], &["some"]));
    let snapshot = replica.client().create_snapshot(asked).await.unwrap().into_inner();
    assert_eq!((snapshot.member_count, snapshot.label_counts.as_slice()), (0, &[0][..]));
    assert!(members(&replica, &snapshot.name, 10).await.is_empty());
}
