//! Whether the rates of several arms differ at all.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_without_any_event_do_not_differ() {
        let none = Proportion::new(0, 50).unwrap();
        assert!(homogeneity(&[none, none]).unwrap().p >= 1.0);
    }

    #[test]
    fn one_arm_cannot_be_compared() {
        let only = Proportion::new(1, 50).unwrap();
        assert_eq!(homogeneity(&[only]), Err(Error::TooFewArms(1)));
    }
}
