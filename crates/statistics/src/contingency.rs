//! Whether the rates of several arms differ at all.

use crate::effect::Sample;
use crate::error::Error;
use crate::number::real;
use crate::proportion::Proportion;
use crate::special::gamma;

/// A chi-square statistic and how surprising it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    pub statistic: f64,
    pub degrees_of_freedom: u64,
    pub p: f64,
    /// The p-value's logarithm, which says how absurd a p-value of 0 really is.
    pub ln_p: f64,
}

impl ChiSquare {
    pub(crate) fn of(statistic: f64, degrees_of_freedom: u64) -> Self {
        let tail = if degrees_of_freedom == 0 {
            gamma::Tail { probability: 1.0, ln: 0.0 }
        } else {
            gamma::upper_tail(0.5 * real(degrees_of_freedom), 0.5 * statistic)
        };
        Self { statistic, degrees_of_freedom, p: tail.probability, ln_p: tail.ln }
    }
}

/// Pearson's test that all arms have one rate, without Yates' correction. Without any variance: statistic 0, p = 1.
pub fn homogeneity(arms: &[Proportion]) -> Result<ChiSquare, Error> {
    if arms.len() < 2 {
        return Err(Error::TooFewArms(arms.len()));
    }
    let trials: f64 = arms.iter().map(|arm| real(arm.trials())).sum();
    let pooled = arms.iter().map(|arm| real(arm.successes())).sum::<f64>() / trials;
    let variance = pooled * (1.0 - pooled);
    // Both cells of an arm, (o - e)²/e each, add up to n (p - pooled)² / (pooled (1 - pooled)).
    let spread: f64 =
        arms.iter().map(|arm| real(arm.trials()) * (arm.rate() - pooled).powi(2)).sum();
    let statistic = if variance > 0.0 { spread / variance } else { 0.0 };
    Ok(ChiSquare::of(statistic, arms.len() as u64 - 1))
}

/// That all means are one, without assuming equal variances: the weighted sum of squares of Welch (1951), in its form
/// for large samples. A sample without any variance cannot be weighed and is an error.
pub fn equal_means(samples: &[Sample]) -> Result<ChiSquare, Error> {
    if samples.len() < 2 {
        return Err(Error::TooFewArms(samples.len()));
    }
    let weights: Vec<f64> = samples.iter().map(|sample| 1.0 / sample.variance_of_mean()).collect();
    if !weights.iter().all(|weight| weight.is_finite()) {
        return Err(Error::TooFewObservations);
    }
    let weighted = samples.iter().zip(&weights);
    let centre = weighted.clone().map(|(sample, weight)| weight * sample.mean()).sum::<f64>()
        / weights.iter().sum::<f64>();
    let statistic =
        weighted.map(|(sample, weight)| weight * (sample.mean() - centre).powi(2)).sum();
    Ok(ChiSquare::of(statistic, samples.len() as u64 - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_without_any_event_do_not_differ() {
        let none = Proportion::new(0, 50).unwrap();
        assert!(homogeneity(&[none, none]).unwrap().p >= 1.0);
    }

    #[test]
    fn two_means_are_compared_as_by_their_z() {
        let (one, other) =
            (Sample::new(100, 5.0, 4.0).unwrap(), Sample::new(400, 5.5, 9.0).unwrap());
        let test = equal_means(&[one, other]).unwrap();
        let z: f64 = 0.5 / (0.04_f64 + 0.0225).sqrt();
        assert!((test.statistic - z * z).abs() < 1e-12 && test.degrees_of_freedom == 1);
        assert!(equal_means(&[one, one, one]).unwrap().p >= 1.0);
        let flat = Sample::new(100, 5.0, 0.0).unwrap();
        assert_eq!(equal_means(&[one, flat]), Err(Error::TooFewObservations));
    }

    #[test]
    fn one_arm_cannot_be_compared() {
        let only = Proportion::new(1, 50).unwrap();
        assert_eq!(homogeneity(&[only]), Err(Error::TooFewArms(1)));
    }
}
