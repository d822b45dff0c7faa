//! How a bandit divides the next batch: more for arms that are likelier to be best, never less than a floor.
//!
//! Opt-in only. Under answers that come hours later it does not beat a test of a fifth of the audience, and plain
//! p-values of its outcomes mean nothing.

use crate::assignment::Weights;
use crate::error::Error;
use crate::number::{Fraction, real};
use crate::posterior::{Posterior, Standing};

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
    use crate::proportion::Proportion;

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
}
