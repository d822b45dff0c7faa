//! Calls as they are documented and as they should not be.

use serde_json::json;

use super::*;
use crate::refusal::Reason;

fn noon() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn read(kind: Kind, told: Json) -> Result<Call, Refusal> {
    let Json::Object(fields) = told else { unreachable!() };
    Call::read(Some(kind), fields, Clocks { sent: None, received: noon() })
}

fn did(told: Json) -> (String, DateTime<Utc>, BTreeMap<String, Value>) {
    match read(Kind::Track, told).unwrap().says {
        Says::Did { name, time, properties } => (name, time, properties),
        says => panic!("{says:?}"),
    }
}

#[test]
fn a_track_call_is_an_event_with_flat_properties() {
    let (name, time, properties) = did(json!({
        "userId": "ana",
        "event": "Order Completed",
        "properties": {
            "orderId": "50314e8e", "revenue": 27.5, "gift": false, "coupon": null,
            "products": [{ "sku": "a" }], "shipping": { "method": "post" },
        },
    }));
    assert_eq!((name.as_str(), time), ("Order Completed", noon()));
    let expected = [
        ("gift", Value::Flag(false)),
        ("order_id", Value::Text("50314e8e".to_owned())),
        ("revenue", Value::Number(27.5)),
        ("shipping_method", Value::Text("post".to_owned())),
    ];
    assert_eq!(properties, expected.map(|(name, value)| (name.to_owned(), value)).into());
}

#[test]
fn a_wrong_clock_is_corrected_by_what_it_shows_when_the_call_is_sent() {
    // An hour slow, and sent ten minutes after it happened.
    let (_, time, _) = did(json!({
        "userId": "ana", "event": "Login",
        "timestamp": "2026-11-24T10:50:00Z", "sentAt": "2026-11-24T11:00:00Z",
    }));
    assert_eq!(time.to_rfc3339(), "2026-11-24T11:50:00+00:00");
    let (_, time, _) = did(json!({
        "userId": "ana", "event": "Login",
        "timestamp": "2020-01-01T00:00:00Z",
        "originalTimestamp": "2026-11-24T10:50:00Z", "sentAt": "2026-11-24T11:00:00Z",
    }));
    assert_eq!(time.to_rfc3339(), "2026-11-24T11:50:00+00:00", "the original counts");
    let (_, time, _) =
        did(json!({ "userId": "ana", "event": "Login", "timestamp": "2020-01-01T00:00:00Z" }));
    assert_eq!(time.to_rfc3339(), "2020-01-01T00:00:00+00:00", "history is imported as it is");
}

#[test]
fn a_user_who_was_anonymous_is_known_under_both_ids() {
    let both = json!({ "userId": "ana", "anonymousId": "39239-2", "traits": {} });
    let call = read(Kind::Identify, both.clone()).unwrap();
    assert_eq!(call.contact.as_ref(), "ana");
    let Says::Is { before, .. } = call.says else { panic!("{:?}", call.says) };
    assert_eq!(before, Some(identity::of_anonymous("39239-2")));
    let alias = read(Kind::Alias, json!({ "userId": "ana", "previousId": "39239-2" })).unwrap();
    let Says::Is { before, .. } = alias.says else { panic!("{:?}", alias.says) };
    assert_eq!(before, Some(identity::of_anonymous("39239-2")));
    let nobody = read(Kind::Identify, json!({ "anonymousId": "39239-2" })).unwrap();
    assert_eq!(nobody.contact.as_ref(), "anon-39239-2");
    let Says::Is { before, .. } = nobody.says else { panic!("{:?}", nobody.says) };
    assert_eq!(before, None);
}

#[test]
fn a_page_is_an_event_with_its_name_and_category() {
    let told = json!({
        "anonymousId": 7, "name": "Home", "category": "Docs", "properties": { "url": "https://x" },
    });
    let call = read(Kind::Page, told).unwrap();
    assert_eq!(call.contact.as_ref(), "anon-7");
    let Says::Did { name, properties, .. } = call.says else { panic!("{:?}", call.says) };
    assert_eq!(name, "page.viewed");
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["category", "name", "url"]);
}

