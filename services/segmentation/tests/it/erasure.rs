//! People who want to be forgotten: gone from every answer at once, soon from every table and every copy, and kept from
//! coming back.

use std::collections::BTreeMap;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use sqlx::AssertSqlSafe;
use tonic::Code;

use crate::membership::{connect, keys};
use crate::rules::{did, has, not};
use crate::world::{Replica, World, id_of, noon, refused, text, until};

/// Each is somewhere in what is stored about `forgetful`, and nowhere else.
const TRACES: [&str; 6] = [
    "forgetful",
    "visitor-77",
    "secret@example.com",
    "whisky",
    "order-of-forgetful",
    "device-of-visitor",
];

/// `forgetful`, whom `visitor-77` became, among others; with events, segments and snapshots.
async fn with_forgetful(world: &World) -> Replica {
    let replica = world.start().await;
    replica.declare(&[("taste", AttributeKind::Text)]).await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica.write(vec![replica.contact("visitor-77", &[])]).await.unwrap();
    let mut forgetful = replica.contact("forgetful", &[("taste", text("whisky"))]);
    "secret@example.com".clone_into(&mut forgetful.email);
    // A longer name that begins the same is somebody else's.
    let mut other = replica.contact("forget", &[]);
    "other@example.com".clone_into(&mut other.email);
    replica.write(vec![forgetful, other]).await.unwrap();
    let mut before = replica.event("device-of-visitor", "visitor-77", "visit", noon());
    before.properties.insert("drink".to_owned(), text("whisky"));
    replica.record(vec![before, replica.event("a1", "ana", "visit", noon())]).await.unwrap();
    replica.merge("visitor-77", "forgetful").await.unwrap();
    let mut order = replica.event("order-of-forgetful", "forgetful", "purchase", noon());
    order.properties.insert("item".to_owned(), text("whisky"));
    let events = vec![
        order,
        replica.event("o1", "forget", "purchase", noon()),
        replica.event("o2", "visitor-77", "visit", noon()),
    ];
    replica.record(events).await.unwrap();
    replica.ready_segment("all", has("email")).await;
    replica.ready_segment("silent", not(did("login", Some(30), 1))).await;
    snapshot(&replica, "spring").await;
    replica.until_members("silent", &["forgetful", "visitor-77"], &[true, true]).await;
    replica
}

async fn snapshot(replica: &Replica, id: &str) -> proto::Snapshot {
    let all = replica.segment_name("all");
    let request = proto::CreateSnapshotRequest {
        parent: all.replace("/segments/all", ""),
        snapshot_id: id.to_owned(),
        snapshot: Some(proto::Snapshot {
            audience: Some(proto::Audience { include: vec![all], exclude: Vec::new() }),
            labels: vec![replica.segment_name("silent"), replica.segment_name("all")],
            ..proto::Snapshot::default()
        }),
        request_id: "6f0e4c52-7a9a-4f6e-8d15-0d4fd1c0a0e1".to_owned(),
    };
    replica.client().create_snapshot(request).await.unwrap().into_inner()
}

async fn members(replica: &Replica, snapshot: &str) -> Vec<String> {
    let parent = replica.segment_name("").replace("segments/", &format!("snapshots/{snapshot}"));
    let request = proto::ListSnapshotMembersRequest { parent, ..Default::default() };
    let page = replica.client().list_snapshot_members(request).await.unwrap().into_inner();
    page.members.iter().map(|member| id_of(&member.contact)).collect()
}

/// Where a text is found in the database, whatever table and column it is in, as text or as bytes.
async fn tables_with(world: &World, trace: &str) -> Vec<String> {
    let pool = &world.database.pool;
    let tables: Vec<String> = sqlx::query_scalar(
        "select oid::regclass::text from pg_class
         where relkind in ('r', 'p') and not relispartition
             and relnamespace = 'public'::regnamespace
         order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let count = format!(
            "select count(*) from {table} as stored
             where position($1 in stored::text) > 0
                 or position(encode(convert_to($1, 'UTF8'), 'hex') in stored::text) > 0"
        );
        let query = sqlx::query_scalar(AssertSqlSafe(count)).bind(trace);
        let count: i64 = query.fetch_one(pool).await.unwrap();
        if count > 0 {
            found.push(table);
        }
    }
    found
}

