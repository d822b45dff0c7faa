//! The eight benchmark segments over a million contacts and their twenty million events, in resident blocks.
//!
//! `CURSUS_BENCH_COLUMNS` names a directory that `dump.py` wrote; without it a smaller audience is made up. Every
//! count is held against a plain evaluation of the raw rows.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use cursus_audience::{
    Block, BlockBuilder, Kind, Limits, Mentions, Plan, Reach, RuleText, SLOTS, Schema,
};

use crate::audience::{Audience, NOW};
use crate::rules::{SEGMENTS, Segment};

#[path = "segments/audience.rs"]
mod audience;
#[path = "segments/rules.rs"]
mod rules;

const THREADS: usize = 2;
const RUNS: usize = 31;

/// Events at the very beginning of a window count in the benchmark, and at its very end they do not.
const ASKED: i64 = NOW * 1_000_000 - 1;

fn main() -> Result<(), Box<dyn Error>> {
    let audience = match env::var_os("CURSUS_BENCH_COLUMNS") {
        Some(directory) => Audience::read(&PathBuf::from(directory))?,
        None => Audience::made_up(100_000, 20, 7),
    };
    let segments = SEGMENTS.map(|segment| {
        let plan = plan(&segment);
        (segment, plan)
    });
    let mut mentions = Mentions::default();
    for (_, plan) in &segments {
        mentions.merge(plan.mentions());
    }
    let began = Instant::now();
    let blocks = load(&audience, &mentions);
    println!(
        "{} contacts and {} events in {} blocks, loaded in {:.1} s, {} MB resident",
        audience.contacts(),
        audience.events(),
        blocks.len(),
        began.elapsed().as_secs_f64(),
        blocks.iter().map(Block::bytes).sum::<usize>() / 1_000_000
    );
    println!(
        "{:<16}{:>9}{:>12}{:>12}{:>10}",
        "segment", "members", "median ms", "min ms", "x peer"
    );
    for (segment, plan) in segments {
        let (members, mut times, busy) = measure(&plan, &blocks);
        assert_eq!(members, audience.count(segment.belongs), "{}", segment.name);
        times.sort();
        let (median, least, busy) = (millis(times[RUNS / 2]), millis(times[0]), millis(busy));
        // The peers were timed on a million.
        let is_comparable = audience.contacts() == 1_000_000;
        let ratio = if is_comparable { segment.peer_millis / median } else { f64::NAN };
        println!(
            "{:<16}{members:>9}{median:>12.3}{least:>12.3}{busy:>12.3}{ratio:>10.1}",
            segment.name
        );
    }
    Ok(())
}

fn plan(segment: &Segment) -> Plan {
    let text = ["country", "plan", "industry", "lifecycle_stage"].map(|name| (name, Kind::Text));
    let others = [("employees", Kind::Number), ("signed_up_at", Kind::Time)];
    let attributes = text.into_iter().chain(others).map(|(name, kind)| (name.to_owned(), kind));
    let schema = Schema::new(attributes, []);
    let limits = Limits::default();
    let rule = RuleText::parse(segment.rule, &limits).expect("it is a rule");
    rule.compile(&schema, limits).expect("the rule is sound")
}

fn load(audience: &Audience, mentions: &Mentions) -> Vec<Block> {
    let count = audience.contacts().div_ceil(SLOTS);
    let mut builders: Vec<_> = (0..count).map(|_| BlockBuilder::new(mentions.clone())).collect();
    audience.each_contact(|contact, values| {
        let (builder, slot) = place(&mut builders, contact);
        builder.live(slot);
        for (name, value) in values {
            builder.set(slot, name, value.clone());
        }
    });
    audience.each_event(|contact, name, time, property| {
        let reach = mentions.events.get(name).map(|event| event.reach);
        // Older events are not loaded, as no segment asks about them.
        if reach.is_some_and(|reach| reach >= ago(time)) {
            let (builder, slot) = place(&mut builders, contact);
            builder.event(slot, name, time * 1_000_000, property.as_slice());
        }
    });
    builders.into_iter().map(BlockBuilder::build).collect()
}

fn place(builders: &mut [BlockBuilder], contact: usize) -> (&mut BlockBuilder, u16) {
    let slot = u16::try_from(contact % SLOTS).expect("a block has that many slots");
    (&mut builders[contact / SLOTS], slot)
}

/// The members over all blocks, how long it took each time to find them, and how long each thread ran for it on
/// average: on a busy machine less than it took.
fn measure(plan: &Plan, blocks: &[Block]) -> (u32, Vec<Duration>, Duration) {
    let (start, end) = (Barrier::new(THREADS), Barrier::new(THREADS));
    let next = AtomicUsize::new(0);
    let members = AtomicU32::new(0);
    let run = |_| {
        let began = Instant::now();
        start.wait();
        let mut count = 0;
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            count += plan.evaluate(block, ASKED).bits.len();
        }
        members.fetch_add(count, Ordering::Relaxed);
        if end.wait().is_leader() {
            next.store(0, Ordering::Relaxed);
        }
        began.elapsed()
    };
    let runs = || {
        let began = on_processor();
        let times: Vec<Duration> = (0..RUNS).map(run).collect();
        (times, on_processor().saturating_sub(began))
    };
    let (times, busy) = thread::scope(|scope| {
        let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(runs)).collect();
        let (times, busy) = runs();
        let others = others.into_iter().map(|other| other.join().expect("it does not panic").1);
        (times, others.fold(busy, |sum, busy| sum + busy))
    });
    let runs = u32::try_from(RUNS).expect("there are few");
    let threads = u32::try_from(THREADS).expect("there are few");
    (members.into_inner() / runs, times, busy / runs / threads)
}

/// How long this thread has run; nothing where Linux does not tell.
fn on_processor() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn ago(second: i64) -> Reach {
    Reach::Last(TimeDelta::seconds(NOW - second))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