#[test]
fn what_is_wrong_is_refused_with_its_field() {
    let check = |kind: Kind, told: Json, field: &str| {
        assert_eq!(read(kind, told).unwrap_err().field, field);
    };
    check(Kind::Track, json!({ "event": "a" }), "userId");
    check(Kind::Track, json!({ "userId": "", "anonymousId": null, "event": "a" }), "userId");
    check(Kind::Track, json!({ "userId": {}, "event": "a" }), "userId");
    check(Kind::Track, json!({ "userId": "ana" }), "event");
    check(Kind::Track, json!({ "userId": "ana", "event": 1 }), "event");
    check(Kind::Track, json!({ "userId": "ana", "event": "x".repeat(129) }), "event");
    check(Kind::Track, json!({ "userId": "ana", "event": "a", "properties": [] }), "properties");
    check(Kind::Track, json!({ "userId": "ana", "event": "a", "timestamp": "now" }), "timestamp");
    check(Kind::Track, json!({ "userId": "ana", "event": "a", "sentAt": 5 }), "sentAt");
    check(Kind::Identify, json!({ "userId": "ana", "traits": "x" }), "traits");
    check(Kind::Group, json!({ "userId": "ana" }), "groupId");
    check(Kind::Alias, json!({ "userId": "ana" }), "previousId");
    check(Kind::Alias, json!({ "anonymousId": "x", "previousId": "y" }), "userId");
    let long = "x".repeat(101);
    check(Kind::Track, json!({ "userId": "ana", "event": "a", "messageId": long }), "messageId");
    let reserved = read(Kind::Track, json!({ "userId": "ana", "event": "email.opened" }));
    assert_eq!(reserved.unwrap_err().reason, Reason::ReservedEventName);
}

#[test]
fn an_event_keeps_64_properties_and_the_rest_is_dropped() {
    let many: Map<String, Json> = (0..70).map(|n| (format!("p{n}"), json!(n))).collect();
    let call = read(Kind::Track, json!({ "userId": "a", "event": "b", "properties": many }));
    let call = call.unwrap();
    assert_eq!(call.dropped.len(), 6);
    let Says::Did { properties, .. } = call.says else { panic!("{:?}", call.says) };
    assert_eq!(properties.len(), 64);
}

#[test]
fn in_a_batch_each_call_says_what_it_is_and_is_refused_alone() {
    use super::request::{Form, Request};
    let body = json!({
        "batch": [
            { "type": "track", "userId": "ana", "event": "Login" },
            { "type": "tarck", "userId": "ana", "event": "Login" },
            7,
            { "type": "track", "userId": "ana", "event": "Login", "x": "y".repeat(33_000) },
        ],
        "sentAt": "2026-11-24T12:00:00Z",
    })
    .to_string();
    let request = Request::read(Form::Batch, body.as_bytes()).unwrap();
    let calls = request.calls(noon()).unwrap();
    let fields: Vec<_> =
        calls.iter().map(|(_, call)| call.as_ref().err().map(|it| it.field.as_str())).collect();
    assert_eq!(fields, [None, Some("type"), Some("message"), Some("message")]);
}

#[test]
fn a_request_that_is_none_is_refused_with_what_is_wrong() {
    use super::request::{Form, Request, Unfit, unzip};
    let check = |form: Form, body: &[u8], field: &str| {
        let request = Request::read(form, body).and_then(|request| request.calls(noon()));
        match request.unwrap_err() {
            Unfit::Malformed(refusal) => assert_eq!(refusal.field, field),
            Unfit::TooLarge => assert_eq!(field, "too large"),
        }
    };
    check(Form::Batch, b"{}", "batch");
    check(Form::Batch, b"{\"batch\": 1}", "batch");
    check(Form::Batch, b"{\"batch\": [], \"sentAt\": \"now\"}", "sentAt");
    check(Form::Batch, b"[]", "body");
    check(Form::Batch, b"\xff", "body");
    let many = format!("{{\"batch\": [{}1]}}", "1,".repeat(2_500));
    check(Form::Batch, many.as_bytes(), "batch");
    check(Form::One(Kind::Track), &vec![b' '; 33_000], "too large");
    assert_eq!(unzip(b"not gzip"), Err(Unfit::Malformed(Refusal::invalid("body", "is not gzip"))));
}

#[test]
fn a_small_body_that_unpacks_to_much_is_cut_off() {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::request::{LARGEST_REQUEST, Unfit, unzip};
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b' '; 100 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < LARGEST_REQUEST);
    assert_eq!(unzip(&packed), Err(Unfit::TooLarge));
}
