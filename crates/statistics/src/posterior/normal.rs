//! The same questions for means, whose posteriors are normal and independent: revenue per contact, say.

use super::{Posterior, Standing, beaten_by};
use crate::error::Error;
use crate::number::real;
use crate::special::{normal, quadrature};

/// What is known of one arm's mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    mean: f64,
    error: f64,
}

impl Normal {
    pub fn new(mean: f64, error: f64) -> Result<Self, Error> {
        if !mean.is_finite() {
            return Err(Error::NotFinite(mean));
        }
        if error > 0.0 && error.is_finite() {
            Ok(Self { mean, error })
        } else {
            Err(Error::NotPositive(error))
        }
    }

    fn standardized(self, x: f64) -> f64 {
        (x - self.mean) / self.error
    }
}

/// `P(best)_k = ∫ f_k Π_{j≠k} F_j` and `E(max) = ∫ x d(Π F_j)` by quadrature, each arm's integral on its own scale.
pub fn standing(arms: &[Normal]) -> Standing {
    let highest = arms.iter().map(|arm| arm.mean).fold(f64::NEG_INFINITY, f64::max);
    let mut posteriors = Vec::with_capacity(arms.len());
    // E(max) as what it exceeds the highest mean by, so that a tiny excess keeps its digits.
    let mut excess = 0.0;
    let marks = marks(arms);
    for (k, arm) in arms.iter().enumerate() {
        let (mut best, mut second) = (0.0, 0.0);
        for (low, high) in marks.iter().zip(marks.iter().skip(1)) {
            for (x, weight) in quadrature::panel(*low, *high) {
                let density = weight * normal::density(arm.standardized(x)) / arm.error;
                let others = arms.iter().enumerate().filter(|(j, _)| *j != k);
                let (none, one) =
                    beaten_by(others.map(|(_, other)| normal::cdf(other.standardized(x))));
                best += density * none;
                second += density * one;
                excess += density * none * (x - highest);
            }
        }
        posteriors.push((arm.mean, best, second));
    }
    let excess = excess.max(0.0);
    let posterior = |(mean, probability_best, probability_second)| Posterior {
        mean,
        probability_best,
        probability_second,
        expected_loss: highest - mean + excess,
    };
    Standing {
        arms: posteriors.into_iter().map(posterior).collect(),
        expected_best: highest + excess,
    }
}

/// Panel ends: from nine errors below to nine above every mean, half an error apart.
fn marks(arms: &[Normal]) -> Vec<f64> {
    let around = |arm: &Normal| {
        let (mean, error) = (arm.mean, arm.error);
        (0..=36_u64).map(move |step| mean + (real(step) * 0.5 - 9.0) * error)
    };
    let mut marks: Vec<f64> = arms.iter().flat_map(around).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arms: &[(f64, f64)]) -> Standing {
        let arms: Vec<Normal> =
            arms.iter().map(|(mean, error)| Normal::new(*mean, *error).unwrap()).collect();
        standing(&arms)
    }

    #[test]
    fn two_arms_have_a_closed_form() {
        let standing = of(&[(1.0, 0.3), (1.5, 0.4)]);
        // The difference is normal with mean 1/2 and error 1/2.
        let expected = normal::cdf(1.0);
        assert!((standing.arms[1].probability_best - expected).abs() < 1e-13);
        let best = 1.5 + 0.5 * (normal::density(1.0) - normal::tail(1.0));
        assert!((standing.expected_best - best).abs() < 1e-13);
        assert!((standing.arms[0].probability_second - expected).abs() < 1e-13);
    }

    #[test]
    fn scales_far_apart_are_both_seen() {
        let standing = of(&[(0.0, 1e-9), (1e-10, 1e3), (-1e6, 1.0)]);
        assert!((standing.arms[0].probability_best - 0.5).abs() < 1e-9);
        assert!(standing.arms[2].probability_best < 1e-15);
        let sum: f64 = standing.arms.iter().map(|arm| arm.probability_best).sum();
        assert!((sum - 1.0).abs() < 1e-11, "{sum}");
    }

    #[test]
    fn one_arm_gives_nothing_away_and_none_has_no_best() {
        let only = of(&[(3.0, 0.1)]);
        assert!((only.arms[0].probability_best - 1.0).abs() < 1e-13);
        assert!(only.arms[0].expected_loss < 1e-13);
        assert_eq!(of(&[]).best(), None);
        assert!(Normal::new(0.0, 0.0).is_err() && Normal::new(f64::NAN, 1.0).is_err());
    }
}
