//! Contacts that turn out to be one person: everything comes together, and the old id leads there, on every replica.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use futures::future::{LocalBoxFuture, join_all};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tonic::Code;

use crate::rules::{did, has, not};
use crate::world::{Replica, World, id_of, moment, noon, number, refused, text, texts};

/// `anonymous` browsed, then `ana` was written.
async fn with_visitor(world: &World) -> Replica {
    let replica = world.start().await;
    replica
        .declare(&[
            ("plan", AttributeKind::Text),
            ("spend", AttributeKind::Number),
            ("tags", AttributeKind::TextSet),
        ])
        .await;
    let known = [("spend", number(3.0)), ("tags", texts(&["web", "new"]))];
    replica.write(vec![replica.contact("anonymous", &known)]).await.unwrap();
    world.ambient.advance(Duration::from_hours(1));
    let known = [("plan", text("pro")), ("tags", texts(&["vip", "new"]))];
    replica.write(vec![replica.contact("ana", &known)]).await.unwrap();
    let events = vec![
        replica.event("1", "anonymous", "visit", noon()),
        replica.event("2", "anonymous", "visit", noon() - chrono::TimeDelta::days(400)),
        replica.event("3", "anonymous", "cart", noon()),
        replica.event("4", "ana", "visit", noon()),
    ];
    replica.record(events).await.unwrap();
    replica
}

#[tokio::test]
async fn what_either_held_is_one_and_the_target_wins_where_only_one_can() {
    let world = World::new().await;
    let replica = with_visitor(&world).await;
    let merged = replica.merge("anonymous", "ana").await.unwrap();
    assert_eq!(id_of(&merged.name), "ana");
    assert_eq!(merged.email, "ana@example.com");
    let expected =
        [("plan", text("pro")), ("spend", number(3.0)), ("tags", texts(&["new", "vip", "web"]))];
    let expected: BTreeMap<String, proto::Value> =
        expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(merged.attributes, expected);
    assert_eq!(merged.create_time, Some(moment(noon())), "the earlier of the two");
    replica.ready_segment("keen", did("visit", None, 3)).await;
    replica.ready_segment("carts", did("cart", None, 1)).await;
    assert_eq!(replica.check("keen", &["ana"]).await.unwrap().members, [true]);
    assert_eq!(replica.check("carts", &["ana"]).await.unwrap().members, [true]);
}

#[tokio::test]
async fn the_old_id_stands_for_the_target_wherever_a_contact_is_named() {
    let world = World::new().await;
    let replica = with_visitor(&world).await;
    replica.ready_segment("pros", has("plan")).await;
    replica.ready_segment("keen", did("visit", None, 4)).await;
    replica.merge("anonymous", "ana").await.unwrap();
    assert_eq!(replica.get("anonymous").await.unwrap(), replica.get("ana").await.unwrap());
    let names = ["anonymous", "nobody", "ana"].map(|id| replica.contact_name(id)).to_vec();
    let request = proto::BatchGetContactsRequest { parent: world.parent(), names };
    let found = replica.client().batch_get_contacts(request).await.unwrap().into_inner();
    let ids: Vec<String> = found.contacts.iter().map(|contact| id_of(&contact.name)).collect();
    assert_eq!(ids, ["ana", "ana"]);
    let alias = (replica.contact_name("anonymous"), replica.contact_name("ana"));
    assert_eq!(found.aliases, BTreeMap::from([alias]));
    replica.until_members("pros", &["anonymous", "ana"], &[true, true]).await;

    let event = replica.event("5", "anonymous", "visit", noon());
    assert_eq!(replica.record(vec![event]).await.unwrap().recorded_count, 1);
    replica.until_members("keen", &["anonymous", "ana"], &[true, true]).await;
    // Both ids in one write: what is said later wins.
    let mut first = replica.contact("ana", &[("plan", text("team"))]);
    first.email = String::new();
    let mut second = replica.contact("anonymous", &[("plan", text("free"))]);
    second.email = "new@example.com".to_owned();
    let written = replica.write(vec![first, second]).await.unwrap();
    assert_eq!((written.created_count, written.updated_count), (0, 2));
    let ana = replica.get("ana").await.unwrap();
    assert_eq!((ana.email.as_str(), &ana.attributes["plan"]), ("new@example.com", &text("free")));
}

