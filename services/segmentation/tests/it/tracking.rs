//! Calls of the Segment tracking API over HTTP: what is answered is committed, what is wrong is refused with its field.

use std::io::Write;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use cursus_testkit::servers::{Durability, Installation, Postgres};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value as Json, json};
use tonic::Code;

use crate::rules::{all, did, is};
use crate::world::{Replica, World, flag, id_of, noon, number, refused, text, texts, time};

/// A program elsewhere that has a write key.
pub(crate) struct Program {
    address: String,
    pub(crate) key: String,
    http: reqwest::Client,
}

impl Program {
    /// With a key of the replica's workspace.
    pub(crate) async fn new(replica: &Replica, parent: &str, id: &str) -> Self {
        let request = create(parent, id, "");
        let key = replica.ingest_of("root").create_write_key(request).await.unwrap();
        Self {
            address: format!("http://{}", replica.ingest_address),
            key: key.into_inner().secret,
            http: reqwest::Client::new(),
        }
    }

    async fn send(&self, path: &str, body: &Json) -> (u16, Json) {
        let request = self.http.post(format!("{}/v1/{path}", self.address));
        let request = request.basic_auth(&self.key, Some("")).body(body.to_string());
        answer(request.send().await.unwrap()).await
    }

    /// Sends a call that is taken as it is.
    pub(crate) async fn call(&self, path: &str, body: &Json) {
        assert_eq!(self.send(path, body).await, (200, json!({ "success": true })));
    }
}

async fn answer(response: reqwest::Response) -> (u16, Json) {
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn create(parent: &str, id: &str, request_id: &str) -> proto::CreateWriteKeyRequest {
    proto::CreateWriteKeyRequest {
        parent: parent.to_owned(),
        write_key_id: id.to_owned(),
        write_key: Some(proto::WriteKey { display_name: "Shop".to_owned(), ..Default::default() }),
        request_id: request_id.to_owned(),
    }
}

async fn contact(replica: &Replica, id: &str) -> proto::Contact {
    let request = proto::GetContactRequest { name: replica.contact_name(id) };
    replica.client().get_contact(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn the_secret_of_a_write_key_is_shown_once_and_a_revoked_key_opens_nothing() {
    let world = World::new().await;
    let replica = world.start().await;
    let mut admin = replica.ingest_of("root");
    let once = "6f0e4c52-7a9a-4f6e-8d15-0d4fd1c0a001";
    let key = admin.create_write_key(create(&world.parent(), "shop", once)).await.unwrap();
    let key = key.into_inner();
    assert!(key.secret.starts_with(&key.prefix) && key.secret.len() > 2 * key.prefix.len());
    let again = admin.create_write_key(create(&world.parent(), "shop", once)).await.unwrap();
    assert_eq!(again.into_inner(), proto::WriteKey { secret: String::new(), ..key.clone() });
    let taken = admin.create_write_key(create(&world.parent(), "shop", "")).await;
    refused(taken, Code::AlreadyExists, "WRITE_KEY_EXISTS", "");
    let editor = replica.ingest_of("ada").create_write_key(create(&world.parent(), "b", "")).await;
    assert_eq!(editor.unwrap_err().code(), Code::PermissionDenied);

    let mut program = Program::new(&replica, &world.parent(), "other").await;
    program.key = key.secret;
    program.call("identify", &json!({ "userId": "ana" })).await;
    let name = key.name.clone();
    let revoke = proto::RevokeWriteKeyRequest { name, request_id: String::new() };
    let revoked = admin.revoke_write_key(revoke).await.unwrap().into_inner();
    assert!(revoked.revoke_time.is_some());
    let (status, told) = program.send("identify", &json!({ "userId": "ana" })).await;
    assert_eq!((status, told["code"].as_str()), (401, Some("UNKNOWN_WRITE_KEY")));

    let mut ids = Vec::new();
    let mut page_token = String::new();
    for _ in 0..2 {
        let request =
            proto::ListWriteKeysRequest { parent: world.parent(), page_size: 1, page_token };
        let page = admin.list_write_keys(request).await.unwrap().into_inner();
        assert!(page.write_keys.iter().all(|key| key.secret.is_empty()));
        ids.extend(page.write_keys.iter().map(|key| id_of(&key.name)));
        page_token = page.next_page_token;
    }
    assert_eq!((ids.join(" "), page_token.as_str()), ("other shop".to_owned(), ""));
}

#[tokio::test]
async fn whoever_shows_no_key_or_another_one_is_refused() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    let call = json!({ "userId": "ana", "event": "Login" });
    let send = async |authorization: Option<&str>, body: &Json| {
        let mut request = program.http.post(format!("{}/v1/track", program.address));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), response.status() == 401);
        answer(response).await.0
    };
    assert_eq!(send(None, &call).await, 401);
    assert_eq!(send(Some("Bearer x"), &call).await, 401);
    assert_eq!(send(Some("Basic !"), &call).await, 401);
    let mut other = program.key.clone();
    let last = if other.ends_with('0') { "1" } else { "0" };
    other.replace_range(other.len() - 1.., last);
    let body = |key: &str| json!({ "userId": "ana", "event": "Login", "writeKey": key });
    assert_eq!(send(None, &body(&other)).await, 401, "the same beginning is not enough");
    assert_eq!(send(None, &body(&program.key)).await, 200, "clients may put it into the body");
}

