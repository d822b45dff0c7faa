//! Random contacts, events and time, driven through the contract, against plain SQL over tables of the test's own.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::segmentation as proto;
use cursus_api::segmentation::{AttributeKind, Operator};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;

use crate::rules::{all, any, compare, did, has, is, not, older, summed};
use crate::world::{Replica, World, flag, number, text, time};

const CONTACTS: u32 = 120;
const ROUNDS: u32 = 12;

/// Each segment as a rule, and as SQL over `people` and `deeds` at `$1`.
fn segments() -> Vec<(&'static str, proto::Rule, &'static str)> {
    let logins = "(select count(*) from deeds where person = id and name = 'login'
        and at > $1 - interval '30 days' and at <= $1)";
    let pro_and_rich =
        all(vec![is("plan", text("pro")), compare("spend", Operator::Greater, number(50.0))]);
    vec![
        ("rich-pros", pro_and_rich, "plan = 'pro' and spend > 50"),
        ("no-plan", not(has("plan")), "plan is null"),
        (
            "not-free",
            compare("plan", Operator::NotEqual, text("free")),
            "plan is not null and plan <> 'free'",
        ),
        ("lazy", not(did("login", Some(30), 1)), "0 = logins"),
        ("keen", did("login", Some(30), 3), "3 <= logins"),
        (
            "old-or-vip",
            any(vec![older("seen", 20), is("vip", flag(true))]),
            "coalesce(seen < $1 - interval '20 days', false) or coalesce(vip, false)",
        ),
        (
            "buyers",
            summed("purchase", "amount", ("gift", flag(false)), 120.0),
            "120 <= (select coalesce(sum(amount), 0) from deeds
                where person = id and name = 'purchase' and not gift and at <= $1)",
        ),
    ]
    .into_iter()
    .map(|(id, rule, sql)| {
        let sql: &'static str = Box::leak(sql.replace("logins", logins).into_boxed_str());
        (id, rule, sql)
    })
    .collect()
}

struct Oracle {
    pool: PgPool,
    rng: Xoshiro256PlusPlus,
    events: u32,
}

impl Oracle {
    async fn new(world: &World) -> Self {
        let tables = "create schema oracle;
            create table oracle.people (id text primary key, plan text, spend float8, vip bool, seen timestamptz);
            create table oracle.deeds (person text, name text, at timestamptz, amount float8, gift bool)";
        sqlx::raw_sql(tables).execute(&world.database.pool).await.unwrap();
        let seed = rand::random();
        println!("seed {seed}");
        Self {
            pool: world.database.pool.clone(),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            events: 0,
        }
    }

    /// Writes some contacts anew, everywhere.
    async fn write(&mut self, replica: &Replica, now: DateTime<Utc>) {
        let mut contacts = Vec::new();
        for n in 0..CONTACTS {
            if !self.rng.random_bool(0.3) {
                continue;
            }
            let id = format!("c{n}");
            let plan = ["pro", "free", "team", ""][self.rng.random_range(0..4)];
            let spend = f64::from(self.rng.random_range(0..100_u32));
            let vip = self.rng.random_bool(0.2);
            let seen = now - TimeDelta::hours(self.rng.random_range(0..24 * 40));
            let value = |value: proto::Value, known: bool| {
                if known { value } else { proto::Value { kind: None } }
            };
            let attributes = [
                ("plan", value(text(plan), !plan.is_empty())),
                ("spend", number(spend)),
                ("vip", flag(vip)),
                ("seen", time(seen)),
            ];
            contacts.push(replica.contact(&id, &attributes));
            let insert = "insert into oracle.people values ($1, nullif($2, ''), $3, $4, $5)
                on conflict (id) do update set plan = excluded.plan, spend = excluded.spend,
                    vip = excluded.vip, seen = excluded.seen";
            let query = sqlx::query(insert).bind(id).bind(plan).bind(spend).bind(vip).bind(seen);
            query.execute(&self.pool).await.unwrap();
        }
        replica.write(contacts).await.unwrap();
    }

