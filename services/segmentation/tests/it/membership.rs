//! Asking who is a member, with Redis there, gone, empty or full of lies.

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use cursus_testkit::servers::{Installation, Redis, RedisCluster};
use tonic::Code;

use crate::rules::{did, has, is};
use crate::world::{Replica, World, noon, refused, text};

async fn with_pros(world: &World) -> Replica {
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text)]).await;
    let contacts = (0..30)
        .map(|n| {
            let plan = if n % 3 == 0 { "pro" } else { "free" };
            replica.contact(&format!("c{n}"), &[("plan", text(plan))])
        })
        .collect();
    replica.write(contacts).await.unwrap();
    replica.ready_segment("pros", is("plan", text("pro"))).await;
    replica
}

const ASKED: [&str; 5] = ["c0", "c1", "c27", "c29", "nobody"];
const PROS: [bool; 5] = [true, false, true, false, false];

#[tokio::test]
async fn a_check_answers_in_the_order_asked_and_nobody_is_in_no_segment() {
    let world = World::new().await;
    let replica = with_pros(&world).await;
    let checked = replica.check("pros", &ASKED).await.unwrap();
    assert_eq!((checked.members, checked.revision), (PROS.to_vec(), 1));
    let twice = replica.check("pros", &["c1", "c0", "c0", "c1"]).await.unwrap();
    assert_eq!(twice.members, [false, true, true, false]);
    assert!(replica.check("pros", &[]).await.unwrap().members.is_empty());
    refused(replica.check("pro", &["c0"]).await, Code::NotFound, "NO_SUCH_SEGMENT", "");
    let request = proto::CheckMembershipRequest {
        segment: replica.segment_name("pros"),
        contacts: vec!["workspaces/elsewhere/contacts/c0".to_owned()],
    };
    let outcome = replica.client().check_membership(request).await;
    refused(outcome, Code::InvalidArgument, "INVALID_FIELD", "contacts[0]");
    let many = vec!["c0"; 1_001];
    let outcome = replica.check("pros", &many).await;
    refused(outcome, Code::InvalidArgument, "INVALID_FIELD", "contacts");
}

#[tokio::test]
async fn members_are_streamed_in_the_order_in_which_they_were_first_written() {
    let world = World::new().await;
    let replica = with_pros(&world).await;
    let expected: Vec<String> = (0..10).map(|n| format!("c{}", n * 3)).collect();
    assert_eq!(replica.members("pros").await, expected);
    let contacts = (0..2_500).map(|n| replica.contact(&format!("d{n}"), &[])).collect();
    replica.import(contacts).await;
    replica.ready_segment("all", has("email")).await;
    assert_eq!(replica.members("all").await.len(), 2_530);
}

