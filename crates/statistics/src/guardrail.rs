//! Whether an arm harms: unsubscribes and complaints. A guardrail errs on the side of safety, so it blocks on weak
//! evidence (5 %, one-sided, uncorrected) and needs no significant gain to block.

use crate::effect::Comparison;
use crate::number::Alpha;
use crate::proportion::Proportion;
use crate::special::normal;
use crate::strata::Stratified;

/// What is known about harm of an arm against a control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Harm {
    pub difference: f64,
    /// One-sided p-value of the arm being worse: pooled z, or Cochran, Mantel and Haenszel's over periods.
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

/// The same over periods between which the shares of the arms changed, of [`crate::strata::mantel_haenszel`].
pub fn stratified_harm(found: &Stratified, alpha: Alpha) -> Harm {
    let critical = normal::upper_quantile(alpha.get());
    let at_most = found.difference + critical * found.standard_error;
    Harm { difference: found.difference, p: normal::tail(found.z), at_most }
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
    use crate::strata::{Cell, mantel_haenszel};

    #[test]
    fn harm_over_one_period_is_harm_but_for_the_one_unit_its_margin_costs() {
        let (control, arm) =
            (Proportion::new(3, 900).unwrap(), Proportion::new(12, 1_000).unwrap());
        let plain = harm(Comparison { baseline: control, arm }, Alpha::FIVE_PERCENT);
        let table = [Cell { units: 900, answered: 3 }, Cell { units: 1_000, answered: 12 }];
        let found = mantel_haenszel([table]).unwrap();
        let stratified = stratified_harm(&found, Alpha::FIVE_PERCENT);
        assert!((plain.difference - stratified.difference).abs() < 1e-15);
        assert!((plain.at_most - stratified.at_most).abs() < 1e-15);
        assert!(plain.p < stratified.p && stratified.p < 1.001 * plain.p + 1e-5);
    }

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