#[tokio::test]
async fn what_traits_say_is_read_and_its_attributes_are_declared() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    let told = json!({
        "userId": "97980cfea0067",
        "traits": {
            "email": "peter@example.com", "firstName": "Peter", "logins": 5, "isAdmin": true,
            "createdAt": "2015-02-23T22:28:55.111Z", "tags": ["b", "a", "b"], "nickname": null,
            "address": { "postalCode": "94103", "geo": { "lat": 1 } },
        },
    });
    let (status, answered) = program.send("identify", &told).await;
    assert_eq!((status, answered["droppedFieldCount"].as_i64()), (200, Some(1)));
    assert_eq!(answered["droppedFields"][0]["field"], "traits.address.geo");
    let peter = contact(&replica, "97980cfea0067").await;
    assert_eq!(peter.email, "peter@example.com");
    let created = time("2015-02-23T22:28:55.111Z".parse().unwrap());
    let expected = [
        ("address_postal_code", text("94103")),
        ("created_at", created),
        ("first_name", text("Peter")),
        ("is_admin", flag(true)),
        ("logins", number(5.0)),
        ("tags", texts(&["a", "b"])),
    ];
    assert_eq!(peter.attributes, expected.map(|(id, value)| (id.to_owned(), value)).into());

    let change = json!({ "userId": "97980cfea0067", "traits": {
        "logins": "many", "firstName": null, "isAdmin": false, "email": "peter", "createTime": 1,
    }});
    let (status, answered) = program.send("identify", &change).await;
    assert_eq!((status, answered["droppedFieldCount"].as_i64()), (200, Some(3)), "{answered}");
    let peter = contact(&replica, "97980cfea0067").await;
    assert_eq!(peter.email, "peter@example.com");
    assert_eq!(peter.attributes["logins"], number(5.0), "a kind never changes");
    assert_eq!(peter.attributes["is_admin"], flag(false));
    assert!(!peter.attributes.contains_key("first_name"));
}