async fn copies_with(world: &World, trace: &str) -> Vec<String> {
    let mut connection = connect(world).await;
    let mut found = Vec::new();
    for key in keys(world).await {
        let mut get = redis::cmd("GET");
        let value: Option<Vec<u8>> = get.arg(&key).query_async(&mut connection).await.unwrap();
        let value = value.unwrap_or_default();
        let holds = |bytes: &[u8]| bytes.windows(trace.len()).any(|it| it == trace.as_bytes());
        if holds(key.as_bytes()) || holds(&value) {
            found.push(key);
        }
    }
    found
}

#[tokio::test]
async fn nothing_of_an_erased_contact_is_left_in_any_table_or_copy() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    for trace in TRACES {
        assert!(!tables_with(&world, trace).await.is_empty(), "{trace} is nowhere to be erased");
    }
    let erasure = replica.erase("forgetful").await.unwrap();
    let complete = replica.erased(&erasure).await;
    for trace in TRACES {
        assert_eq!(tables_with(&world, trace).await, Vec::<String>::new(), "{trace}");
        assert_eq!(copies_with(&world, trace).await, Vec::<String>::new(), "{trace}");
    }
    let counts = proto::ErasedCounts { aliases: 1, events: 3, facts: 3, snapshots: 1, answers: 0 };
    assert_eq!(complete.counts, Some(counts));
    assert_eq!(complete.requested_by, "root");
    assert_eq!(complete.contact_hash.len(), 32);
    assert_eq!(complete.create_time, erasure.create_time);

    // The copies that are read no longer have it, and the others have what they had.
    let mut connection = connect(&world).await;
    let names: Vec<String> = sqlx::query_scalar(
        "select format('cursus:{%s/%s}:%s:%s:%s-%s', workspace_id, segment_id, revision, block, version,
             lpad(to_hex(digest), 16, '0'))
         from containers",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(names.len(), 2);
    for name in names {
        // `ana`, `visitor-77`, `forgetful`, `forget`.
        for (slot, expected) in [(0, true), (1, false), (2, false), (3, true)] {
            let mut get = redis::cmd("GETBIT");
            let bit: bool = get.arg(&name).arg(slot).query_async(&mut connection).await.unwrap();
            assert_eq!(bit, expected, "{name} at {slot}");
        }
    }
    assert_eq!(members(&replica, "spring").await, ["ana", "forget"]);
    let name = replica.segment_name("").replace("segments/", "snapshots/spring");
    let request = proto::GetSnapshotRequest { name };
    let snapshot = replica.client().get_snapshot(request).await.unwrap().into_inner();
    assert_eq!((snapshot.member_count, snapshot.label_counts), (2, vec![2, 2]));
    assert_eq!(replica.get("forget").await.unwrap().email, "other@example.com");
}

#[tokio::test]
async fn an_erased_contact_is_gone_from_every_answer_at_once() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    // Nothing can be done in the background.
    let mut tx = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table events in access exclusive mode").execute(&mut *tx).await.unwrap();
    let erasure = replica.erase("visitor-77").await.unwrap();
    assert_eq!(erasure.state(), proto::erasure::State::Running);
    for id in ["forgetful", "visitor-77"] {
        refused(replica.get(id).await, Code::NotFound, "NO_SUCH_CONTACT", "");
    }
    let names = ["ana", "forgetful", "visitor-77"].map(|id| replica.contact_name(id)).to_vec();
    let request = proto::BatchGetContactsRequest { parent: world.parent(), names };
    let found = replica.client().batch_get_contacts(request).await.unwrap().into_inner();
    assert_eq!((found.contacts.len(), found.aliases), (1, BTreeMap::new()));
    assert_eq!(replica.listed().await, ["ana", "forget"]);
    let asked = ["ana", "forgetful", "visitor-77"];
    let checked = replica.check("silent", &asked).await.unwrap().members;
    assert_eq!(checked, [true, false, false]);
    assert_eq!(replica.members("silent").await, ["ana", "forget"]);
    assert_eq!(members(&replica, "spring").await, ["ana", "forget"]);
    let rule = Some(has("email"));
    let request = proto::PreviewSegmentRequest {
        parent: world.parent(),
        rule,
        rule_text: String::new(),
        sample_size: 9,
    };
    let preview = replica.client().preview_segment(request).await.unwrap().into_inner();
    assert_eq!((preview.contact_count, preview.member_count, preview.sample.len()), (2, 2, 2));
    tx.rollback().await.unwrap();
    replica.erased(&erasure).await;
}

