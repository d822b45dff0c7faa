//! An interval of one rate that may be looked at after every contact: with the promised probability it holds the rate at
//! all looks together.

use crate::error::Error;
use crate::number::{Alpha, Interval, real};
use crate::proportion::Proportion;
use crate::special::dirichlet::ln_mixture;
use crate::special::root;

/// Where the interval is narrowest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    pub trials: f64,
    pub alpha: Alpha,
}

/// Robbins' beta-binomial mixture (1970) in the form of Howard, Ramdas, `McAuliffe` & Sekhon (2021): the rates `p` that a
/// beta mixture centred at `p` itself does not beat by `1 / alpha`. Its concentration is
/// `trials / (-2 ln α + ln(1 - 2 ln α)) - 1`, a thousandth at least.
pub fn rate(observed: Proportion, alpha: Alpha, tuning: Tuning) -> Result<Interval, Error> {
    if !(tuning.trials > 0.0 && tuning.trials.is_finite()) {
        return Err(Error::NotPositive(tuning.trials));
    }
    let twice = -2.0 * tuning.alpha.get().ln();
    let concentration = (tuning.trials / (twice + twice.ln_1p()) - 1.0).max(1e-3);
    let (hits, misses) = (real(observed.successes()), real(observed.failures()));
    let excess = |p: f64| {
        let cells = [(hits, p), (misses, 1.0 - p)];
        ln_mixture(cells.into_iter(), concentration) + alpha.get().ln()
    };
    let found = observed.rate();
    let low = if hits > 0.0 { root::bracketed(excess, (found, 0.0), 0.0) } else { 0.0 };
    let high = if misses > 0.0 { root::bracketed(excess, (found, 1.0), 0.0) } else { 1.0 };
    Ok(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(x: u64, n: u64) -> Interval {
        let tuning = Tuning { trials: 3_000.0, alpha: Alpha::FIVE_PERCENT };
        rate(Proportion::new(x, n).unwrap(), Alpha::FIVE_PERCENT, tuning).unwrap()
    }

    #[test]
    fn it_holds_the_observed_rate_and_is_wider_than_an_interval_of_one_look() {
        for (x, n) in [(3, 4_000), (500, 1_000), (240_000, 1_200_000)] {
            let (interval, observed) = (of(x, n), Proportion::new(x, n).unwrap());
            let single = observed.clopper_pearson(Alpha::FIVE_PERCENT);
            assert!(interval.contains(observed.rate()), "{x} of {n}: {interval:?}");
            assert!(interval.low < single.low && interval.high > single.high, "{x} of {n}");
        }
    }

    #[test]
    fn nothing_and_everything_reach_the_ends() {
        let (none, all) = (of(0, 3_000), of(3_000, 3_000));
        assert!(none.low <= 0.0 && none.high < 0.01, "{none:?}");
        assert!(all.high >= 1.0 && all.low > 0.99, "{all:?}");
        assert!((none.high - (1.0 - all.low)).abs() < 1e-12);
    }

    #[test]
    fn one_success_cannot_exclude_rates_near_nothing() {
        assert!(of(1, 1).low < 1e-12);
    }
}
