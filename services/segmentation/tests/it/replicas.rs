//! Three replicas under load, some of which are killed without warning, against plain SQL: who is a member, what Redis
//! answers, and every transition, none lost and none told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use proto::transition::{Cause, Direction};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;

use crate::rules::{all, did, is, not};
use crate::world::{Client, Replica, World, flag, id_of, number, text, until};

const CONTACTS: u32 = 60;
const ROUNDS: u32 = 12;
const DAY: i64 = 86_400;

/// Each segment as a rule, and as SQL over `people` and `deeds` at `$1`.
fn segments() -> Vec<(&'static str, proto::Rule, &'static str)> {
    const ACTIVE: &str = "exists (select from oracle.deeds where person = id and at <= $1
        and at > $1 - interval '1 day')";
    const KEEN: &str = "3 <= (select count(*) from oracle.deeds where person = id and at <= $1
        and at > $1 - interval '2 days')";
    const LAZY: &str = "not exists (select from oracle.deeds where person = id and at <= $1
        and at > $1 - interval '1 day')";
    const PRO_AND_ACTIVE: &str = "plan = 'pro' and exists (select from oracle.deeds
        where person = id and at <= $1 and at > $1 - interval '1 day')";
    vec![
        ("pros", is("plan", text("pro")), "plan = 'pro'"),
        ("active", did("login", Some(1), 1), ACTIVE),
        ("keen", did("login", Some(2), 3), KEEN),
        ("lazy", not(did("login", Some(1), 1)), LAZY),
        (
            "pro-and-active",
            all(vec![is("plan", text("pro")), did("login", Some(1), 1)]),
            PRO_AND_ACTIVE,
        ),
    ]
}

/// What is told to the service, and to tables of the test's own.
struct Load {
    pool: PgPool,
    rng: Xoshiro256PlusPlus,
    events: u32,
}

impl Load {
    async fn new(world: &World) -> Self {
        let tables = "create schema oracle;
            create table oracle.people (id text primary key, plan text);
            create table oracle.deeds (person text, at timestamptz)";
        sqlx::raw_sql(tables).execute(&world.database.pool).await.unwrap();
        let seed = rand::random();
        println!("seed {seed}");
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { pool: world.database.pool.clone(), rng, events: 0 }
    }

    /// Writes contacts and has them do something, through whichever replica still answers.
    async fn run(&mut self, replica: &Replica, clients: &[Client], now: DateTime<Utc>) {
        for _ in 0..4 {
            let parent = replica.contact_name("").replace("/contacts/", "");
            let contacts = self.contacts(replica).await;
            let write = proto::BatchUpdateContactsRequest { parent: parent.clone(), contacts };
            through(clients, async |mut client: Client| {
                client.batch_update_contacts(write.clone()).await.is_ok()
            })
            .await;
            let events = self.deeds(replica, now).await;
            let record = proto::BatchRecordEventsRequest { parent, events };
            through(clients, async |mut client: Client| {
                client.batch_record_events(record.clone()).await.is_ok()
            })
            .await;
        }
    }

    async fn contacts(&mut self, replica: &Replica) -> Vec<proto::Contact> {
        let mut contacts = BTreeMap::new();
        for _ in 0..10 {
            let id = format!("c{}", self.rng.random_range(0..CONTACTS));
            let plan = ["pro", "free"][self.rng.random_range(0..2)];
            let insert = "insert into oracle.people values ($1, $2)
                on conflict (id) do update set plan = excluded.plan";
            let query = sqlx::query(insert).bind(&id).bind(plan);
            query.execute(&self.pool).await.unwrap();
            contacts.insert(id.clone(), replica.contact(&id, &[("plan", text(plan))]));
        }
        contacts.into_values().collect()
    }

    async fn deeds(&mut self, replica: &Replica, now: DateTime<Utc>) -> Vec<proto::Event> {
        let query = sqlx::query_scalar("select id from oracle.people order by id");
        let known: Vec<String> = query.fetch_all(&self.pool).await.unwrap();
        let mut events = Vec::new();
        for _ in 0..10 {
            self.events += 1;
            let person = &known[self.rng.random_range(0..known.len())];
            let at = now - TimeDelta::seconds(self.rng.random_range(0..DAY * 2));
            events.push(replica.event(&format!("e{}", self.events), person, "login", at));
            let query = sqlx::query("insert into oracle.deeds values ($1, $2)");
            query.bind(person).bind(at).execute(&self.pool).await.unwrap();
        }
        events
    }

