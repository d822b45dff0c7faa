//! Who gets which arm: a hash of the contact and a salt, so that the answer is the same on every replica and in every
//! year, and needs no table. Different questions (in the test at all? which variant? in the holdout?) take different
//! salts, or their answers would be correlated.

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::number::{Fraction, real};

/// Relative shares of the arms, frozen when an experiment starts. They need not add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights(Vec<f64>);

impl Weights {
    pub fn new(weights: Vec<f64>) -> Result<Self, Error> {
        let sane = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        let total: f64 = weights.iter().sum();
        if sane && total > 0.0 && total.is_finite() {
            Ok(Self(weights))
        } else {
            Err(Error::BadWeights)
        }
    }

    /// The same share for each of `arms`.
    pub fn equal(arms: usize) -> Result<Self, Error> {
        Self::new(vec![1.0; arms])
    }

    pub fn arms(&self) -> usize {
        self.0.len()
    }

    /// Each arm's share of the whole.
    pub fn shares(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        let total = self.total();
        self.0.iter().map(move |weight| weight / total)
    }

    fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}

/// A number in [0, 1) that depends on the salt and the unit only, uniform over units: the first 53 bits of
/// SHA-256 of `salt:unit`.
pub fn unit_interval(salt: &str, unit: &str) -> f64 {
    const TWO_TO_53: f64 = 9_007_199_254_740_992.0;
    let digest = Sha256::new().chain_update(salt).chain_update(":").chain_update(unit).finalize();
    let leading = digest.iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    real(leading >> 11) / TWO_TO_53
}

/// The arm whose stretch of the unit interval holds `position`. An arm of weight 0 is never chosen.
pub fn choose(position: f64, weights: &Weights) -> usize {
    let target = position * weights.total();
    let mut passed = 0.0;
    let mut chosen = 0;
    for (arm, weight) in weights.0.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        passed += weight;
        chosen = arm;
        if target < passed {
            break;
        }
    }
    chosen
}

/// How an experiment divides its audience: a share of it takes part, and the arms divide that share.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    traffic_salt: String,
    variant_salt: String,
    traffic: Fraction,
    weights: Weights,
}

impl Allocation {
    /// `salt` names the experiment. Raising `traffic` later keeps every contact already in its arm.
    pub fn new(salt: &str, traffic: Fraction, weights: Weights) -> Self {
        Self {
            traffic_salt: format!("{salt}/traffic"),
            variant_salt: format!("{salt}/variant"),
            traffic,
            weights,
        }
    }

    /// The unit's arm, or none when it takes no part in the test. The unit is a contact's id, never an address: that
    /// changes.
    pub fn arm(&self, unit: &str) -> Option<usize> {
        let takes_part = unit_interval(&self.traffic_salt, unit) < self.traffic.get();
        takes_part.then(|| choose(unit_interval(&self.variant_salt, unit), &self.weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_the_traffic_moves_nobody_between_arms() {
        let weights = Weights::equal(3).unwrap();
        let small = Allocation::new("spring", Fraction::new(0.2).unwrap(), weights.clone());
        let whole = Allocation::new("spring", Fraction::ONE, weights);
        for unit in (0..500).map(|unit| unit.to_string()) {
            let arm = small.arm(&unit);
            assert!(arm.is_none() || arm == whole.arm(&unit));
            assert!(whole.arm(&unit).is_some());
        }
    }

    #[test]
    fn an_arm_without_weight_is_never_chosen() {
        let weights = Weights::new(vec![0.0, 1.0, 0.0]).unwrap();
        for position in [0.0, 0.5, 0.999_999_999, 1.0, f64::NAN, -3.0] {
            assert_eq!(choose(position, &weights), 1, "{position}");
        }
    }

    #[test]
    fn weights_that_divide_nothing_are_refused() {
        for bad in [vec![], vec![0.0], vec![-1.0, 2.0], vec![f64::NAN], vec![f64::MAX, f64::MAX]] {
            assert_eq!(Weights::new(bad), Err(Error::BadWeights));
        }
    }
}