#[tokio::test]
async fn a_workspace_of_two_blocks_is_one_to_those_who_ask() {
    let world = World::new().await;
    let replica = world.start().await;
    // Behind the service's back, for it takes a while through it: all but a few of the first block.
    let fill = "insert into contacts
        select $1, n, 'c' || n, 'c' || n || '@example.com', '', $2, $2 from generate_series(0, 65529) as n";
    let query = sqlx::query(fill).bind(&world.workspace).bind(noon());
    query.execute(&world.database.pool).await.unwrap();
    let count = sqlx::query("insert into workspaces values ($1, 65530)").bind(&world.workspace);
    count.execute(&world.database.pool).await.unwrap();
    replica.ready_segment("all", has("email")).await;
    let contacts = (0..12).map(|n| replica.contact(&format!("new{n:02}"), &[])).collect();
    assert_eq!(replica.write(contacts).await.unwrap().created_count, 12);
    replica.until_count("all", 65_542).await;
    let asked = ["c0", "new00", "new05", "new06", "new11", "new12"];
    replica.until_members("all", &asked, &[true, true, true, true, true, false]).await;
    let members = replica.members("all").await;
    assert_eq!(members.len(), 65_542);
    assert_eq!(members[65_535..65_537], ["new05", "new06"]);

    let event = |id: &str| replica.event(id, id, "login", noon());
    replica.record(vec![event("c9"), event("new05"), event("new06")]).await.unwrap();
    let active = replica.ready_segment("active", did("login", Some(1), 1)).await;
    assert_eq!(active.member_count, 3);
    let snapshot = proto::CreateSnapshotRequest {
        parent: world.parent(),
        snapshot_id: "s".to_owned(),
        snapshot: Some(proto::Snapshot {
            audience: Some(proto::Audience {
                include: vec![replica.segment_name("active")],
                exclude: Vec::new(),
            }),
            ..proto::Snapshot::default()
        }),
        request_id: String::new(),
    };
    let snapshot = replica.client().create_snapshot(snapshot).await.unwrap().into_inner();
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..3 {
        let parent = snapshot.name.clone();
        let list = proto::ListSnapshotMembersRequest { parent, page_size: 1, page_token };
        let page = replica.client().list_snapshot_members(list).await.unwrap().into_inner();
        found.extend(page.members.iter().map(|member| crate::world::id_of(&member.contact)));
        page_token = page.next_page_token;
    }
    assert_eq!((found.join(" "), page_token.as_str()), ("c9 new05 new06".to_owned(), ""));
}

#[tokio::test]
async fn a_dead_redis_changes_no_answer() {
    let mut world = World::new().await;
    world.redis_url = format!("redis://127.0.0.1:{}", cursus_testkit::port::free().unwrap());
    let replica = with_pros(&world).await;
    assert_eq!(replica.check("pros", &ASKED).await.unwrap().members, PROS);
    replica.write(vec![replica.contact("c1", &[("plan", text("pro"))])]).await.unwrap();
    replica.until_members("pros", &["c0", "c1"], &[true, true]).await;
}

