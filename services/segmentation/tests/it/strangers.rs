//! The tracking API seen by clients that nobody here wrote: Segment's own for Python and for Node.

use std::env;
use std::ffi::OsString;
use std::process::{Command, Output};

use cursus_api::segmentation as proto;

use crate::rules::{all, did, is, summed};
use crate::tracking::Program;
use crate::world::{Replica, World, flag, number, text, texts, time};

const PYTHON: &str = include_str!("strangers.py");
const NODE: &str = include_str!("strangers.js");
/// The contact whom they call `ana@example.com`.
const HASHED: &str = "hashed-8e43ca37701228e74983efdbd0cff5c1";

#[tokio::test]
async fn segments_client_for_python_needs_nothing_but_another_host() {
    let Some(modules) = env::var_os("CURSUS_PYTHON_TOOLS") else {
        eprintln!(
            "skipped: Segment's client for Python is not here (CURSUS_PYTHON_TOOLS is not set)"
        );
        return;
    };
    for packing in ["plain", "gzip"] {
        check(|host, key| python(&modules, &[host, key, packing])).await;
    }
}

#[tokio::test]
async fn segments_client_for_node_needs_nothing_but_another_host() {
    let Some(modules) = env::var_os("CURSUS_NODE_TOOLS") else {
        eprintln!("skipped: Segment's client for Node is not here (CURSUS_NODE_TOOLS is not set)");
        return;
    };
    check(|host, key| node(&modules, &[host, key])).await;
}

fn python(modules: &OsString, arguments: &[&str]) -> Output {
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON]).args(arguments).env("PYTHONPATH", modules);
    python.output().unwrap()
}

fn node(modules: &OsString, arguments: &[&str]) -> Output {
    let mut node = Command::new("node");
    node.args(["-e", NODE]).args(arguments);
    node.env("NODE_PATH", std::path::Path::new(modules).join("node_modules")).output().unwrap()
}

/// What a client sends arrives, sent again it changes nothing, and without the key it is refused.
async fn check(client: impl Fn(&str, &str) -> Output) {
    let world = World::new().await;
    let replica = world.start().await;
    let program = Program::new(&replica, &world.parent(), "shop").await;
    let host = format!("http://{}", replica.ingest_address);
    let send = |key: &str| {
        let output = client(&host, key);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(complaint) }
    };
    send(&program.key).unwrap();
    let ana = contact(&replica, "ana").await;
    assert_eq!(ana.email, "ana@example.com");
    let expected = [
        ("address_postal_code", text("94103")),
        ("created_at", time("2015-02-23T22:28:55Z".parse().unwrap())),
        ("logins", number(5.0)),
        ("plan", text("pro")),
        ("tags", texts(&["a", "b"])),
        ("vip", flag(true)),
    ];
    assert_eq!(ana.attributes, expected.map(|(id, value)| (id.to_owned(), value)).into());
    assert_eq!(contact(&replica, "anon-visitor-1").await.name, ana.name, "it was her");

    let bought = summed("Order Completed", "revenue", ("order_id", number(7.0)), 27.5);
    replica.ready_segment("bought", all(vec![is("plan", text("pro")), bought])).await;
    replica.ready_segment("visited", did("page.viewed", Some(1), 1)).await;
    replica.ready_segment("joined", did("Signed Up", Some(1), 1)).await;
    replica.ready_segment("started", did("screen.viewed", Some(1), 1)).await;
    replica.ready_segment("twice", did("Order Completed", None, 2)).await;
    let members = async |segment: &str| replica.members(segment).await;
    assert_eq!(members("bought").await, ["ana"]);
    assert_eq!(members("visited").await, ["ana"]);
    assert_eq!(members("joined").await, [HASHED]);
    assert_eq!(members("started").await, ["ana"]);

    let mut change = replica.contact("ana", &[("plan", text("free"))]);
    change.email = String::new();
    replica.write(vec![change]).await.unwrap();
    send(&program.key).unwrap();
    assert_eq!(contact(&replica, "ana").await.attributes["plan"], text("free"), "told before");
    replica.until_members("bought", &["ana"], &[false]).await;
    assert_eq!(members("twice").await, Vec::<String>::new());

    let other = &program.key.replace("cwk_", "cwk_0")[..program.key.len()];
    let complaint = send(other).unwrap_err();
    assert!(complaint.contains("401"), "{complaint}");
}

async fn contact(replica: &Replica, id: &str) -> proto::Contact {
    let request = proto::GetContactRequest { name: replica.contact_name(id) };
    replica.client().get_contact(request).await.unwrap().into_inner()
}
