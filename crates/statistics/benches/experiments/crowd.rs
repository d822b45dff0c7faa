//! Many replicates on all cores, with results that do not depend on how many there are: each has its own seed, and
//! results come back in order.

use std::num::NonZero;
use std::thread;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

pub(crate) type Dice = Xoshiro256PlusPlus;

/// Runs `replicate` with the dice and the number of each of `count`. `seed` sets scenarios apart.
pub(crate) fn run<T: Send>(
    seed: u64,
    count: u64,
    replicate: impl Fn(&mut Dice, u64) -> T + Sync,
) -> Vec<T> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let chunk = count.div_ceil(workers).max(1);
    let part = |first: u64| {
        let numbers = first..(first + chunk).min(count);
        numbers
            .map(|number| replicate(&mut Dice::seed_from_u64(seed << 32 | number), number))
            .collect::<Vec<T>>()
    };
    thread::scope(|scope| {
        let part = &part;
        let firsts = (0..workers).map(|worker| worker * chunk).filter(|first| *first < count);
        let threads: Vec<_> = firsts.map(|first| scope.spawn(move || part(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no replicate panics")).collect()
    })
}
