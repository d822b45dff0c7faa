//! When to try again: by what went wrong, with jitter, and not for ever.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::{Rng, RngExt};

/// A message that could not be handed over this long after its first attempt never will be.
pub(crate) const MAX_AGE: TimeDelta = TimeDelta::hours(24);
/// The longest wait for a relay that cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Why a message has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The receiving server asked for it, or the connection broke.
    Transient,
    /// There is no room; that takes people hours to change.
    MailboxFull,
}

/// When a message that was tried `attempt_count` times is tried again; `first_wait` is the wait after the first attempt
/// that a server answered with "later".
pub(crate) fn next_attempt(
    cause: Cause,
    attempt_count: i32,
    first_wait: Duration,
    rng: &mut impl Rng,
) -> Duration {
    let steps: &[u32] = match cause {
        Cause::Transient => &[1, 5, 15, 30, 60, 120, 240, 480],
        Cause::MailboxFull => &[60, 240, 720, 1440],
    };
    let tried = usize::try_from(attempt_count.max(1)).unwrap_or(1);
    let step = steps[tried.min(steps.len()) - 1];
    first_wait.saturating_mul(step).mul_f64(rng.random_range(0.8..=1.2))
}

/// Whether a message may be tried at `next`.
pub(crate) fn is_expired(first_attempt: DateTime<Utc>, next: DateTime<Utc>) -> bool {
    next - first_attempt > MAX_AGE
}

/// How long to leave a relay alone that could not be reached `failures` times in a row.
pub(crate) fn relay_pause(failures: u32, rng: &mut impl Rng) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(16));
    // Full jitter over the upper half, so that partitions do not come back together.
    doubled.min(LONGEST_PAUSE).mul_f64(rng.random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    proptest! {
        #[test]
        fn waits_stay_within_a_fifth_of_their_step(seed: u64, attempts in -3..100_i32) {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let wait = next_attempt(Cause::Transient, attempts, MINUTE, &mut rng);
            prop_assert!(wait >= MINUTE.mul_f64(0.8));
            prop_assert!(wait <= MINUTE.mul_f64(480.0 * 1.2));
        }

        #[test]
        fn waits_grow_even_against_the_jitter(seed: u64, attempts in 1..7_i32) {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let shorter = next_attempt(Cause::Transient, attempts, MINUTE, &mut rng);
            let longer = next_attempt(Cause::Transient, attempts + 1, MINUTE, &mut rng);
            prop_assert!(longer > shorter);
        }

        #[test]
        fn a_relay_is_left_alone_for_a_minute_at_most(seed: u64, failures in 0..u32::MAX) {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let pause = relay_pause(failures, &mut rng);
            prop_assert!(pause >= Duration::from_millis(500) && pause <= LONGEST_PAUSE);
        }
    }

    #[test]
    fn a_message_expires_a_day_after_its_first_attempt() {
        let first = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        assert!(!is_expired(first, first + TimeDelta::hours(24)));
        assert!(is_expired(first, first + TimeDelta::hours(25)));
    }
}
