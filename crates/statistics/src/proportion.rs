//! A rate with its denominator, and intervals for one rate.

use crate::error::Error;
use crate::number::{Alpha, Estimate, Interval, real};
use crate::special::beta;

/// So many successes among so many trials; there is at least one trial and never more successes than trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proportion {
    successes: u64,
    trials: u64,
}

impl Proportion {
    pub fn new(successes: u64, trials: u64) -> Result<Self, Error> {
        if trials == 0 || successes > trials {
            return Err(Error::ImpossibleCount { successes, trials });
        }
        Ok(Self { successes, trials })
    }

    pub fn successes(self) -> u64 {
        self.successes
    }

    pub fn trials(self) -> u64 {
        self.trials
    }

    pub fn rate(self) -> f64 {
        real(self.successes) / real(self.trials)
    }

    pub(crate) fn failures(self) -> u64 {
        self.trials - self.successes
    }

    /// `p (1 - p) / n`.
    pub(crate) fn variance_of_rate(self) -> f64 {
        self.rate() * (real(self.failures()) / real(self.trials)) / real(self.trials)
    }

    /// The rate with its Wilson interval: the one to show beside a rate.
    pub fn estimate(self, alpha: Alpha) -> Estimate {
        Estimate { value: self.rate(), interval: self.wilson(alpha) }
    }

    /// Wilson's score interval (1927), which stays inside [0, 1] and covers well from the first event on.
    pub fn wilson(self, alpha: Alpha) -> Interval {
        let (n, z) = (real(self.trials), alpha.critical());
        let square = z * z;
        let whole = n + square;
        let centre = (real(self.successes) + 0.5 * square) / whole;
        let spread = real(self.successes) * (real(self.failures()) / n) + 0.25 * square;
        let margin = z * spread.sqrt() / whole;
        Interval {
            low: if self.successes == 0 { 0.0 } else { (centre - margin).max(0.0) },
            high: if self.failures() == 0 { 1.0 } else { (centre + margin).min(1.0) },
        }
    }

    /// Clopper and Pearson's exact interval (1934): never covers less than promised, usually more.
    pub fn clopper_pearson(self, alpha: Alpha) -> Interval {
        let (x, misses, side) = (real(self.successes), real(self.failures()), alpha.get() / 2.0);
        let low = if x > 0.0 { beta::lower_quantile(x, misses + 1.0, side) } else { 0.0 };
        let high = if misses > 0.0 { beta::upper_quantile(x + 1.0, misses, side) } else { 1.0 };
        Interval { low, high }
    }

    /// The equal-tailed interval of Jeffreys' posterior, `Beta(x + 1/2, n - x + 1/2)`.
    pub fn jeffreys(self, alpha: Alpha) -> Interval {
        let (a, b) = self.jeffreys_shapes();
        let side = alpha.get() / 2.0;
        Interval { low: beta::lower_quantile(a, b, side), high: beta::upper_quantile(a, b, side) }
    }

    /// Jeffreys' one-sided bounds, each wrong with probability `alpha`; 0 without successes and 1 without failures.
    pub fn jeffreys_bounds(self, alpha: Alpha) -> Interval {
        let (a, b) = self.jeffreys_shapes();
        let low = beta::lower_quantile(a, b, alpha.get());
        let high = beta::upper_quantile(a, b, alpha.get());
        Interval {
            low: if self.successes == 0 { 0.0 } else { low },
            high: if self.failures() == 0 { 1.0 } else { high },
        }
    }

    fn jeffreys_shapes(self) -> (f64, f64) {
        (real(self.successes) + 0.5, real(self.failures()) + 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_a_denominator_and_no_more_successes_than_trials() {
        assert!(Proportion::new(0, 0).is_err());
        assert!(Proportion::new(3, 2).is_err());
        assert!(Proportion::new(2, 2).is_ok());
    }

    #[test]
    fn intervals_hold_the_rate_and_stay_inside_zero_and_one() {
        for (x, n) in [(0, 1), (1, 1), (0, 900), (3, 4_000), (600_000, 1_200_000)] {
            let proportion = Proportion::new(x, n).unwrap();
            for interval in [
                proportion.wilson(Alpha::FIVE_PERCENT),
                proportion.clopper_pearson(Alpha::FIVE_PERCENT),
            ] {
                assert!(interval.contains(proportion.rate()), "{x} of {n}: {interval:?}");
                assert!(interval.low >= 0.0 && interval.high <= 1.0, "{x} of {n}: {interval:?}");
            }
        }
    }
}
