//! How long it takes from an event to a membership that others can read, under load; and how late contacts leave whose
//! windows close all at once. Runs the service in this process on a database of its own:
//! `cargo run --release -p cursus-segmentation --example lag -- --database-url=… --redis-url=…`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it reports to whoever runs it")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::segmentation as proto;
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_segmentation::{Config, MIGRATOR, Segmentation};
use cursus_testkit::clients::{Authorized, channel};
use cursus_testkit::scratch;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Client = SegmentationServiceClient<Authorized>;

const WORKSPACE: &str = "acme";
/// What contacts do.
const NAMES: u32 = 5;
/// Contacts who do nothing but be looked at, one probe each.
const PROBES: u32 = 2_000;

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// A Postgres server on which a database can be made.
    #[arg(long)]
    database_url: String,
    /// A Redis server.
    #[arg(long)]
    redis_url: String,
    /// How many contacts there are.
    #[arg(long, default_value_t = 1_000_000)]
    contacts: u32,
    /// How many events each of them has from the start.
    #[arg(long, default_value_t = 4)]
    history: u32,
    /// How many segments follow them.
    #[arg(long, default_value_t = 50)]
    segments: u32,
    /// How many events come each second.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// How many of them in one call.
    #[arg(long, default_value_t = 20)]
    batch: u32,
    /// How long.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// How many windows close within one second.
    #[arg(long, default_value_t = 100_000)]
    deadlines: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let blank = scratch::blank(&arguments.database_url, "lag").await?;
    let pool = PgPool::connect(&blank.url).await?;
    MIGRATOR.run(&pool).await?;
    let files = tempfile::tempdir()?;
    let segmentation =
        Segmentation::build(config(&arguments, &blank.url, files.path())?, Ambient::system())
            .await?;
    let address = segmentation.local_addr();
    let shutdown = CancellationToken::new();
    let mut serving = JoinSet::new();
    serving.spawn(segmentation.run(shutdown.clone()));
    let client = SegmentationServiceClient::new(channel(address, "lag-token")?);

    let begun = Instant::now();
    fill(&pool, &arguments).await?;
    println!("filled in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    follow(&client, &arguments).await;
    println!("{} segments ready in {:.1?}", arguments.segments, begun.elapsed());
    under_load(&client, &arguments).await;
    all_at_once(&client, &pool, &arguments).await?;
    shutdown.cancel();
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(())
}

fn config(
    arguments: &Arguments,
    database_url: &str,
    files: &std::path::Path,
) -> anyhow::Result<Config> {
    let mut digest = String::new();
    Sha256::digest("lag-token").iter().for_each(|byte| write!(digest, "{byte:02x}").unwrap());
    let identities = format!(
        r#"[{{"subject": "lag", "token_sha256": "{digest}", "roles": ["editor"], "workspaces": ["*"]}}]"#
    );
    let path = |name: &str| files.join(name).display().to_string();
    std::fs::write(path("identities"), identities)?;
    std::fs::write(path("token"), "segmentation-token")?;
    Ok(Config::try_parse_from([
        "cursus-segmentation".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        "--admin-listen=127.0.0.1:0".to_owned(),
        format!("--identities-file={}", path("identities")),
        format!("--service-token-file={}", path("token")),
        format!("--database-url={database_url}"),
        "--database-connections=20".to_owned(),
        format!("--redis-url={}", arguments.redis_url),
    ])?)
}

/// Behind the service's back, because that is quick.
async fn fill(pool: &PgPool, arguments: &Arguments) -> anyhow::Result<()> {
    let count = i32::try_from(arguments.contacts)?;
    sqlx::raw_sql(
        "insert into attributes (workspace_id, attribute_id, number, kind, description, create_time)
         values ('acme', 'plan', 1, 'text', '', now())",
    )
    .execute(pool)
    .await?;
    // The plan, packed: its number, the tag of texts, the length and the text.
    sqlx::query(
        r"insert into contacts
         select 'acme', n, 'c' || n, 'c' || n || '@example.com',
             case n % 2 when 0 then '\x0100000300'::bytea || 'pro'::bytea
                 else '\x0100000400'::bytea || 'free'::bytea end,
             now() - interval '90 days', now()
         from generate_series(0, $1 - 1) as n",
    )
    .bind(count)
    .execute(pool)
    .await?;
    for _ in 0..arguments.history {
        sqlx::query(
            "insert into events
             select 'acme', 'deed' || (random() * 1000)::int % $2, n,
                 now() - random() * interval '40 days', 'h' || n, '', now()
             from generate_series(0, $1 - 1) as n",
        )
        .bind(count)
        .bind(i32::try_from(NAMES)?)
        .execute(pool)
        .await?;
    }
    sqlx::query("insert into workspaces values ('acme', $1)").bind(count).execute(pool).await?;
    sqlx::raw_sql("vacuum analyze contacts; ").execute(pool).await?;
    sqlx::raw_sql("analyze events").execute(pool).await?;
    Ok(())
}

