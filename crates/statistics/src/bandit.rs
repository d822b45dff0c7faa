//! How a bandit divides the next batch: more for arms that are likelier to be best, never less than a floor.
//!
//! Opt-in only. Under answers that come hours later it does not beat a test of a fifth of the audience, and plain
//! p-values of its outcomes mean nothing: evidence is to be had of [`crate::strata`].
//!
//! It need not wait for the last answer. [`mature_units`] says how many units' worth of answers can be in, and
//! [`delayed`] is the rate so far over these, for [`crate::posterior::standing`] to compare.

use std::time::Duration;

use crate::assignment::Weights;
use crate::error::Error;
use crate::number::{Fraction, real};
use crate::posterior::{Posterior, Standing};
use crate::proportion::Proportion;
use crate::response::ResponseCurve;

/// Units of one arm that got their mail together, so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cohort {
    pub age: Duration,
    pub units: u64,
}

/// How many units' worth of the answers that count, those within `window`, can be in: `Σ units G(min(age, window)) /
/// G(window)`, the denominator of Vernade, Cappé & Perchet (2017), "Stochastic bandit models for delayed conversions".
/// A window in which nobody answers has none.
pub fn mature_units(curve: &ResponseCurve, window: Duration, cohorts: &[Cohort]) -> f64 {
    let within = |age: Duration| curve.answered_within(age.min(window)).get();
    let whole = within(window);
    if whole <= 0.0 {
        return 0.0;
    }
    cohorts.iter().map(|cohort| real(cohort.units) * (within(cohort.age) / whole)).sum()
}

/// The rate so far over what can have answered, rounded and never less than what did. None while nothing can have.
pub fn delayed(answered: u64, mature_units: f64) -> Option<Proportion> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is not in range is the nearest count, and what is not a number is none"
    )]
    let could_answer = mature_units.round() as u64;
    Proportion::new(answered, could_answer.max(answered)).ok()
}

/// Each arm by the probability that it is best, `floor + (1 - K floor) P(best)`: Thompson (1933), with a floor so that
/// no arm is ever given up.
pub fn thompson(standing: &Standing, floor: Fraction) -> Result<Weights, Error> {
    divide(standing, floor, |arm| arm.probability_best)
}

/// Each arm by the mean of its probabilities to be best and second best: top-two sampling at a half, after Russo (2020).
/// It learns which arm is best sooner, at the price of sending more to the runner-up.
pub fn top_two(standing: &Standing, floor: Fraction) -> Result<Weights, Error> {
    divide(standing, floor, |arm| 0.5 * (arm.probability_best + arm.probability_second))
}

fn divide(
    standing: &Standing,
    floor: Fraction,
    share: impl Fn(&Posterior) -> f64,
) -> Result<Weights, Error> {
    let (arms, floor) = (standing.arms.len(), floor.get());
    let rest = 1.0 - real(arms as u64) * floor;
    if rest < 0.0 {
        return Err(Error::BadFloor { floor, arms });
    }
    Weights::new(standing.arms.iter().map(|arm| floor + rest * share(arm)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posterior::standing;

    fn standing_of(counts: &[(u64, u64)]) -> Standing {
        let arms: Vec<Proportion> =
            counts.iter().map(|(x, n)| Proportion::new(*x, *n).unwrap()).collect();
        standing(&arms)
    }

    #[test]
    fn shares_add_up_to_one_and_respect_the_floor() {
        let standing = standing_of(&[(10, 1_000), (200, 1_000), (190, 1_000)]);
        let floor = Fraction::new(0.02).unwrap();
        for weights in [thompson(&standing, floor), top_two(&standing, floor)] {
            let shares: Vec<f64> = weights.unwrap().shares().collect();
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(shares.iter().all(|share| *share > 0.02 - 1e-9), "{shares:?}");
        }
    }

    #[test]
    fn of_two_arms_the_top_two_are_always_both() {
        let standing = standing_of(&[(10, 1_000), (200, 1_000)]);
        let weights = top_two(&standing, Fraction::ZERO).unwrap();
        assert!(weights.shares().all(|share| (share - 0.5).abs() < 1e-11));
    }

    #[test]
    fn floors_that_leave_nothing_are_refused() {
        let standing = standing_of(&[(1, 10), (2, 10), (3, 10)]);
        let floor = Fraction::new(0.4).unwrap();
        assert_eq!(thompson(&standing, floor), Err(Error::BadFloor { floor: 0.4, arms: 3 }));
    }

    #[test]
    fn units_count_by_the_answers_their_age_allows() {
        let curve = ResponseCurve::OPENS;
        let window = curve.age_at(Fraction::new(0.8).unwrap());
        let mature = |age, units| mature_units(&curve, window, &[Cohort { age, units }]);
        assert!(mature(Duration::ZERO, 1_000) <= 0.0);
        // Half of all answers come within the median, and eight tenths are all that count.
        assert!((mature(Duration::from_mins(150), 1_000) - 625.0).abs() < 1e-6);
        assert!((mature(window, 1_000) - 1_000.0).abs() < 1e-9);
        assert!((mature(Duration::MAX, 1_000) - 1_000.0).abs() < 1e-9);
        assert!(mature_units(&curve, Duration::ZERO, &[Cohort { age: window, units: 9 }]) <= 0.0);
    }

    #[test]
    fn cohorts_of_an_arm_add_up() {
        let window = Duration::from_hours(72);
        let cohorts = [(1, 40), (30, 100), (99, 7)]
            .map(|(hours, units)| Cohort { age: Duration::from_hours(hours), units });
        let together = mature_units(&ResponseCurve::CLICKS, window, &cohorts);
        let each = |cohort| mature_units(&ResponseCurve::CLICKS, window, &[cohort]);
        assert!((together - cohorts.map(each).iter().sum::<f64>()).abs() < 1e-9);
        assert!(together > 7.0 && together < 147.0);
    }

    #[test]
    fn a_delayed_rate_is_over_what_can_have_answered() {
        assert_eq!(delayed(30, 99.6), Proportion::new(30, 100).ok());
        assert_eq!(delayed(30, 12.0), Proportion::new(30, 30).ok());
        assert_eq!(delayed(0, 0.4), None);
        assert_eq!(delayed(0, f64::NAN), None);
    }
}
