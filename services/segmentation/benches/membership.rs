//! How soon a membership follows an event under load and a deadline by itself, and how fast it is checked. Runs the
//! service on a database of its own: `cargo xtask bench membership`.

#![expect(clippy::print_stdout, reason = "it reports to whoever runs it")]

use std::time::Instant;

use clap::Parser;
use cursus_ambient::Ambient;
use cursus_segmentation::MIGRATOR;
use cursus_testkit::scratch;
use sqlx::PgPool;

use crate::figures::Figures;
use crate::service::{Client, Service};

#[path = "membership/audience.rs"]
mod audience;
#[path = "membership/checks.rs"]
mod checks;
#[path = "membership/deadlines.rs"]
mod deadlines;
#[path = "membership/figures.rs"]
mod figures;
#[path = "membership/load.rs"]
mod load;
#[path = "membership/pace.rs"]
mod pace;
#[path = "serving/service.rs"]
mod service;

/// What to measure.
#[derive(Clone, Debug, Parser)]
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
    /// How many more each second whose effect is watched.
    #[arg(long, default_value_t = 40)]
    probes: u32,
    /// How many single checks there are each second.
    #[arg(long, default_value_t = 5_000)]
    checks: u32,
    /// How many contacts are checked again and again.
    #[arg(long, default_value_t = 50_000)]
    visitors: u32,
    /// How long each rate is kept.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// How many windows close within one second.
    #[arg(long, default_value_t = 100_000)]
    deadlines: u32,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// The contacts who do nothing but be looked at, one probe each, are the last ones.
    fn first_probe(&self) -> u32 {
        self.contacts - self.probes * self.seconds
    }

    /// The segments that nothing is measured of by itself: `s0` and so on.
    fn common_segments(&self) -> u32 {
        self.segments.saturating_sub(2).max(1)
    }
}

/// The service, how it is asked, and its database, behind its back.
struct Bench {
    arguments: Arguments,
    client: Client,
    /// More connections, for who asks much.
    clients: Vec<Client>,
    pool: PgPool,
    ambient: Ambient,
}

/// As many connections as a small pool has.
const CONNECTIONS: usize = 4;

// One thread makes the load, so that the service has what is left of the machine.
#[tokio::main(worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let blank = scratch::blank(&arguments.database_url, "membership").await?;
    let pool = PgPool::connect(&blank.url).await?;
    MIGRATOR.run(&pool).await?;
    let ambient = Ambient::system();
    let service = Service::start(&blank.url, &arguments.redis_url, ambient.clone()).await?;
    let clients = (0..CONNECTIONS).map(|_| service.client()).collect::<Result<Vec<_>, _>>()?;
    let client = service.client()?;
    let bench = Bench { arguments, client, clients, pool, ambient };

    let begun = Instant::now();
    audience::fill(&bench).await?;
    println!(
        "{} contacts and {} events, filled in within {:.1?}",
        bench.arguments.contacts,
        bench.arguments.contacts * bench.arguments.history,
        begun.elapsed()
    );
    let begun = Instant::now();
    audience::follow(&bench).await?;
    println!("{} segments, ready within {:.1?}", bench.arguments.segments, begun.elapsed());

    let mut figures = Figures::default();
    load::measure(&bench, &mut figures).await?;
    checks::measure(&bench, &mut figures).await?;
    deadlines::measure(&bench, &mut figures).await?;
    println!("\n{figures}");
    service.stop().await
}