#[tokio::test]
async fn a_batch_keeps_its_good_calls_and_each_takes_effect_once() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    let batch = |plan: &str| {
        json!({
            "batch": [
                { "type": "identify", "messageId": "m1", "userId": "ana", "traits": { "plan": plan } },
                { "type": "track", "messageId": "m2", "userId": "ana", "event": "Order Completed",
                  "properties": { "revenue": 27.5, "products": [{ "sku": "a" }] } },
                { "type": "track", "messageId": "m2", "userId": "ana", "event": "Order Completed" },
                { "type": "track", "messageId": "m3", "userId": "ana", "event": "email.opened" },
                { "type": "page", "messageId": "m4", "anonymousId": "visitor-1", "name": "Home" },
                { "type": "nonsense" },
            ],
        })
    };
    let (status, told) = program.send("batch", &batch("pro")).await;
    assert_eq!(status, 200);
    let fields: Vec<_> =
        told["refused"].as_array().unwrap().iter().map(|it| &it["field"]).collect();
    assert_eq!(fields, ["event", "type"]);
    assert_eq!(told["refused"][0]["code"], "RESERVED_EVENT_NAME");
    assert_eq!(told["droppedFields"][0]["field"], "properties.products");
    let ordered = all(vec![is("plan", text("pro")), did("Order Completed", Some(30), 1)]);
    replica.ready_segment("ordered", ordered).await;
    replica.ready_segment("twice", did("Order Completed", None, 2)).await;
    replica.ready_segment("visitors", did("page.viewed", Some(1), 1)).await;
    replica.until_members("ordered", &["ana"], &[true]).await;
    replica.until_members("visitors", &["ana", "anon-visitor-1"], &[false, true]).await;

    let (status, _) = program.send("import", &batch("free")).await;
    assert_eq!(status, 200);
    assert_eq!(contact(&replica, "ana").await.attributes["plan"], text("pro"), "told before");
    assert_eq!(replica.members("twice").await, Vec::<String>::new());
    let caller = replica.record(vec![replica.event("m2", "ana", "login", noon())]);
    assert_eq!(caller.await.unwrap().recorded_count, 1, "callers have ids of their own");
}

#[tokio::test]
async fn who_was_anonymous_becomes_somebody_once() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    let visit = json!({ "anonymousId": "visitor-1", "name": "Home" });
    program.call("page", &visit).await;
    let traits = json!({ "plan": "pro" });
    program.call("identify", &json!({ "anonymousId": "visitor-1", "traits": traits })).await;
    let known = |user: &str, id: &str| json!({ "userId": user, "anonymousId": "visitor-1", "messageId": id });
    program.call("identify", &known("ana", "m1")).await;
    program.call("identify", &known("ana", "m1")).await;
    let ana = contact(&replica, "ana").await;
    assert_eq!(ana.attributes["plan"], text("pro"));
    assert_eq!(contact(&replica, "anon-visitor-1").await.name, ana.name);
    program.call("page", &visit).await;
    replica.ready_segment("visited", did("page.viewed", Some(1), 2)).await;
    assert_eq!(replica.members("visited").await, ["ana"]);

    // Another one logs in on the same device.
    program.call("identify", &known("ben", "m2")).await;
    assert_eq!(contact(&replica, "ben").await.name, replica.contact_name("ben"));
    assert_eq!(contact(&replica, "anon-visitor-1").await.name, ana.name);

    program.call("page", &json!({ "anonymousId": "visitor-2" })).await;
    program.call("alias", &json!({ "userId": "ben", "previousId": "visitor-2" })).await;
    assert_eq!(contact(&replica, "anon-visitor-2").await.name, replica.contact_name("ben"));
    program.call("alias", &json!({ "userId": "ben", "previousId": "ana" })).await;
    assert_eq!(contact(&replica, "ana").await.name, ana.name, "somebody known stays");
}

