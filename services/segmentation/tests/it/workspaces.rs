//! Workspaces do not see each other.

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use tonic::Code;

use crate::rules::has;
use crate::world::{World, refused, text};

#[tokio::test]
async fn the_token_of_another_workspace_opens_nothing() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica.create_segment("all", has("email")).await.unwrap();
    let mut mallory = replica.client_of("mallory");
    let segment = replica.segment_name("all");
    let contact = replica.contact_name("ana");
    let denied = |outcome: Result<(), tonic::Status>| {
        refused(outcome, Code::PermissionDenied, "NOT_IN_WORKSPACE", "");
    };
    let get = proto::GetContactRequest { name: contact.clone() };
    denied(mallory.get_contact(get).await.map(|_| ()));
    let get = proto::GetSegmentRequest { name: segment.clone() };
    denied(mallory.get_segment(get).await.map(|_| ()));
    let check = proto::CheckMembershipRequest { segment: segment.clone(), contacts: vec![contact] };
    denied(mallory.check_membership(check).await.map(|_| ()));
    let list = proto::ListContactsRequest { parent: world.parent(), ..Default::default() };
    denied(mallory.list_contacts(list).await.map(|_| ()));
    let part = proto::ImportContactsRequest { parent: world.parent(), contacts: Vec::new() };
    denied(mallory.import_contacts(tokio_stream::iter([part])).await.map(|_| ()));
    let delete = proto::DeleteSegmentRequest { name: segment, request_id: String::new() };
    denied(mallory.delete_segment(delete).await.map(|_| ()));
    let snapshot = proto::CreateSnapshotRequest {
        parent: world.parent(),
        snapshot_id: "s".to_owned(),
        ..Default::default()
    };
    denied(mallory.create_snapshot(snapshot).await.map(|_| ()));
}

#[tokio::test]
async fn a_segment_of_another_workspace_is_no_part_of_an_audience() {
    let world = World::new().await;
    let replica = world.start().await;
    let snapshot = proto::CreateSnapshotRequest {
        parent: world.parent(),
        snapshot_id: "s".to_owned(),
        snapshot: Some(proto::Snapshot {
            audience: Some(proto::Audience {
                include: vec!["workspaces/elsewhere/segments/all".to_owned()],
                exclude: Vec::new(),
            }),
            ..proto::Snapshot::default()
        }),
        request_id: String::new(),
    };
    let outcome = replica.client().create_snapshot(snapshot).await;
    refused(outcome, Code::InvalidArgument, "INVALID_FIELD", "snapshot.audience.include[0]");
}

#[tokio::test]
async fn a_viewer_reads_and_does_not_write() {
    let world = World::new().await;
    let replica = world.start().await;
    let mut edith = replica.client_of("edith");
    let list = proto::ListSegmentsRequest { parent: world.parent(), ..Default::default() };
    edith.list_segments(list).await.unwrap();
    let write = proto::UpdateContactRequest { contact: Some(replica.contact("ana", &[])) };
    let outcome = edith.update_contact(write).await;
    refused(outcome, Code::PermissionDenied, "ROLE_REQUIRED", "");
}

#[tokio::test]
async fn the_same_ids_in_two_workspaces_do_not_mix() {
    let world = World::new().await;
    let replica = world.start().await;
    // `delivery` may enter both.
    let mut client = replica.client_of("delivery");
    let other = format!("{}-other", world.workspace);
    for (workspace, plan) in [(world.workspace.as_str(), "pro"), (other.as_str(), "free")] {
        let parent = format!("workspaces/{workspace}");
        let attribute = proto::Attribute { kind: AttributeKind::Text.into(), ..Default::default() };
        let create = proto::CreateAttributeRequest {
            parent: parent.clone(),
            attribute_id: "plan".to_owned(),
            attribute: Some(attribute),
            request_id: String::new(),
        };
        client.create_attribute(create).await.unwrap();
        let contact = proto::Contact {
            name: format!("{parent}/contacts/ana"),
            attributes: [("plan".to_owned(), text(plan))].into(),
            ..Default::default()
        };
        let write = proto::UpdateContactRequest { contact: Some(contact) };
        client.update_contact(write).await.unwrap();
        let segment = proto::CreateSegmentRequest {
            parent,
            segment_id: "pros".to_owned(),
            segment: Some(proto::Segment {
                rule: Some(crate::rules::is("plan", text("pro"))),
                ..Default::default()
            }),
            request_id: String::new(),
        };
        client.create_segment(segment).await.unwrap();
    }
    for (workspace, expected) in [(world.workspace.as_str(), true), (other.as_str(), false)] {
        let check = proto::CheckMembershipRequest {
            segment: format!("workspaces/{workspace}/segments/pros"),
            contacts: vec![format!("workspaces/{workspace}/contacts/ana")],
        };
        let members = crate::world::until("the segment is ready", async || {
            let checked = client.clone().check_membership(check.clone()).await.ok()?;
            Some(checked.into_inner().members)
        })
        .await;
        assert_eq!(members, [expected], "{workspace}");
    }
}
