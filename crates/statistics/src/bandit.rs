//! How a bandit divides the next batch: more for arms that are likelier to be best, never less than a floor.
//!
//! Opt-in only. Under answers that come hours later it does not beat a test of a fifth of the audience, and plain
//! p-values of its outcomes mean nothing: evidence is to be had of [`crate::strata`].
//!
//! It need not wait for the last answer. [`mature_units`] says how many units' worth of answers can be in, and
//! [`standardized`] makes rates of these, as if arms had had their units at the same times, for
//! [`crate::posterior::standing`] to compare.

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
fn delayed(answered: u64, mature_units: f64) -> Option<Proportion> {
    Proportion::new(answered, nearest(mature_units).max(answered)).ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is not in range is the nearest count, and what is not a number is none"
)]
fn nearest(count: f64) -> u64 {
    count.round() as u64
}

/// What is known of one arm's units of one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    pub answered: u64,
    /// As of [`mature_units`].
    pub mature: f64,
}

/// Each arm's rate as if all had had their units at the same times, over as many units as would tell as much about it.
/// Where everybody answers more at some times, an arm that got most of its units then would look better than it is, get
/// yet more, and look better still.
///
/// Direct standardisation: `r_k = Σ_p N_p r_pk / Σ N_p`, where `N_p` are the mature units of stretch `p`, with the variance
/// that it has while arms do not differ, `Σ N_p² r_p (1 - r_p) / n_pk / (Σ N_p)²`. Stretches, in the order of time, by
/// arm, are taken together until every arm has [`LEAST_MATURE`] units. None while an arm has nothing that can have
/// answered.
pub fn standardized(stretches: &[Vec<Progress>]) -> Option<Vec<Proportion>> {
    let joined = joined(stretches);
    let arms = joined.first()?.len();
    let (mut whole, mut hits) = (0.0, 0.0);
    let (mut rates, mut variances) = (vec![0.0; arms], vec![0.0; arms]);
    for stretch in &joined {
        let mature: f64 = stretch.iter().map(Progress::trials).sum();
        let answered: f64 = stretch.iter().map(|arm| real(arm.answered)).sum();
        let common = answered / mature;
        whole += mature;
        hits += answered;
        for ((arm, rate), variance) in stretch.iter().zip(&mut rates).zip(&mut variances) {
            if arm.trials() <= 0.0 {
                return None;
            }
            *rate += mature * (real(arm.answered) / arm.trials());
            *variance += mature * mature * common * (1.0 - common) / arm.trials();
        }
    }
    let common = hits / whole;
    let rate = |(rate, variance): (f64, f64)| {
        // Without any variance everybody answered, or nobody: then all units tell.
        let spread = common * (1.0 - common) * whole * whole;
        let trials = if variance > 0.0 { spread / variance } else { whole };
        delayed(nearest(rate / whole * trials), trials)
    };
    rates.into_iter().zip(variances).map(rate).collect()
}

/// So few units of an arm are compared at least.
pub const LEAST_MATURE: f64 = 10.0;

/// Neighbours taken together until each has enough of every arm; what is left at the end goes to the last.
fn joined(stretches: &[Vec<Progress>]) -> Vec<Vec<Progress>> {
    let mut joined: Vec<Vec<Progress>> = Vec::new();
    let is_enough = |stretch: &Vec<Progress>| stretch.iter().all(|arm| arm.mature >= LEAST_MATURE);
    let add = |sum: &mut Vec<Progress>, stretch: &Vec<Progress>| {
        for (sum, arm) in sum.iter_mut().zip(stretch) {
            sum.answered = sum.answered.saturating_add(arm.answered);
            sum.mature += arm.mature;
        }
    };
    for stretch in stretches {
        match joined.last_mut().filter(|last| !is_enough(last)) {
            Some(last) => add(last, stretch),
            None => joined.push(stretch.clone()),
        }
    }
    if joined.len() > 1
        && let Some(rest) = joined.pop_if(|last| !is_enough(last))
        && let Some(last) = joined.last_mut()
    {
        add(last, &rest);
    }
    joined
}

impl Progress {
    /// Never fewer than answered.
    fn trials(&self) -> f64 {
        self.mature.max(real(self.answered))
    }
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

    fn progress(arms: [(u64, f64); 2]) -> Vec<Progress> {
        arms.map(|(answered, mature)| Progress { answered, mature }).into()
    }

    #[test]
    fn an_arm_that_had_its_units_at_better_times_is_not_better_for_it() {
        // Both answer alike, and the second had most of its units when everybody answered more.
        let even = standardized(&[
            progress([(80, 800.0), (20, 200.0)]),
            progress([(50, 100.0), (450, 900.0)]),
        ]);
        let even = even.unwrap();
        assert!((even[0].rate() - even[1].rate()).abs() < 0.002, "{even:?}");
        // The first is better at all times, though its pooled rate is lower.
        let better = standardized(&[
            progress([(96, 800.0), (20, 200.0)]),
            progress([(60, 100.0), (450, 900.0)]),
        ]);
        let better = better.unwrap();
        assert!((better[0].rate() - 0.36).abs() < 0.005 && better[0].rate() > better[1].rate());
        // It tells less than its 900 units would, of whom most had another time.
        assert!(better[0].trials() < 400, "{better:?}");
    }

    #[test]
    fn one_stretch_is_taken_as_it_is_and_small_ones_together() {
        let rates = standardized(&[progress([(10, 100.0), (30, 100.0)])]).unwrap();
        let counts: Vec<_> = rates.iter().map(|it| (it.successes(), it.trials())).collect();
        assert_eq!(counts, [(10, 100), (30, 100)]);
        let few = [progress([(1, 6.0), (1, 90.0)]), progress([(2, 7.0), (3, 80.0)])];
        let joined = standardized(&few).unwrap();
        let counts: Vec<_> = joined.iter().map(|it| (it.successes(), it.trials())).collect();
        assert_eq!(counts, [(3, 13), (4, 170)]);
        // What is left at the end is not lost.
        let more = standardized(&[few[0].clone(), few[1].clone(), progress([(1, 2.0), (0, 3.0)])]);
        assert_eq!(more.unwrap()[0].successes(), 4);
    }

    #[test]
    fn nothing_is_known_of_arms_without_units_that_can_have_answered() {
        assert_eq!(standardized(&[]), None);
        assert_eq!(standardized(&[progress([(0, 0.0), (3, 10.0)])]), None);
        let nobody = standardized(&[progress([(0, 50.0), (0, 70.0)])]).unwrap();
        assert!(nobody.iter().all(|rate| rate.successes() == 0 && rate.trials() > 0));
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