#[tokio::test]
async fn erasing_again_answers_with_the_first_receipt_by_request_by_contact_and_by_alias() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    let erase = async |id: &str, request_id: &str| {
        let name = replica.contact_name(id);
        let request = proto::EraseContactRequest { name, request_id: request_id.to_owned() };
        replica.privacy_of("root").erase_contact(request).await.map(tonic::Response::into_inner)
    };
    let once = "6f0e4c52-7a9a-4f6e-8d15-0d4fd1c0a0e2";
    refused(erase("nobody", once).await, Code::NotFound, "NO_SUCH_CONTACT", "");
    let first = erase("forgetful", once).await.unwrap();
    assert_eq!(erase("forgetful", once).await.unwrap(), first);
    refused(erase("ana", once).await, Code::AlreadyExists, "REQUEST_ID_REUSED", "");
    let complete = replica.erased(&first).await;
    assert_eq!(erase("forgetful", "").await.unwrap(), complete);
    assert_eq!(erase("visitor-77", "").await.unwrap(), complete);
    assert_eq!(erase("forgetful", once).await.unwrap().name, first.name);

    let second = erase("forget", "").await.unwrap();
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            proto::ListErasuresRequest { parent: world.parent(), page_size: 1, page_token };
        let page = replica.privacy_of("root").list_erasures(request).await.unwrap().into_inner();
        listed.extend(page.erasures.into_iter().map(|erasure| erasure.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [first.name, second.name]);
}

#[tokio::test]
async fn only_an_admin_erases_and_reads_receipts() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    let name = replica.contact_name("forgetful");
    let erase = proto::EraseContactRequest { name, request_id: String::new() };
    for who in ["ada", "edith", "delivery"] {
        let outcome = replica.privacy_of(who).erase_contact(erase.clone()).await;
        refused(outcome, Code::PermissionDenied, "ROLE_REQUIRED", "");
        let list = proto::ListErasuresRequest { parent: world.parent(), ..Default::default() };
        let outcome = replica.privacy_of(who).list_erasures(list).await;
        refused(outcome, Code::PermissionDenied, "ROLE_REQUIRED", "");
    }
    let missing = proto::GetErasureRequest { name: format!("{}/erasures/none", world.parent()) };
    let outcome = replica.privacy_of("root").get_erasure(missing).await;
    refused(outcome, Code::NotFound, "NO_SUCH_ERASURE", "");
    let elsewhere = proto::EraseContactRequest {
        name: "workspaces/elsewhere/contacts/ana".to_owned(),
        request_id: String::new(),
    };
    let outcome = replica.privacy_of("root").erase_contact(elsewhere).await;
    refused(outcome, Code::PermissionDenied, "NOT_IN_WORKSPACE", "");
}

#[tokio::test]
async fn an_erased_contact_does_not_come_back() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    replica.erase("forgetful").await.unwrap();
    let rows = || ["ben", "forgetful", "visitor-77"].map(|id| replica.contact(id, &[])).to_vec();
    let batch = replica.write(rows()).await;
    let status = refused(batch, Code::InvalidArgument, "ERASED_CONTACT", "contact.name");
    assert_eq!(cursus_fault::value(&status, "row").as_deref(), Some("1"));
    refused(replica.get("ben").await, Code::NotFound, "NO_SUCH_CONTACT", "");
    let request = proto::UpdateContactRequest { contact: Some(replica.contact("forgetful", &[])) };
    let outcome = replica.client().update_contact(request).await;
    let status = refused(outcome, Code::InvalidArgument, "ERASED_CONTACT", "contact.name");
    assert_eq!(cursus_fault::value(&status, "row"), None);

    let imported = replica.import(rows()).await;
    assert_eq!((imported.created_count, imported.refused_count), (1, 2));
    let refusals: Vec<_> =
        imported.refusals.iter().map(|it| (it.row, it.reason.as_str())).collect();
    assert_eq!(refusals, [(1, "ERASED_CONTACT"), (2, "ERASED_CONTACT")]);
    let event = replica.event("e9", "forgetful", "visit", noon());
    let outcome = replica.record(vec![event]).await;
    refused(outcome, Code::InvalidArgument, "UNKNOWN_CONTACT", "event.contact");
    refused(replica.merge("forgetful", "ana").await, Code::NotFound, "NO_SUCH_CONTACT", "");
    assert_eq!(replica.listed().await, ["ana", "forget", "ben"]);
}

