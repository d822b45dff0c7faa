//! Attributes and contacts: what is written is read, and what is wrong is refused with its row and field.

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use tonic::Code;

use crate::world::{World, flag, id_of, noon, nothing, number, refused, text, texts, time};

const PLAN: (&str, AttributeKind) = ("plan", AttributeKind::Text);
const SPEND: (&str, AttributeKind) = ("spend", AttributeKind::Number);

#[tokio::test]
async fn attributes_are_listed_page_by_page_with_the_built_in_ones() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[PLAN, SPEND]).await;
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListAttributesRequest {
            parent: world.parent(),
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let page = replica.client().list_attributes(request).await.unwrap().into_inner();
        assert!(page.attributes.len() <= 3);
        ids.extend(page.attributes.iter().map(|attribute| id_of(&attribute.name)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["create_time", "email", "plan", "spend"]);
}

#[tokio::test]
async fn an_attribute_is_declared_once_and_a_repeated_request_gets_the_first_answer() {
    let world = World::new().await;
    let replica = world.start().await;
    let request = |id: &str, description: &str, request_id: &str| proto::CreateAttributeRequest {
        parent: world.parent(),
        attribute_id: id.to_owned(),
        attribute: Some(proto::Attribute {
            kind: AttributeKind::Flag.into(),
            description: description.to_owned(),
            ..proto::Attribute::default()
        }),
        request_id: request_id.to_owned(),
    };
    let mut client = replica.client();
    let once = "6f0e4c52-7a9a-4f6e-8d15-0d4fd1c0a001";
    let first = client.create_attribute(request("vip", "a", once)).await.unwrap().into_inner();
    let again = client.create_attribute(request("vip", "a", once)).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = client.create_attribute(request("vip", "b", once)).await;
    refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED", "");
    let exists = client.create_attribute(request("vip", "a", "")).await;
    refused(exists, Code::AlreadyExists, "ATTRIBUTE_EXISTS", "");
    let built_in = client.create_attribute(request("email", "a", "")).await;
    refused(built_in, Code::AlreadyExists, "ATTRIBUTE_EXISTS", "");
    let malformed = client.create_attribute(request("Vip", "a", "")).await;
    refused(malformed, Code::InvalidArgument, "INVALID_FIELD", "attribute_id");
}

#[tokio::test]
async fn a_contact_keeps_what_a_later_write_does_not_name() {
    let world = World::new().await;
    let replica = world.start().await;
    replica
        .declare(&[
            PLAN,
            SPEND,
            ("vip", AttributeKind::Flag),
            ("born", AttributeKind::Time),
            ("tags", AttributeKind::TextSet),
        ])
        .await;
    let everything = [
        ("plan", text("pro")),
        ("spend", number(-0.1)),
        ("vip", flag(false)),
        ("born", time(noon())),
        ("tags", texts(&["a", "b"])),
    ];
    let first = proto::UpdateContactRequest { contact: Some(replica.contact("ana", &everything)) };
    let written = replica.client().update_contact(first).await.unwrap().into_inner();
    assert_eq!(written.attributes.len(), 5);
    assert_eq!(written.attributes["tags"], texts(&["a", "b"]));

    world.ambient.advance(std::time::Duration::from_secs(5));
    let mut change = replica.contact("ana", &[("plan", text("free")), ("vip", nothing())]);
    change.email = String::new();
    let second = proto::UpdateContactRequest { contact: Some(change) };
    let changed = replica.client().update_contact(second).await.unwrap().into_inner();
    assert_eq!(changed.email, "ana@example.com");
    assert_eq!(changed.attributes["plan"], text("free"));
    assert_eq!(changed.attributes["spend"], number(-0.1));
    assert!(!changed.attributes.contains_key("vip"));
    assert_eq!(changed.create_time, written.create_time);
    assert_ne!(changed.update_time, written.update_time);
    let get = proto::GetContactRequest { name: replica.contact_name("ana") };
    assert_eq!(replica.client().get_contact(get).await.unwrap().into_inner(), changed);
}

#[tokio::test]
async fn a_batch_with_a_bad_row_writes_nothing_and_names_the_row_and_the_field() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[PLAN]).await;
    let contacts = |value| vec![replica.contact("ana", &[]), replica.contact("ben", &[value])];
    let unknown = replica.write(contacts(("plna", text("pro")))).await;
    let status =
        refused(unknown, Code::InvalidArgument, "UNKNOWN_ATTRIBUTE", "contact.attributes[plna]");
    assert_eq!(cursus_fault::value(&status, "row").as_deref(), Some("1"));
    assert_eq!(cursus_fault::value(&status, "closest").as_deref(), Some("plan"));
    let wrong = replica.write(contacts(("plan", number(1.0)))).await;
    refused(wrong, Code::InvalidArgument, "WRONG_KIND", "contact.attributes[plan]");
    let infinite = replica.write(contacts(("plan", number(f64::INFINITY)))).await;
    refused(infinite, Code::InvalidArgument, "INVALID_FIELD", "contact.attributes[plan]");
    let twice = vec![replica.contact("ana", &[]), replica.contact("ana", &[])];
    refused(replica.write(twice).await, Code::InvalidArgument, "INVALID_FIELD", "contact.name");
    let get = proto::GetContactRequest { name: replica.contact_name("ana") };
    let missing = replica.client().get_contact(get).await;
    refused(missing, Code::NotFound, "NO_SUCH_CONTACT", "");
}