#[tokio::test]
async fn a_redis_that_stops_and_comes_back_empty_changes_no_answer() {
    let mut redis = Redis::start(&Installation::find().unwrap()).await.unwrap();
    let mut world = World::new().await;
    world.redis_url = redis.url();
    let replica = with_pros(&world).await;
    assert_eq!(replica.check("pros", &ASKED).await.unwrap().members, PROS);
    redis.stop().await.unwrap();
    assert_eq!(replica.check("pros", &ASKED).await.unwrap().members, PROS);
    replica.write(vec![replica.contact("c1", &[("plan", text("pro"))])]).await.unwrap();
    replica.until_members("pros", &["c1"], &[true]).await;
    redis.resume().await.unwrap();
    assert_eq!(
        replica.check("pros", &["c0", "c1", "c2"]).await.unwrap().members,
        [true, true, false]
    );
    crate::world::until("redis has copies again", async || {
        replica.check("pros", &["c1"]).await.unwrap();
        (!keys(&world).await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(
        replica.check("pros", &["c0", "c1", "c2"]).await.unwrap().members,
        [true, true, false]
    );
}

#[tokio::test]
async fn a_cluster_of_three_holds_the_copies_and_answers() {
    let cluster = RedisCluster::start(&Installation::find().unwrap()).await.unwrap();
    let mut world = World::new().await;
    world.redis_url = cluster.url();
    let replica = with_pros(&world).await;
    let mut segments = vec!["pros".to_owned()];
    for n in 0..12 {
        segments.push(format!("s{n}"));
        replica.ready_segment(&format!("s{n}"), is("plan", text("pro"))).await;
    }
    for segment in &segments {
        replica.until_members(segment, &ASKED, &PROS).await;
    }
    let held = async || {
        let mut held = Vec::new();
        for url in cluster.urls() {
            let client = redis::Client::open(url).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let pattern = format!("cursus:{{{}/*", world.workspace);
            let keys: Vec<String> =
                redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
            held.push(keys);
        }
        held
    };
    let before = held().await;
    assert!(before.iter().all(|keys| !keys.is_empty()), "{before:?}");
    assert!(before.iter().map(Vec::len).sum::<usize>() >= segments.len());
    // One event changes all of them at once, on all nodes.
    replica.write(vec![replica.contact("c1", &[("plan", text("pro"))])]).await.unwrap();
    for segment in &segments {
        replica.until_members(segment, &["c0", "c1"], &[true, true]).await;
    }
    // The only way to see where an answer comes from is a copy that lies.
    for (url, keys) in cluster.urls().into_iter().zip(held().await) {
        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        for key in keys {
            let mut set = redis::cmd("SET");
            set.arg(key).arg(vec![0xff_u8; 8_192]);
            set.exec_async(&mut connection).await.unwrap();
        }
    }
    for segment in &segments {
        assert_eq!(replica.check(segment, &["c2"]).await.unwrap().members, [true], "{segment}");
    }
}

#[tokio::test]
async fn what_redis_says_about_old_versions_is_never_believed() {
    let world = World::new().await;
    let replica = with_pros(&world).await;
    assert_eq!(replica.check("pros", &ASKED).await.unwrap().members, PROS);
    let old = keys(&world).await;
    assert_eq!(old.len(), 1, "{old:?}");
    replica.write(vec![replica.contact("c1", &[("plan", text("pro"))])]).await.unwrap();
    replica.until_members("pros", &["c0", "c1", "c2"], &[true, true, false]).await;
    // Old copies now say that everybody is a member, as one that was written late or restored might.
    let mut connection = connect(&world).await;
    for key in &old {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(vec![0xff_u8; 8_192]);
        set.exec_async(&mut connection).await.unwrap();
    }
    assert_eq!(
        replica.check("pros", &["c0", "c1", "c2"]).await.unwrap().members,
        [true, true, false]
    );
    // And the new ones are lost.
    for key in keys(&world).await.iter().filter(|key| !old.contains(key)) {
        redis::cmd("DEL").arg(key).exec_async(&mut connection).await.unwrap();
    }
    assert_eq!(
        replica.check("pros", &["c0", "c1", "c2"]).await.unwrap().members,
        [true, true, false]
    );
    let other = world.start().await;
    assert_eq!(
        other.check("pros", &["c0", "c1", "c2"]).await.unwrap().members,
        [true, true, false]
    );
}

#[tokio::test]
async fn answers_come_from_redis_while_it_has_a_copy() {
    let world = World::new().await;
    let replica = with_pros(&world).await;
    assert_eq!(replica.check("pros", &["c1"]).await.unwrap().members, [false]);
    // The only way to see where an answer comes from is a copy that lies.
    let mut connection = connect(&world).await;
    for key in keys(&world).await {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(vec![0xff_u8; 8_192]);
        set.exec_async(&mut connection).await.unwrap();
    }
    assert_eq!(replica.check("pros", &["c1"]).await.unwrap().members, [true]);
}

#[tokio::test]
async fn a_segment_being_computed_has_no_members_to_ask_about() {
    let world = World::new().await;
    let replica = with_pros(&world).await;
    // Nobody evaluates while another holds the changes.
    let mut tx = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table containers in exclusive mode").execute(&mut *tx).await.unwrap();
    replica.create_segment("active", did("login", Some(1), 1)).await.unwrap();
    let outcome = replica.check("active", &["c0"]).await;
    refused(outcome, Code::FailedPrecondition, "SEGMENT_COMPUTING", "");
    tx.rollback().await.unwrap();
    replica.record(vec![replica.event("1", "c0", "login", noon())]).await.unwrap();
    replica.ready("active").await;
    replica.until_members("active", &["c0", "c1"], &[true, false]).await;
}

pub(crate) async fn connect(world: &World) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(world.redis_url.as_str()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

pub(crate) async fn keys(world: &World) -> Vec<String> {
    let mut connection = connect(world).await;
    let pattern = format!("cursus:{{{}/*", world.workspace);
    redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap()
}