#[tokio::test]
async fn those_who_watch_from_the_beginning_see_the_others_and_every_cursor_stays_good() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    let watch = async |cursor: &str, count: usize| {
        let parent = world.parent();
        let request = proto::WatchEventsRequest { parent, cursor: cursor.to_owned() };
        let watched = replica.client_of("delivery").watch_events(request).await;
        let mut stream = watched.unwrap().into_inner();
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        while seen.len() < count {
            let run = stream.message().await.unwrap().unwrap();
            seen.extend(run.events.into_iter().map(|event| event.event_id));
            cursor = run.cursor;
        }
        (seen, cursor)
    };
    // The last that is read is an event of the one who is then erased.
    let (seen, cursor) = watch("", 5).await;
    assert_eq!(seen[4], "o2");
    let erasure = replica.erase("forgetful").await.unwrap();
    replica.erased(&erasure).await;
    replica.record(vec![replica.event("new", "ana", "visit", noon())]).await.unwrap();
    assert_eq!(watch(&cursor, 1).await.0, ["new"]);
    assert_eq!(watch("", 3).await.0, ["a1", "o1", "new"]);
}

#[tokio::test]
async fn an_erasure_goes_on_after_a_kill_where_it_was() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    for part in 0..24 {
        let event =
            |n: i32| replica.event(&format!("forgetful-{part}-{n}"), "forgetful", "visit", noon());
        replica.record((0..500).map(event).collect()).await.unwrap();
    }
    // The last facts cannot be blanked, so it stops between its first step and its last.
    let mut tx = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table facts in share mode").execute(&mut *tx).await.unwrap();
    let erasure = replica.erase("forgetful").await.unwrap();
    until("some events are erased", async || {
        let query = sqlx::query_scalar("select event_count from erasures");
        let count: i64 = query.fetch_one(&world.database.pool).await.unwrap();
        (count >= 5_000).then_some(())
    })
    .await;
    replica.kill();
    tx.rollback().await.unwrap();
    let replica = world.start().await;
    let complete = replica.erased(&erasure).await;
    let counts = complete.counts.unwrap();
    assert_eq!((counts.events, counts.facts), (12_003, 12_003), "each once");
    for trace in TRACES {
        assert_eq!(tables_with(&world, trace).await, Vec::<String>::new(), "{trace}");
    }
}

#[tokio::test]
async fn a_snapshot_that_was_being_taken_does_not_keep_who_was_erased_meanwhile() {
    let world = World::new().await;
    let replica = with_forgetful(&world).await;
    let mut tx = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table snapshots in exclusive mode").execute(&mut *tx).await.unwrap();
    let waiting = async {
        until("the snapshot waits to be written", async || {
            let query = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where wait_event_type = 'Lock' and query like '%insert into snapshots%'
                     and datname = current_database()",
            );
            let count: i64 = query.fetch_one(&world.database.pool).await.unwrap();
            (count > 0).then_some(())
        })
        .await;
        let erasure = replica.erase("forgetful").await.unwrap();
        tx.rollback().await.unwrap();
        erasure
    };
    let taken = async {
        let all = replica.segment_name("all");
        let request = proto::CreateSnapshotRequest {
            parent: world.parent(),
            snapshot_id: "late".to_owned(),
            snapshot: Some(proto::Snapshot {
                audience: Some(proto::Audience { include: vec![all], exclude: Vec::new() }),
                ..proto::Snapshot::default()
            }),
            request_id: String::new(),
        };
        replica.client().create_snapshot(request).await.unwrap().into_inner()
    };
    let (erasure, taken) = tokio::join!(waiting, taken);
    replica.erased(&erasure).await;
    assert_eq!(taken.member_count, 2, "the answer already counts without");
    let packed: Vec<Vec<u8>> =
        sqlx::query_scalar("select members from snapshot_blocks order by snapshot_id")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(packed.len(), 2);
    assert_eq!(packed[0], packed[1]);
}
