//! How long it takes to evaluate a plan over all blocks with as many threads as there are cores.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cursus_audience::{Block, Plan};

/// One more warms up.
const RUNS: u32 = 31;

/// What was measured of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) members: u32,
    pub(crate) median: Duration,
    pub(crate) least: Duration,
}

/// Evaluates a plan again and again; threads take the next block as soon as they are done with one.
pub(crate) fn measure(plan: &Plan, blocks: &[Block], now: i64) -> Timing {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (start, end) = (Barrier::new(threads), Barrier::new(threads));
    let next = AtomicUsize::new(0);
    let members = AtomicU32::new(0);
    let run = |_| {
        let began = Instant::now();
        start.wait();
        let mut count = 0;
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            count += plan.evaluate(block, now).bits.len();
        }
        members.fetch_add(count, Ordering::Relaxed);
        if end.wait().is_leader() {
            next.store(0, Ordering::Relaxed);
        }
        began.elapsed()
    };
    let runs = || -> Vec<Duration> { (0..=RUNS).map(run).collect() };
    let mut times = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(runs)).collect();
        let times = runs();
        others.into_iter().for_each(|other| drop(other.join().expect("it does not panic")));
        times
    });
    times.remove(0);
    times.sort();
    Timing {
        members: members.into_inner() / (RUNS + 1),
        median: times[times.len() / 2],
        least: times[0],
    }
}
