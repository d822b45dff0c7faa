//! What a service takes from the world around it: the time, fresh identifiers and randomness.
//!
//! Only the operations layer of a service holds an [`Ambient`]; pure code takes `now` and a
//! generator as arguments. In production it is the system's, in tests it is set by hand, so that
//! a test can say when it is and know which identifiers will be minted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

/// The clock, the mint of identifiers and the source of randomness. Cheap to clone; clones of a
/// manual one share their state.
#[derive(Clone, Debug)]
pub struct Ambient(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Mutex<Manual>>),
}

#[derive(Debug)]
struct Manual {
    now: DateTime<Utc>,
    minted: u32,
    generator: Xoshiro256PlusPlus,
}

impl Ambient {
    /// The real clock and the operating system's randomness.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until it is moved, and everything else drawn from `seed`.
    pub fn manual(start: DateTime<Utc>, seed: u64) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(Manual {
            now: start.trunc_subsecs(6),
            minted: 0,
            generator: Xoshiro256PlusPlus::seed_from_u64(seed),
        }))))
    }

    /// The time, to the microsecond: what Postgres keeps, so that a value read back is equal.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => system_time().trunc_subsecs(6),
            Source::Manual(manual) => lock(manual).now,
        }
    }

    /// A fresh identifier (UUID version 7). Identifiers of one `Ambient` sort in minting order.
    pub fn mint(&self) -> Uuid {
        match &self.0 {
            Source::System => system_uuid(),
            Source::Manual(manual) => lock(manual).mint(),
        }
    }

    /// Random bytes fit for secrets when the source is the system.
    pub fn seed_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            Source::System => fill_from_system(&mut bytes),
            Source::Manual(manual) => lock(manual).generator.fill_bytes(&mut bytes),
        }
        bytes
    }

    /// A freshly seeded generator for pure code that takes `&mut impl Rng`. Not for secrets.
    pub fn rng(&self) -> impl Rng + Send + use<> {
        Xoshiro256PlusPlus::from_seed(self.seed_bytes())
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    ///
    /// On the system's clock, which nobody may move.
    pub fn advance(&self, by: Duration) {
        let mut manual = self.by_hand();
        manual.now = (manual.now + by).trunc_subsecs(6);
    }

    /// Sets a manual clock.
    ///
    /// # Panics
    ///
    /// On the system's clock, which nobody may move.
    pub fn set(&self, now: DateTime<Utc>) {
        self.by_hand().now = now.trunc_subsecs(6);
    }

    fn by_hand(&self) -> MutexGuard<'_, Manual> {
        match &self.0 {
            Source::System => panic!("the system's clock cannot be moved"),
            Source::Manual(manual) => lock(manual),
        }
    }
}

impl Manual {
    /// The counter stands above the random bits, so minting order survives a clock that stands
    /// still, which a manual one mostly does.
    fn mint(&mut self) -> Uuid {
        let mut tail = [0; 10];
        self.generator.fill_bytes(&mut tail[6..]);
        // The first two bytes hold the version and the top two bits of the third the variant:
        // the counter starts below them.
        tail[2..6].copy_from_slice(&self.minted.to_be_bytes());
        self.minted += 1;
        let millis = u64::try_from(self.now.timestamp_millis()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
    }
}

fn lock(manual: &Mutex<Manual>) -> MutexGuard<'_, Manual> {
    // A test that panicked while holding the lock has failed already; the state is still whole.
    manual.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "this is where everybody else takes the time from")]
fn system_time() -> DateTime<Utc> {
    Utc::now()
}

#[expect(clippy::disallowed_methods, reason = "this is where everybody else mints")]
fn system_uuid() -> Uuid {
    Uuid::now_v7()
}

#[expect(clippy::disallowed_methods, reason = "this is where everybody else takes randomness from")]
fn fill_from_system(bytes: &mut [u8]) {
    rand::rng().fill_bytes(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 123_456_789).unwrap()
    }

    #[test]
    fn time_is_cut_to_what_postgres_keeps() {
        let ambient = Ambient::manual(noon(), 1);
        assert_eq!(ambient.now().timestamp_subsec_nanos(), 123_456_000);
        assert_eq!(Ambient::system().now().timestamp_subsec_nanos() % 1_000, 0);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_for_all_clones() {
        let ambient = Ambient::manual(noon(), 1);
        let clone = ambient.clone();
        let before = clone.now();
        ambient.advance(Duration::from_secs(90));
        assert_eq!((clone.now() - before).num_seconds(), 90);
        clone.set(noon());
        assert_eq!(ambient.now(), before);
    }

    #[test]
    fn manual_identifiers_repeat_for_a_seed_and_differ_between_seeds() {
        let minted = |seed| {
            let ambient = Ambient::manual(noon(), seed);
            (ambient.mint(), ambient.mint(), ambient.seed_bytes::<8>(), ambient.rng().next_u64())
        };
        assert_eq!(minted(7), minted(7));
        assert_ne!(minted(7).0, minted(8).0);
        assert_ne!(minted(7).0, minted(7).1);
    }

    #[test]
    fn identifiers_are_version_7_and_sort_in_minting_order() {
        for ambient in [Ambient::manual(noon(), 3), Ambient::system()] {
            let minted: Vec<Uuid> = (0..1_000).map(|_| ambient.mint()).collect();
            assert!(minted.is_sorted_by(|a, b| a < b));
            assert!(minted.iter().all(|id| id.get_version_num() == 7));
        }
    }

    #[test]
    fn the_system_clock_cannot_be_moved() {
        let moved = std::panic::catch_unwind(|| Ambient::system().advance(Duration::from_secs(1)));
        assert!(moved.is_err());
    }
}