async fn follow(client: &Client, arguments: &Arguments) {
    let mut client = client.clone();
    create(&mut client, "probed", did("probe", Some(TimeDelta::days(1)), 1)).await;
    create(&mut client, "burst", did("burst", Some(TimeDelta::days(1)), 1)).await;
    for n in 0..arguments.segments.saturating_sub(2) {
        let days = TimeDelta::days(1 + i64::from(n * 7 % 30));
        let rule = did(&format!("deed{}", n % NAMES), Some(days), 1 + n % 3);
        let rule = match n % 4 {
            0 => rule,
            1 => kind(proto::rule::Kind::Not(Box::new(rule))),
            2 => kind(proto::rule::Kind::All(proto::All { rules: vec![pro(), rule] })),
            _ => {
                let other = did(&format!("deed{}", (n + 1) % NAMES), Some(days), 1);
                kind(proto::rule::Kind::Any(proto::Any { rules: vec![rule, other] }))
            }
        };
        create(&mut client, &format!("s{n}"), rule).await;
    }
    loop {
        let request = proto::ListSegmentsRequest {
            parent: format!("workspaces/{WORKSPACE}"),
            ..proto::ListSegmentsRequest::default()
        };
        let listed = client.list_segments(request).await.unwrap().into_inner().segments;
        if listed.iter().all(|it| it.state() == proto::segment::State::Ready) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn create(client: &mut Client, id: &str, rule: proto::Rule) {
    let request = proto::CreateSegmentRequest {
        parent: format!("workspaces/{WORKSPACE}"),
        segment_id: id.to_owned(),
        segment: Some(proto::Segment { rule: Some(rule), ..proto::Segment::default() }),
        request_id: String::new(),
    };
    client.create_segment(request).await.unwrap();
}

/// Events at a rate that does not wait for anything, and probes among them.
async fn under_load(client: &Client, arguments: &Arguments) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut calls = JoinSet::new();
    let probing = probes(client.clone(), arguments.contacts, arguments.seconds);
    let mut probing = JoinSet::from_iter([probing]);
    let pause = Duration::from_secs(1) * arguments.batch / arguments.rate;
    let count = arguments.rate * arguments.seconds / arguments.batch;
    let begun = Instant::now();
    for call in 0..count {
        tokio::time::sleep_until((begun + pause * call).into()).await;
        let events = (0..arguments.batch).map(|n| {
            let contact = rng.random_range(0..arguments.contacts - PROBES);
            let name = format!("deed{}", rng.random_range(0..NAMES));
            event(&format!("l{call}-{n}"), contact, &name, Utc::now())
        });
        let request = proto::BatchRecordEventsRequest {
            parent: format!("workspaces/{WORKSPACE}"),
            events: events.collect(),
        };
        let mut client = client.clone();
        calls.spawn(async move {
            let begun = Instant::now();
            client.batch_record_events(request).await.unwrap();
            begun.elapsed()
        });
    }
    let mut calls = calls.join_all().await;
    println!("{} events in {:.1?}", arguments.rate * arguments.seconds, begun.elapsed());
    tell("calls that record", &mut calls);
    let mut lags = probing.join_next().await.unwrap().unwrap();
    tell("from an event acknowledged to a check that sees it", &mut lags);
    tell_metric("cursus_segmentation_change_lag_seconds");
}

/// Each probe is an event after which a check is repeated until it is answered with yes.
async fn probes(mut client: Client, contacts: u32, seconds: u32) -> Vec<Duration> {
    let mut lags = Vec::new();
    let begun = Instant::now();
    for probe in 0..PROBES {
        if begun.elapsed() >= Duration::from_secs(seconds.into()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(23)).await;
        let contact = contacts - PROBES + probe;
        let request = proto::RecordEventRequest {
            parent: format!("workspaces/{WORKSPACE}"),
            event: Some(event(&format!("p{probe}"), contact, "probe", Utc::now())),
        };
        client.record_event(request).await.unwrap();
        let recorded = Instant::now();
        loop {
            let request = proto::CheckMembershipRequest {
                segment: format!("workspaces/{WORKSPACE}/segments/probed"),
                contacts: vec![name(contact)],
            };
            let checked = client.check_membership(request).await.unwrap().into_inner();
            if checked.members == [true] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        lags.push(recorded.elapsed());
    }
    lags
}

/// Windows that close within one second.
async fn all_at_once(client: &Client, pool: &PgPool, arguments: &Arguments) -> anyhow::Result<()> {
    let close = Utc::now() + TimeDelta::seconds(90);
    let first = close - TimeDelta::days(1);
    for start in (0..arguments.deadlines).step_by(1_000) {
        let events = (start..arguments.deadlines.min(start + 1_000)).map(|n| {
            let time = first
                + TimeDelta::microseconds(
                    i64::from(n) * 1_000_000 / i64::from(arguments.deadlines),
                );
            // Over all blocks.
            let contact = n * ((arguments.contacts - PROBES) / arguments.deadlines).max(1);
            event(&format!("b{n}"), contact, "burst", time)
        });
        let request = proto::BatchRecordEventsRequest {
            parent: format!("workspaces/{WORKSPACE}"),
            events: events.collect(),
        };
        client.clone().batch_record_events(request).await?;
    }
    let left = async || -> anyhow::Result<(i64, Option<DateTime<Utc>>)> {
        let query = sqlx::query_as(
            "select count(*), max(time) from transitions where segment_id = 'burst' and entered = $1",
        );
        Ok(query.bind(false).fetch_one(pool).await?)
    };
    println!("{:.1} s before the first window closes", (close - Utc::now()).as_seconds_f64());
    let all = i64::from(arguments.deadlines);
    while left().await?.0 < all && Utc::now() < close + TimeDelta::seconds(120) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let since = (Utc::now() - close - TimeDelta::seconds(1)).as_seconds_f64();
    println!(
        "{} of {all} left, the last {since:.2} s after the last window closed",
        left().await?.0
    );
    tell_metric("cursus_segmentation_deadline_lag_seconds");
    Ok(())
}

fn event(id: &str, contact: u32, event_name: &str, time: DateTime<Utc>) -> proto::Event {
    proto::Event {
        event_id: id.to_owned(),
        contact: name(contact),
        event_name: event_name.to_owned(),
        event_time: Some(prost_types::Timestamp {
            seconds: time.timestamp(),
            nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap(),
        }),
        ..proto::Event::default()
    }
}

fn name(contact: u32) -> String {
    format!("workspaces/{WORKSPACE}/contacts/c{contact}")
}

fn kind(kind: proto::rule::Kind) -> proto::Rule {
    proto::Rule { kind: Some(kind) }
}

fn pro() -> proto::Rule {
    kind(proto::rule::Kind::Comparison(proto::Comparison {
        attribute: "plan".to_owned(),
        operator: proto::Operator::Equal.into(),
        value: Some(proto::Value { kind: Some(proto::value::Kind::Text("pro".to_owned())) }),
    }))
}

fn did(event: &str, within: Option<TimeDelta>, at_least: u32) -> proto::Rule {
    kind(proto::rule::Kind::Behaviour(proto::Behaviour {
        event: event.to_owned(),
        from: within.map(|it| prost_types::Duration { seconds: it.num_seconds(), nanos: 0 }),
        aggregate: proto::behaviour::Aggregate::Count.into(),
        operator: proto::Operator::GreaterOrEqual.into(),
        value: at_least.into(),
        ..proto::Behaviour::default()
    }))
}

fn tell(what: &str, times: &mut [Duration]) {
    times.sort();
    let Some(last) = times.last().copied() else { return };
    let quantile = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
    println!(
        "{what}: {} times, p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, most {last:.1?}",
        times.len(),
        quantile(500),
        quantile(900),
        quantile(990),
    );
}

/// The buckets of a histogram that this process keeps, added up.
fn tell_metric(name: &str) {
    for family in prometheus::gather().iter().filter(|family| family.name() == name) {
        for metric in family.get_metric() {
            let histogram = metric.get_histogram();
            let count = histogram.get_sample_count().max(1);
            let told = histogram.get_bucket().iter().map(|bucket| {
                let percent = 100 * bucket.cumulative_count() / count;
                format!("≤{}s {percent}%", bucket.upper_bound())
            });
            println!("{name}: {count} times, {}", told.collect::<Vec<_>>().join(", "));
        }
    }
}