#[tokio::test]
async fn what_was_merged_is_no_contact_of_its_own_any_more() {
    let world = World::new().await;
    let replica = with_visitor(&world).await;
    replica.ready_segment("all", has("email")).await;
    replica.ready_segment("unpaid", not(has("plan"))).await;
    replica.until_members("unpaid", &["anonymous", "ana"], &[true, false]).await;
    replica.merge("anonymous", "ana").await.unwrap();
    assert_eq!(replica.listed().await, ["ana"]);
    replica.until_count("all", 1).await;
    replica.until_count("unpaid", 0).await;
    assert_eq!(replica.members("all").await, ["ana"]);
    // Absence must not bring it back when everybody is looked at again.
    replica.ready_segment("silent", not(did("purchase", Some(30), 1))).await;
    assert_eq!(replica.members("silent").await, ["ana"]);
    let rule = Some(not(did("purchase", Some(30), 1)));
    let request = proto::PreviewSegmentRequest {
        parent: world.parent(),
        rule,
        rule_text: String::new(),
        sample_size: 10,
    };
    let preview = replica.client().preview_segment(request).await.unwrap().into_inner();
    assert_eq!((preview.contact_count, preview.member_count), (1, 1));
    assert_eq!(preview.sample.len(), 1);
    // Its place stays empty: the next contact gets one of its own.
    replica.write(vec![replica.contact("ben", &[])]).await.unwrap();
    replica.until_members("all", &["ana", "ben", "anonymous"], &[true, true, true]).await;
    assert_eq!(replica.listed().await, ["ana", "ben"]);
}

#[tokio::test]
async fn merging_what_is_one_already_changes_nothing_whichever_way_it_is_asked() {
    let world = World::new().await;
    let replica = with_visitor(&world).await;
    replica.write(vec![replica.contact("work", &[])]).await.unwrap();
    let first = replica.merge("anonymous", "ana").await.unwrap();
    assert_eq!(replica.merge("anonymous", "ana").await.unwrap(), first);
    assert_eq!(replica.merge("ana", "anonymous").await.unwrap(), first, "no circle");
    // Further on: both ids lead to the end.
    let last = replica.merge("ana", "work").await.unwrap();
    assert_eq!(id_of(&last.name), "work");
    for id in ["anonymous", "ana", "work"] {
        assert_eq!(replica.get(id).await.unwrap(), last, "{id}");
    }
    assert_eq!(replica.merge("work", "anonymous").await.unwrap(), last);
    assert_eq!(replica.merge("anonymous", "work").await.unwrap(), last);
    assert_eq!(replica.listed().await, ["work"]);
}

#[tokio::test]
async fn a_request_is_carried_out_once_and_what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let replica = with_visitor(&world).await;
    let request = |source: &str, target: &str| proto::MergeContactsRequest {
        source: replica.contact_name(source),
        target: replica.contact_name(target),
        request_id: "6f0e4c52-7a9a-4f6e-8d15-0d4fd1c0a0c1".to_owned(),
    };
    let merge = async |request: proto::MergeContactsRequest| {
        replica.privacy_of("ada").merge_contacts(request).await
    };
    let missing = merge(request("nobody", "ana")).await;
    refused(missing, Code::NotFound, "NO_SUCH_CONTACT", "");
    let missing = merge(request("ana", "nobody")).await;
    refused(missing, Code::NotFound, "NO_SUCH_CONTACT", "");
    let itself = merge(request("ana", "ana")).await;
    refused(itself, Code::InvalidArgument, "INVALID_FIELD", "source");
    let mut elsewhere = request("anonymous", "ana");
    elsewhere.target = "workspaces/elsewhere/contacts/ana".to_owned();
    refused(merge(elsewhere).await, Code::InvalidArgument, "INVALID_FIELD", "target");
    let viewer = replica.privacy_of("edith").merge_contacts(request("anonymous", "ana")).await;
    refused(viewer, Code::PermissionDenied, "ROLE_REQUIRED", "");
    let mallory = replica.privacy_of("mallory").merge_contacts(request("anonymous", "ana")).await;
    refused(mallory, Code::PermissionDenied, "NOT_IN_WORKSPACE", "");

    let first = merge(request("anonymous", "ana")).await.unwrap().into_inner();
    assert_eq!(merge(request("anonymous", "ana")).await.unwrap().into_inner(), first);
    let other = merge(request("ana", "anonymous")).await;
    refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED", "");
}

