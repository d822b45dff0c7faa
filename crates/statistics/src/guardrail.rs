//! Whether an arm harms: unsubscribes and complaints. A guardrail errs on the side of safety, so it blocks on weak
//! evidence (5 %, one-sided, uncorrected) and needs no significant gain to block.

use crate::effect::Comparison;
use crate::number::Alpha;
use crate::proportion::Proportion;
use crate::special::normal;

/// What is known about harm of an arm against a control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Harm {
    pub difference: f64,
    /// One-sided p-value of the arm being worse, pooled z.
    pub p: f64,
    /// The most by which the arm can still be worse: the one-sided upper bound of the difference.
    pub at_most: f64,
}

/// Compares the rate of an unwanted event.
pub fn harm(comparison: Comparison, alpha: Alpha) -> Harm {
    let difference = comparison.gap();
    let critical = normal::upper_quantile(alpha.get());
    let at_most = difference + critical * comparison.unpooled_error();
    Harm { difference, p: comparison.p_arm_greater(), at_most }
}

/// Whether the arm can be declared harmless up to a margin: Wald test of `difference < margin`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NonInferiority {
    pub z: f64,
    pub p: f64,
}

/// A failed test does not show harm; with small samples it shows nothing ("cannot rule out harm"). Without any variance
/// the difference is known exactly.
pub fn non_inferiority(comparison: Comparison, margin: f64) -> NonInferiority {
    let (excess, error) = (comparison.gap() - margin, comparison.unpooled_error());
    let z = if error > 0.0 { excess / error } else { f64::INFINITY.copysign(excess) };
    NonInferiority { z, p: normal::cdf(z) }
}

/// Whether a rate is above an absolute ceiling beyond doubt: the lower Jeffreys bound lies above it.
pub fn exceeds(rate: Proportion, ceiling: f64, alpha: Alpha) -> bool {
    rate.jeffreys_bounds(alpha).low > ceiling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_complaint_among_few_does_not_break_the_ceiling_and_many_do() {
        let ceiling = 0.001;
        let one = Proportion::new(1, 728).unwrap();
        let many = Proportion::new(25, 4_228).unwrap();
        assert!(!exceeds(one, ceiling, Alpha::FIVE_PERCENT));
        assert!(exceeds(many, ceiling, Alpha::FIVE_PERCENT));
    }

    #[test]
    fn arms_without_events_are_harmless_up_to_any_positive_margin() {
        let none = Proportion::new(0, 100).unwrap();
        let comparison = Comparison { baseline: none, arm: none };
        assert!(non_inferiority(comparison, 0.001).p <= 0.0);
        assert!((harm(comparison, Alpha::FIVE_PERCENT).p - 0.5).abs() < 1e-15);
    }
}