    /// Has some contacts do something.
    async fn act(&mut self, replica: &Replica, now: DateTime<Utc>) {
        let known: Vec<String> = sqlx::query_scalar("select id from oracle.people order by id")
            .fetch_all(&self.pool)
            .await
            .unwrap();
        let mut events = Vec::new();
        for _ in 0..150 {
            self.events += 1;
            let person = &known[self.rng.random_range(0..known.len())];
            let name = ["login", "purchase"][self.rng.random_range(0..2)];
            let at = now - TimeDelta::minutes(self.rng.random_range(0..60 * 24 * 60));
            let amount = f64::from(self.rng.random_range(0..60_u32));
            let gift = self.rng.random_bool(0.5);
            let mut event = replica.event(&format!("e{}", self.events), person, name, at);
            event.properties.insert("amount".to_owned(), number(amount));
            event.properties.insert("gift".to_owned(), flag(gift));
            events.push(event);
            let insert = "insert into oracle.deeds values ($1, $2, $3, $4, $5)";
            let query =
                sqlx::query(insert).bind(person).bind(name).bind(at).bind(amount).bind(gift);
            query.execute(&self.pool).await.unwrap();
        }
        // Telling some of them twice changes nothing.
        events.extend(events[..10].to_vec());
        replica.record(events).await.unwrap();
    }

    async fn members(&self, sql: &str, now: DateTime<Utc>) -> Vec<String> {
        let sql = format!("select id from oracle.people where {sql} order by id")
            .replace("from deeds", "from oracle.deeds");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(now).fetch_all(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn every_segment_is_what_plain_sql_says_after_every_change() {
    let world = World::new().await;
    let replica = world.start().await;
    replica
        .declare(&[
            ("plan", AttributeKind::Text),
            ("spend", AttributeKind::Number),
            ("vip", AttributeKind::Flag),
            ("seen", AttributeKind::Time),
        ])
        .await;
    let mut oracle = Oracle::new(&world).await;
    for (id, rule, _) in segments() {
        replica.create_segment(id, rule).await.unwrap();
    }
    for round in 0..ROUNDS {
        let now = world.ambient.now();
        oracle.write(&replica, now).await;
        oracle.act(&replica, now).await;
        let days = oracle.rng.random_range(0..12);
        world.ambient.advance(Duration::from_secs(86_400 * days + 1));
        let now = world.ambient.now();
        for (id, rule, sql) in segments() {
            let expected = oracle.members(sql, now).await;
            check(&replica, id, rule, &expected, round).await;
        }
    }
}

/// The members followed in the background, a preview and a snapshot must all agree with the oracle.
async fn check(replica: &Replica, id: &str, rule: proto::Rule, expected: &[String], round: u32) {
    let mut members = Vec::new();
    for _ in 0..1_000 {
        if replica.ready(id).await.member_count == i64::try_from(expected.len()).unwrap() {
            members = replica.members(id).await;
            members.sort();
            if members == expected {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(members, expected, "{id} in round {round}");
    let parent = replica.segment_name("").replace("/segments/", "");
    let preview = proto::PreviewSegmentRequest {
        parent: parent.clone(),
        rule: Some(rule),
        sample_size: 0,
        rule_text: String::new(),
    };
    let preview = replica.client().preview_segment(preview).await.unwrap().into_inner();
    assert_eq!(preview.member_count, i64::try_from(expected.len()).unwrap(), "{id}");
    let snapshot = proto::CreateSnapshotRequest {
        parent,
        snapshot_id: format!("{id}-{round}"),
        snapshot: Some(proto::Snapshot {
            audience: Some(proto::Audience {
                include: vec![replica.segment_name(id)],
                exclude: Vec::new(),
            }),
            ..proto::Snapshot::default()
        }),
        request_id: String::new(),
    };
    let snapshot = replica.client().create_snapshot(snapshot).await.unwrap().into_inner();
    assert_eq!(snapshot.member_count, i64::try_from(expected.len()).unwrap(), "{id}");
    let ids: Vec<&str> = expected.iter().map(String::as_str).collect();
    if !ids.is_empty() {
        assert_eq!(replica.check(id, &ids).await.unwrap().members, vec![true; ids.len()]);
    }
}