#[tokio::test]
async fn a_replica_that_remembers_the_old_contact_hears_of_it() {
    let world = World::new().await;
    let first = with_visitor(&world).await;
    let second = world.start().await;
    first.ready_segment("pros", has("plan")).await;
    // Both remember where `anonymous` is.
    first.until_members("pros", &["anonymous"], &[false]).await;
    second.until_members("pros", &["anonymous"], &[false]).await;
    first.merge("anonymous", "ana").await.unwrap();
    assert_eq!(first.check("pros", &["anonymous"]).await.unwrap().members, [true]);
    second.until_members("pros", &["anonymous"], &[true]).await;
    // Recording asks nothing that is remembered.
    first.ready_segment("keen", did("visit", None, 5)).await;
    let event = second.event("5", "anonymous", "visit", noon());
    second.record(vec![event]).await.unwrap();
    assert_eq!(second.check("keen", &["anonymous"]).await.unwrap().members, [false]);
    let event = first.event("6", "anonymous", "visit", noon());
    first.record(vec![event]).await.unwrap();
    first.until_members("keen", &["ana"], &[true]).await;
}

#[tokio::test]
async fn those_who_watch_are_told_the_contact_it_became() {
    let world = World::new().await;
    let replica = with_visitor(&world).await;
    replica.merge("anonymous", "ana").await.unwrap();
    replica.record(vec![replica.event("5", "anonymous", "visit", noon())]).await.unwrap();
    let request = proto::WatchEventsRequest { parent: world.parent(), cursor: String::new() };
    let mut stream =
        replica.client_of("delivery").watch_events(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.extend(stream.message().await.unwrap().unwrap().events);
    }
    assert_eq!(id_of(&seen[4].contact), "ana");
}

#[tokio::test]
async fn a_snapshot_tells_two_members_who_became_one_once() {
    let world = World::new().await;
    let replica = world.start().await;
    let ids: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
    replica.write(ids.iter().map(|id| replica.contact(id, &[])).collect()).await.unwrap();
    replica.ready_segment("all", has("email")).await;
    let snapshot = proto::CreateSnapshotRequest {
        parent: world.parent(),
        snapshot_id: "all".to_owned(),
        snapshot: Some(proto::Snapshot {
            audience: Some(proto::Audience {
                include: vec![replica.segment_name("all")],
                exclude: Vec::new(),
            }),
            ..proto::Snapshot::default()
        }),
        request_id: String::new(),
    };
    let snapshot = replica.client().create_snapshot(snapshot).await.unwrap().into_inner();
    let later = ["late", "later"].map(|id| replica.contact(id, &[]));
    replica.write(later.to_vec()).await.unwrap();
    // Both members; both members, the other way; two members and one who is none.
    for (source, target) in [("c1", "c0"), ("c2", "c7"), ("c4", "late"), ("c6", "late")] {
        replica.merge(source, target).await.unwrap();
    }
    for page_size in [1, 2, 3, 100] {
        let mut told = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = proto::ListSnapshotMembersRequest {
                parent: snapshot.name.clone(),
                page_size,
                page_token,
            };
            let page = replica.client().list_snapshot_members(request).await.unwrap().into_inner();
            told.extend(page.members.iter().map(|it| (id_of(&it.contact), it.email.clone())));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let expected = ["c0", "c3", "late", "c5", "c7", "c8", "c9"];
        let expected: Vec<_> =
            expected.iter().map(|id| ((*id).to_owned(), format!("{id}@example.com"))).collect();
        assert_eq!(told, expected, "pages of {page_size}");
    }
    let request = proto::GetSnapshotRequest { name: snapshot.name.clone() };
    let again = replica.client().get_snapshot(request).await.unwrap().into_inner();
    assert_eq!(again, snapshot, "the snapshot itself stays");
}

/// Contacts and who they are: what the test itself expects.
struct Persons(HashMap<String, String>);

