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
    /// How long each thread ran for one evaluation, on average: on a busy machine less than that took.
    pub(crate) busy: Duration,
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
    let runs = || {
        let began = on_processor();
        let times: Vec<Duration> = (0..=RUNS).map(run).collect();
        (times, on_processor().saturating_sub(began))
    };
    let (mut times, busy) = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(runs)).collect();
        let (times, busy) = runs();
        let others = others.into_iter().map(|other| other.join().expect("it does not panic").1);
        (times, others.fold(busy, |sum, busy| sum + busy))
    });
    let evaluations = (RUNS + 1) * u32::try_from(threads).unwrap_or(1);
    times.remove(0);
    times.sort();
    Timing {
        members: members.into_inner() / (RUNS + 1),
        median: times[times.len() / 2],
        least: times[0],
        busy: busy / evaluations,
    }
}

/// How long this thread has run; nothing where Linux does not tell.
fn on_processor() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
