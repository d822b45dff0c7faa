//! How fast segments are loaded and answered: a filled database is served, segments are created by their text until all
//! are ready, and then their plans are timed over the blocks that the service's own loader reads. `cargo xtask bench
//! segments` fills the database, compares with other engines and prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::segmentation as proto;
use cursus_segmentation::columns::{self, Columns};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};

use crate::memory::Memory;
use crate::service::{Service, WORKSPACE};
use crate::timing::Timing;

#[path = "segments/memory.rs"]
mod memory;
#[path = "serving/service.rs"]
mod service;
#[path = "segments/timing.rs"]
mod timing;

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// The database with the contacts and the events.
    #[arg(long)]
    database_url: String,
    /// A Redis server.
    #[arg(long)]
    redis_url: String,
    /// The segments: a JSON list of `id` and `rule`.
    #[arg(long)]
    segments: PathBuf,
    /// Where the report goes, as JSON.
    #[arg(long)]
    report: PathBuf,
    /// When it is: windows end just before.
    #[arg(long)]
    now: DateTime<Utc>,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Deserialize)]
struct Segment {
    id: String,
    rule: String,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// From the first segment's creation until all are ready.
    load_seconds: f64,
    /// What the process had then, and at most until then.
    resident_bytes: u64,
    peak_bytes: u64,
    /// What the columns alone take.
    column_bytes: usize,
    /// By the segments' ids.
    segments: BTreeMap<String, Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    /// As the service says.
    member_count: i64,
    /// As evaluating its plan says.
    evaluated: u32,
    median_millis: f64,
    least_millis: f64,
    busy_millis: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let segments: Vec<Segment> = serde_json::from_str(&fs::read_to_string(&arguments.segments)?)?;
    // Windows of the benchmark include their very beginning and not their very end.
    let now = arguments.now - TimeDelta::microseconds(1);
    let service =
        Service::start(&arguments.database_url, &arguments.redis_url, Ambient::manual(now, 7))
            .await?;
    let (load, counts) = load(&service, &segments).await?;
    let memory = Memory::now()?;
    service.stop().await?;
    let mut conn = PgConnection::connect(&arguments.database_url).await?;
    let columns = columns::load(&mut conn, WORKSPACE, now).await?;
    let mut report = Report {
        load_seconds: load.as_secs_f64(),
        resident_bytes: memory.resident,
        peak_bytes: memory.peak,
        column_bytes: columns.blocks.iter().map(cursus_audience::Block::bytes).sum(),
        segments: BTreeMap::new(),
    };
    for (id, member_count) in counts {
        let found = time(&columns, &id, (member_count, now))?;
        report.segments.insert(id, found);
    }
    write(&arguments.report, &report)
}

/// Creates the segments and waits until all are ready; how long that took, and how many members each has.
async fn load(
    service: &Service,
    segments: &[Segment],
) -> anyhow::Result<(Duration, BTreeMap<String, i64>)> {
    let mut client = service.client()?;
    let begun = Instant::now();
    for Segment { id, rule } in segments {
        let segment = proto::Segment { rule_text: rule.clone(), ..proto::Segment::default() };
        let created = service::create(&mut client, id, segment).await;
        created.with_context(|| format!("segment `{id}` is refused"))?;
    }
    let ready = service::ready(&mut client).await?;
    let took = begun.elapsed();
    let count = |segment: proto::Segment| {
        let id = segment.name.rsplit('/').next().unwrap_or_default().to_owned();
        (id, segment.member_count)
    };
    Ok((took, ready.into_iter().map(count).collect()))
}

fn time(
    columns: &Columns,
    id: &str,
    (member_count, now): (i64, DateTime<Utc>),
) -> anyhow::Result<Found> {
    let plan = columns.plans.get(id).with_context(|| format!("segment `{id}` has no plan"))?;
    let Timing { members, median, least, busy } =
        timing::measure(plan, &columns.blocks, now.timestamp_micros());
    Ok(Found {
        member_count,
        evaluated: members,
        median_millis: median.as_secs_f64() * 1e3,
        least_millis: least.as_secs_f64() * 1e3,
        busy_millis: busy.as_secs_f64() * 1e3,
    })
}

fn write(path: &Path, report: &Report) -> anyhow::Result<()> {
    Ok(fs::write(path, serde_json::to_string_pretty(report)?)?)
}