impl Persons {
    fn of<'a>(&'a self, id: &'a str) -> &'a str {
        match self.0.get(id) {
            Some(target) => self.of(target),
            None => id,
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_when_everybody_writes_records_and_merges_at_once() {
    let world = World::new().await;
    let replicas = [world.start().await, world.start().await];
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let ids: Vec<String> = (0..40).map(|n| format!("c{n:02}")).collect();
    let kinds: Vec<(String, AttributeKind)> =
        (0..6).map(|n| (format!("a{n}"), AttributeKind::TextSet)).collect();
    let kinds: Vec<(&str, AttributeKind)> =
        kinds.iter().map(|(id, kind)| (id.as_str(), *kind)).collect();
    replicas[0].declare(&kinds).await;
    replicas[0].write(ids.iter().map(|id| replicas[0].contact(id, &[])).collect()).await.unwrap();
    replicas[0].ready_segment("active", did("visit", None, 1)).await;

    let mut persons = Persons(HashMap::new());
    let mut event = 0;
    for _ in 0..8 {
        let mut work: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
        for n in 0..6 {
            let replica = &replicas[n % 2];
            let events: Vec<_> = (0..20)
                .map(|_| {
                    event += 1;
                    let id = &ids[rng.random_range(0..ids.len())];
                    replica.event(&format!("e{event}"), id, ["visit", "cart"][n % 2], noon())
                })
                .collect();
            work.push(Box::pin(async move {
                eventually(|| replica.record(events.clone())).await;
            }));
            let attribute = format!("a{n}");
            let contacts: Vec<_> = (0..10)
                .map(|k| {
                    let id = &ids[(rng.random_range(0..4) + k * 4) % ids.len()];
                    let mut contact = replica.contact(id, &[(&attribute, texts(&[id]))]);
                    contact.email = String::new();
                    contact
                })
                .collect();
            work.push(Box::pin(async move {
                eventually(|| replica.write(contacts.clone())).await;
            }));
        }
        // Pairs of persons who are not one yet, some of them in a chain.
        for n in 0..3 {
            let source = persons.of(&ids[rng.random_range(0..ids.len())]).to_owned();
            let target = ids[rng.random_range(0..ids.len())].clone();
            if persons.of(&target) == source {
                continue;
            }
            persons.0.insert(source.clone(), persons.of(&target).to_owned());
            let replica = &replicas[n % 2];
            work.push(Box::pin(async move {
                eventually(|| replica.merge(&source, &target)).await;
            }));
        }
        join_all(work).await;
    }
    check(&world, &replicas, (&ids, &persons), event).await;
}

/// Tries again for as long as others are in the way. What took effect although no time was left to say so takes it once.
async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Result<T, tonic::Status>) -> T {
    loop {
        match attempt().await {
            Ok(answer) => return answer,
            Err(status) if matches!(status.code(), Code::Aborted | Code::DeadlineExceeded) => {}
            Err(status) => panic!("{status:?}"),
        }
    }
}

async fn check(
    world: &World,
    replicas: &[Replica; 2],
    (ids, persons): (&[String], &Persons),
    events: i64,
) {
    let mut classes: HashMap<String, Vec<&str>> = HashMap::new();
    for id in ids {
        // Merges that ran at once may have ended in either order: who stays is told, who is one is known.
        let stays = id_of(&replicas[0].get(id).await.unwrap().name);
        assert_eq!(id_of(&replicas[1].get(id).await.unwrap().name), stays);
        classes.entry(stays).or_default().push(id);
    }
    for members in classes.values() {
        let person = persons.of(members[0]);
        assert!(members.iter().all(|id| persons.of(id) == person), "{members:?}");
    }
    let distinct: std::collections::HashSet<&str> = ids.iter().map(|id| persons.of(id)).collect();
    assert_eq!(classes.len(), distinct.len());
    assert_eq!(replicas[0].listed().await.len(), distinct.len());

    let count = async |sql: &'static str| -> i64 {
        let query = sqlx::query_scalar(sql).bind(&world.workspace);
        query.fetch_one(&world.database.pool).await.unwrap()
    };
    assert_eq!(count("select count(*) from events where workspace_id = $1").await, events);
    let orphans = "select count(*) from events left join contacts using (workspace_id, ordinal)
        where workspace_id = $1 and contact_id is null";
    assert_eq!(count(orphans).await, 0, "events of nobody");
    let lost = "select count(*) from departures left join contacts
            on contacts.workspace_id = departures.workspace_id and contacts.ordinal = target_ordinal
        where departures.workspace_id = $1 and contacts.ordinal is null";
    assert_eq!(count(lost).await, 0, "ids that lead nowhere");

    let active = "select count(distinct ordinal) from events
        where workspace_id = $1 and event_name = 'visit'";
    let active = count(active).await;
    replicas[0].until_count("active", active).await;
    let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
    let expected = replicas[0].check("active", &asked).await.unwrap().members;
    replicas[1].until_members("active", &asked, &expected).await;
    let mut members = replicas[0].members("active").await;
    members.sort();
    let mut found: Vec<String> = Vec::new();
    for (id, is_member) in ids.iter().zip(expected) {
        if is_member {
            found.push(id_of(&replicas[0].get(id).await.unwrap().name));
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(members, found);
}