#[tokio::test]
async fn calls_about_somebody_erased_are_refused_and_the_others_taken() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    program.call("track", &json!({ "userId": "ana", "event": "Login" })).await;
    let name = replica.contact_name("ana");
    let erase = proto::EraseContactRequest { name, request_id: String::new() };
    replica.privacy_of("root").erase_contact(erase).await.unwrap();
    let batch = json!({ "batch": [
        { "type": "track", "userId": "ana", "event": "Login" },
        { "type": "track", "userId": "ben", "event": "Login" },
    ]});
    let (status, told) = program.send("batch", &batch).await;
    assert_eq!((status, &told["refused"][0]["code"]), (200, &json!("ERASED_CONTACT")), "{told}");
    contact(&replica, "ben").await;
    let (status, _) = program.send("identify", &json!({ "userId": "ana" })).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn bodies_may_be_packed_and_have_bounds() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    let send = async |path: &str, encoding: &str, body: Vec<u8>| {
        let request = program.http.post(format!("{}/v1/{path}", program.address));
        let request = request.basic_auth(&program.key, Some("")).header(CONTENT_ENCODING, encoding);
        answer(request.body(body).send().await.unwrap()).await.0
    };
    let packed = |body: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(body).unwrap();
        packed.finish().unwrap()
    };
    let call = json!({ "userId": "ana", "traits": { "plan": "pro" } }).to_string().into_bytes();
    assert_eq!(send("identify", "gzip", packed(&call)).await, 200);
    assert_eq!(contact(&replica, "ana").await.attributes["plan"], text("pro"));
    assert_eq!(send("identify", "gzip", call.clone()).await, 400);
    assert_eq!(send("identify", "br", call).await, 415);
    assert_eq!(send("batch", "gzip", packed(&vec![b' '; 600 << 10])).await, 413);
    assert_eq!(send("batch", "identity", vec![b' '; 600 << 10]).await, 413);
    assert_eq!(send("track", "identity", vec![b' '; 33 << 10]).await, 413);
    let (status, told) = program.send("track", &json!({ "userId": "ana" })).await;
    assert_eq!((status, told["message"].as_str()), (400, Some("`event`: is missing")));
    let unknown =
        program.http.post(format!("{}/v1/unknown", program.address)).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn traits_declare_only_so_many_attributes() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    replica.declare(&[("plan", AttributeKind::Text)]).await;
    let traits: serde_json::Map<String, Json> =
        (0..510).map(|n| (format!("trait{n}"), json!(n))).collect();
    let call = json!({ "userId": "ana", "traits": traits });
    let (status, told) = program.send("identify", &call).await;
    assert_eq!((status, told["droppedFieldCount"].as_i64()), (200, Some(11)));
    assert_eq!(told["droppedFields"][0]["code"], "TOO_MANY_ATTRIBUTES");
    assert_eq!(contact(&replica, "ana").await.attributes.len(), 499);
    replica.declare(&[("people_may", AttributeKind::Text)]).await;
}

#[tokio::test]
async fn those_who_send_the_same_calls_at_once_write_them_once() {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    let calls: Vec<Json> = (0..100)
        .flat_map(|n| {
            let user = format!("user{}", n % 10);
            [
                json!({ "type": "identify", "messageId": format!("i{n}"), "userId": user, "traits": { "seen": n } }),
                json!({ "type": "track", "messageId": format!("t{n}"), "userId": user, "event": "Seen" }),
            ]
        })
        .collect();
    let sends = (0..8).map(|sender| {
        let mut calls = calls.clone();
        calls.rotate_left(sender * 20);
        let program = &program;
        async move {
            // A sender tries again when it is told to.
            loop {
                let (status, _) = program.send("batch", &json!({ "batch": calls })).await;
                if status == 200 {
                    break;
                }
                assert!([429, 503].contains(&status), "{status}");
            }
        }
    });
    futures::future::join_all(sends).await;
    replica.ready_segment("ten", did("Seen", None, 10)).await;
    replica.until_count("ten", 10).await;
    replica.ready_segment("more", did("Seen", None, 11)).await;
    assert_eq!(replica.members("more").await, Vec::<String>::new());
}

#[tokio::test]
async fn while_the_database_does_not_answer_senders_are_told_to_try_again() {
    let installation = Installation::find().unwrap();
    let mut postgres = Postgres::start(&installation, Durability::Fast).await.unwrap();
    let world = World::new().await.on(postgres.url());
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    postgres.stop().await.unwrap();
    let request = program.http.post(format!("{}/v1/track", program.address));
    let call = json!({ "userId": "ana", "event": "Login" });
    let request = request.basic_auth(&program.key, Some("")).body(call.to_string());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
}