    async fn members(&self, sql: &str, now: DateTime<Utc>) -> BTreeSet<String> {
        let sql = format!("select id from oracle.people where {sql}");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(now);
        query.fetch_all(&self.pool).await.unwrap().into_iter().collect()
    }
}

/// Asks one client after another until one has done it.
async fn through(clients: &[Client], attempt: impl AsyncFn(Client) -> bool) {
    until("a replica does it", async || {
        for client in clients {
            let trying = tokio::time::timeout(Duration::from_secs(5), attempt(client.clone()));
            if trying.await.unwrap_or(false) {
                return Some(());
            }
        }
        None
    })
    .await;
}

#[tokio::test]
async fn replicas_that_are_killed_lose_no_transition_and_tell_none_twice() {
    let world = World::new().await;
    let mut replicas = vec![world.start().await, world.start().await, world.start().await];
    replicas[0].declare(&[("plan", AttributeKind::Text)]).await;
    let mut load = Load::new(&world).await;
    let clients: Vec<Client> = replicas.iter().map(Replica::client).collect();
    load.run(&replicas[0], &clients, world.ambient.now()).await;
    for (id, rule, _) in segments() {
        replicas[0].ready_segment(id, rule).await;
    }
    for round in 0..ROUNDS {
        let victim = load.rng.random_range(0..replicas.len());
        let mut clients: Vec<Client> = replicas.iter().map(Replica::client).collect();
        clients.rotate_left(victim);
        let victim = replicas.swap_remove(victim);
        let now = world.ambient.now();
        let pause = Duration::from_millis(load.rng.random_range(0..150));
        tokio::join!(load.run(&replicas[0], &clients, now), async {
            // At any moment of it.
            tokio::time::sleep(pause).await;
            if round % 2 == 0 {
                victim.kill();
            } else {
                drop(victim);
            }
        });
        settled(&world).await;
        let hours = load.rng.random_range(0..30);
        world.ambient.advance(Duration::from_secs(3_600 * hours + 1));
        replicas.push(world.start().await);
        agree(&world, &load, &replicas, round).await;
    }
    moments_are_exact(&world, &replicas[0]).await;
    every_transition_is_watched_once(&world, &replicas[1]).await;
}

/// Waits until all that was written is taken in.
async fn settled(world: &World) {
    until("all changes are taken in", async || {
        let query = sqlx::query_scalar("select count(*) from block_changes");
        let count: i64 = query.fetch_one(&world.database.pool).await.unwrap();
        (count == 0).then_some(())
    })
    .await;
}

/// The containers, Redis and the history say what plain SQL does.
async fn agree(world: &World, load: &Load, replicas: &[Replica], round: u32) {
    let now = world.ambient.now();
    for (id, _, sql) in segments() {
        let expected = load.members(sql, now).await;
        let known: Vec<String> = load.members("true", now).await.into_iter().collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let is_member: Vec<bool> = known.iter().map(|id| expected.contains(*id)).collect();
        for replica in replicas {
            replica.until_members(id, &known, &is_member).await;
        }
        let streamed: BTreeSet<String> = replicas[0].members(id).await.into_iter().collect();
        assert_eq!(streamed, expected, "{id} in round {round}");
        let mut history = replicas[0].history(&replicas[0].segment_name(id)).await;
        history.reverse();
        let replayed = replay(&history);
        assert_eq!(replayed, expected, "the history of {id} in round {round}");
    }
}

/// Who is a member after all that happened. Each contact enters and leaves in turn.
fn replay(history: &[proto::Transition]) -> BTreeSet<String> {
    let mut members = BTreeSet::new();
    for transition in history {
        let contact = id_of(&transition.contact);
        let is_news = match transition.direction() {
            Direction::Entered => members.insert(contact),
            _ => members.remove(&contact),
        };
        assert!(is_news, "told twice or out of turn: {transition:?}");
    }
    members
}