#[tokio::test]
async fn an_import_keeps_good_rows_and_refuses_bad_ones_by_their_number() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[PLAN]).await;
    replica.write(vec![replica.contact("old", &[])]).await.unwrap();
    let part = |contacts| proto::ImportContactsRequest { parent: world.parent(), contacts };
    let mut bad_email = replica.contact("ben", &[]);
    bad_email.email = "ben".to_owned();
    let mut elsewhere = replica.contact("eve", &[]);
    elsewhere.name = "workspaces/elsewhere/contacts/eve".to_owned();
    let parts = vec![
        part(vec![replica.contact("ana", &[]), bad_email, elsewhere]),
        part(vec![
            replica.contact("old", &[("plan", text("pro"))]),
            replica.contact("cat", &[("plna", text("pro"))]),
            replica.contact("dan", &[("plan", text("free"))]),
            replica.contact("dan", &[("plan", text("pro"))]),
        ]),
    ];
    let imported =
        replica.client().import_contacts(tokio_stream::iter(parts)).await.unwrap().into_inner();
    assert_eq!((imported.created_count, imported.updated_count), (2, 2));
    assert_eq!(imported.refused_count, 3);
    let refusals: Vec<_> = imported
        .refusals
        .iter()
        .map(|it| (it.row, it.reason.as_str(), it.field.as_str()))
        .collect();
    let expected = [
        (1, "INVALID_FIELD", "contact.email"),
        (2, "INVALID_FIELD", "contact.name"),
        (4, "UNKNOWN_ATTRIBUTE", "contact.attributes[plna]"),
    ];
    assert_eq!(refusals, expected);
    let names = ["dan", "nobody", "old"].map(|id| replica.contact_name(id)).to_vec();
    let request = proto::BatchGetContactsRequest { parent: world.parent(), names };
    let found = replica.client().batch_get_contacts(request).await.unwrap().into_inner().contacts;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].attributes["plan"], text("pro"), "the last of two rows wins");
    assert_eq!(found[1].attributes["plan"], text("pro"));
}

#[tokio::test]
async fn contacts_are_listed_in_the_order_in_which_they_were_first_written() {
    let world = World::new().await;
    let replica = world.start().await;
    for id in ["zoe", "ana", "mia"] {
        replica.write(vec![replica.contact(id, &[])]).await.unwrap();
    }
    let mut ids = Vec::new();
    let mut page_token = String::new();
    for _ in 0..2 {
        let request =
            proto::ListContactsRequest { parent: world.parent(), page_size: 2, page_token };
        let page = replica.client().list_contacts(request).await.unwrap().into_inner();
        ids.extend(page.contacts.iter().map(|contact| id_of(&contact.name)));
        page_token = page.next_page_token;
    }
    assert_eq!((ids.join(" "), page_token.as_str()), ("zoe ana mia".to_owned(), ""));
    let request = proto::ListContactsRequest {
        parent: world.parent(),
        page_size: 2,
        page_token: "nonsense".to_owned(),
    };
    let garbage = replica.client().list_contacts(request).await;
    refused(garbage, Code::InvalidArgument, "INVALID_FIELD", "page_token");
}

#[tokio::test]
async fn those_who_write_the_same_contacts_at_once_lose_nothing() {
    let world = World::new().await;
    let replica = world.start().await;
    let ids: Vec<String> = (0..8).map(|number| format!("a{number}")).collect();
    let kinds: Vec<_> = ids.iter().map(|id| (id.as_str(), AttributeKind::Number)).collect();
    replica.declare(&kinds).await;
    // Each writes an attribute of its own on the same contacts, some forwards and some backwards.
    let writes = (0..8).map(|writer| {
        let replica = &replica;
        let attribute = ids[writer].clone();
        async move {
            let mut contacts: Vec<_> = (0..50)
                .map(|n| replica.contact(&format!("c{n}"), &[(attribute.as_str(), number(1.0))]))
                .collect();
            if writer % 2 == 1 {
                contacts.reverse();
            }
            replica.write(contacts).await.unwrap()
        }
    });
    let written = futures::future::join_all(writes).await;
    let created: i64 = written.iter().map(|it| it.created_count).sum();
    assert_eq!(created, 50);
    let request =
        proto::ListContactsRequest { parent: world.parent(), page_size: 100, ..Default::default() };
    let contacts = replica.client().list_contacts(request).await.unwrap().into_inner().contacts;
    assert_eq!(contacts.len(), 50);
    assert!(contacts.iter().all(|contact| contact.attributes.len() == 8));
}
