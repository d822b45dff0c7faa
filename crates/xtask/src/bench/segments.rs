//! `bench segments`: contacts and events into Postgres, segments created until they are ready, evaluated warm, counted
//! exactly, and timed beside DuckDB and ClickHouse.

mod catalogue;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use cursus_testkit::directory::Directory;
use cursus_testkit::scratch;
use cursus_testkit::servers::Durability;
use serde::Deserialize;

use self::catalogue::Segment;
use super::comparison::{Comparison, Row};
use super::data::{self, DataSet};
use super::engines::{self, Answers, Engine};
use super::loading::{self, Loaded};
use crate::command::{cargo, run as run_command};
use crate::environment::Environment;
use crate::screen;
use crate::workspace::Workspace;

/// When the benchmark is.
const NOW: &str = "2026-07-01T00:00:00Z";
/// The counts of the eight segments are known for so many contacts of our seed.
const MILLION: u32 = 1_000_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder with contacts.parquet and events.parquet. Without it they are generated.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many contacts are generated, with 20 events each.
    #[arg(long, default_value_t = MILLION, conflicts_with = "data")]
    contacts: u32,
    /// Other segments than the eight: lines of a name, a rule and, if it is known, the count, separated by tabs.
    #[arg(long, value_name = "FILE")]
    segments: Option<PathBuf>,
    /// The folder with generate.py and baseline.py; else as `CURSUS_BENCH` says, or `../shared/bench`.
    #[arg(long, value_name = "DIR")]
    scripts: Option<PathBuf>,
    /// Leave DuckDB and ClickHouse out.
    #[arg(long)]
    alone: bool,
}

/// What the benchmark in the service found.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) load_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) column_bytes: u64,
    segments: BTreeMap<String, Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    member_count: i64,
    evaluated: i64,
    median_millis: f64,
    least_millis: f64,
    busy_millis: f64,
}

pub(crate) async fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let scripts = data::scripts(workspace, options.scripts.as_deref())?;
    let segments = match &options.segments {
        Some(file) => catalogue::read(&fs::read_to_string(file)?)?,
        None => catalogue::eight()?,
    };
    // What cannot be built is told before anything takes long.
    run_command(bench(workspace).arg("--no-run")).await?;
    let data = match &options.data {
        Some(folder) => DataSet::given(folder)?,
        None => DataSet::generated(workspace, scripts.as_deref(), options.contacts).await?,
    };
    let (loaded, report) = ours(workspace, &data, &segments).await?;
    // After ours, and ours is gone by now: nobody takes the processor from the other.
    let peers = match &scripts {
        Some(scripts) if options.segments.is_none() && !options.alone => {
            peers(workspace, (scripts, &data)).await
        }
        _ => Vec::new(),
    };
    let is_known = options.segments.is_some() || data.is_ours && loaded.contacts == MILLION;
    let rows = segments.iter().map(|segment| {
        let found = report.segments.get(&segment.id());
        let found =
            found.ok_or_else(|| anyhow::anyhow!("nothing was found of {}", segment.name))?;
        let answer =
            |(engine, answers): &(Engine, Answers)| Some((*engine, *answers.get(&segment.name)?));
        Ok(Row {
            name: segment.name.clone(),
            members: found.member_count,
            evaluated: found.evaluated,
            expected: segment.expected.filter(|_| is_known),
            median_millis: found.median_millis,
            least_millis: found.least_millis,
            busy_millis: found.busy_millis,
            peers: peers.iter().filter_map(answer).collect(),
        })
    });
    let comparison =
        Comparison { rows: rows.collect::<anyhow::Result<_>>()?, loaded, report: &report };
    screen::print(comparison.to_string());
    comparison.check()
}

/// Fills a database and runs the service's benchmark on it.
async fn ours(
    workspace: &Workspace,
    data: &DataSet,
    segments: &[Segment],
) -> anyhow::Result<(Loaded, Report)> {
    let environment = Environment::start(workspace, Durability::Durable).await?;
    let database = scratch::blank(&environment.database_url, "bench").await?;
    let loaded = loading::load(workspace, data, &database.url).await?;
    let files = Directory::create()?;
    let (wanted, report) = (files.join("segments.json"), files.join("report.json"));
    fs::write(&wanted, catalogue::to_json(segments)?)?;
    let mut measure = bench(workspace);
    measure.arg("--").arg(format!("--database-url={}", database.url));
    measure.arg(format!("--redis-url={}", environment.redis_url)).arg(format!("--now={NOW}"));
    measure.arg(path("--segments", &wanted)).arg(path("--report", &report));
    let step = screen::step("loading the segments and timing them");
    run_command(&mut measure).await?;
    step.done();
    Ok((loaded, serde_json::from_str(&fs::read_to_string(&report)?)?))
}

/// What the other engines say; those that cannot be asked are left out.
async fn peers(workspace: &Workspace, asked: (&Path, &DataSet)) -> Vec<(Engine, Answers)> {
    let mut peers = Vec::new();
    for engine in Engine::ALL {
        match engines::answers(workspace, asked, engine).await {
            Ok(answers) => peers.push((engine, answers)),
            Err(error) => screen::say(format!("{engine} is left out: {error:#}")),
        }
    }
    peers
}

fn bench(workspace: &Workspace) -> tokio::process::Command {
    let mut bench = cargo(workspace);
    bench.args(["bench", "--package=cursus-segmentation", "--bench=segments"]);
    bench.env("SQLX_OFFLINE", "true");
    bench
}

fn path(flag: &str, file: &Path) -> String {
    format!("{flag}={}", file.display())
}