/// A window closes a day after a login to the microsecond, whoever noticed when.
async fn moments_are_exact(world: &World, replica: &Replica) {
    let history = replica.history(&replica.segment_name("active")).await;
    let by_time: Vec<_> = history.iter().filter(|it| it.cause() == Cause::Time).collect();
    assert!(!by_time.is_empty());
    for transition in by_time {
        assert_eq!(transition.direction(), Direction::Left, "{transition:?}");
        let told = transition.transition_time.unwrap();
        let at = DateTime::from_timestamp(told.seconds, u32::try_from(told.nanos).unwrap());
        let query = sqlx::query_scalar(
            "select exists (select from oracle.deeds where person = $1 and at + interval '1 day' = $2)",
        );
        let query = query.bind(id_of(&transition.contact)).bind(at.unwrap());
        let exists: bool = query.fetch_one(&world.database.pool).await.unwrap();
        assert!(exists, "{transition:?}");
    }
}

/// The feed tells what the lists do: all of it, once.
async fn every_transition_is_watched_once(world: &World, replica: &Replica) {
    let mut listed = Vec::new();
    for (id, ..) in segments() {
        let mut history = replica.history(&replica.segment_name(id)).await;
        history.reverse();
        listed.push((replica.segment_name(id), history));
    }
    let count = listed.iter().map(|(_, history)| history.len()).sum();
    let runs = replica.watched(&world.parent(), "", count).await;
    let watched: Vec<_> = runs.into_iter().flat_map(|run| run.transitions).collect();
    assert_eq!(watched.len(), count);
    for (segment, history) in listed {
        let watched: Vec<_> = watched.iter().filter(|it| it.segment == segment).cloned().collect();
        assert_eq!(replay(&watched), replay(&history), "{segment}");
        assert_eq!(watched.len(), history.len(), "{segment}");
    }
}

#[tokio::test]
async fn a_rule_that_changes_under_load_leaves_no_gap_in_the_history() {
    let world = World::new().await;
    let replicas = [world.start().await, world.start().await];
    replicas[0].declare(&[("plan", AttributeKind::Text), ("vip", AttributeKind::Flag)]).await;
    replicas[0].declare(&[("spend", AttributeKind::Number)]).await;
    let ids: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
    let contacts = |plans: &dyn Fn(usize) -> &'static str| -> Vec<proto::Contact> {
        let contact = |(n, id): (usize, &String)| {
            let attributes = [("plan", text(plans(n))), ("vip", flag(n % 3 == 0))];
            let mut contact = replicas[0].contact(id, &attributes);
            contact
                .attributes
                .insert("spend".to_owned(), number(f64::from(u32::try_from(n).unwrap())));
            contact
        };
        ids.iter().enumerate().map(contact).collect()
    };
    replicas[0].write(contacts(&|_| "pro")).await.unwrap();
    replicas[0].ready_segment("some", is("plan", text("pro"))).await;
    let rules = [
        is("vip", flag(true)),
        is("plan", text("pro")),
        not(is("vip", flag(true))),
        all(vec![is("plan", text("pro")), is("vip", flag(true))]),
    ];
    let load = async {
        for round in 0..40 {
            let plan = move |n: usize| if (n + round) % 4 < 2 { "pro" } else { "free" };
            replicas[round % 2].write(contacts(&plan)).await.unwrap();
        }
    };
    let change = async {
        for rule in rules.iter().cycle().take(8) {
            replicas[1].update_rule("some", rule.clone()).await;
        }
    };
    tokio::join!(load, change);
    settled(&world).await;
    let expected: BTreeSet<String> = until("members are streamed", async || {
        let members = replicas[0].members("some").await;
        Some(members.into_iter().collect())
    })
    .await;
    let segment = replicas[0].segment_name("some");
    let mut history = replicas[0].history(&segment).await;
    history.reverse();
    assert_eq!(replay(&history), expected);
    let runs = replicas[1].watched(&world.parent(), "", history.len()).await;
    let watched: Vec<_> = runs.into_iter().flat_map(|run| run.transitions).collect();
    assert_eq!(replay(&watched), expected);
}
