//! Tests that may be looked at for ever: no deadline, no plan of looks, and still a bounded chance of a false alarm.
//!
//! The price is power: 13 to 29 points against a group-sequential test that knows its deadline. So these are for
//! automations that never end.

use crate::error::Error;
use crate::number::Alpha;

/// Evidence of a difference on the clock of information: effects are mixed with a normal weight around 0.
///
/// Robbins (1970); Howard, Ramdas, `McAuliffe` & Sekhon (2021); Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024),
/// "Time-uniform central limit theory and asymptotic confidence sequences".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalMixture {
    /// The variance of the weight, in units of one over information.
    precision: f64,
}

impl NormalMixture {
    /// Sharpest when `information` has been collected: `ρ² = (-2 ln α + ln(1 - 2 ln α)) / information`.
    pub fn sharpest_at(information: f64, alpha: Alpha) -> Result<Self, Error> {
        let twice = -2.0 * alpha.get().ln();
        let precision = (twice + twice.ln_1p()) / positive(information)?;
        Ok(Self { precision: positive(precision)? })
    }

    /// `ρ²`.
    pub fn precision(self) -> f64 {
        self.precision
    }

    /// The logarithm of the e-value of a z at this much information: `ρ²I z² / (2 (ρ²I + 1)) - ln(ρ²I + 1) / 2`. Its
    /// expectation is 1 at most while there is no difference, however often one looks.
    pub fn ln_evidence(self, z: f64, information: f64) -> f64 {
        let scaled = self.precision * information;
        0.5 * (z * z / (1.0 + 1.0 / scaled) - scaled.ln_1p())
    }

    /// One over the e-value, at most 1. The smallest over all looks is a p-value for all looks.
    pub fn p(self, z: f64, information: f64) -> f64 {
        (-self.ln_evidence(z, information)).exp().min(1.0)
    }

    /// The `|z|` at which the e-value reaches `1 / alpha`: `sqrt(2 (1 + 1/(ρ²I)) ln(sqrt(ρ²I + 1) / α))`. An estimate
    /// plus and minus this many standard errors covers the truth at all looks together.
    pub fn boundary(self, information: f64, alpha: Alpha) -> f64 {
        let scaled = self.precision * information;
        ((1.0 + 1.0 / scaled) * (scaled.ln_1p() - 2.0 * alpha.get().ln())).sqrt()
    }
}

/// The logarithm of the mixture sequential probability ratio of a mean difference after `count` pairs, each of variance
/// `variance`, with a normal weight of standard deviation `spread` over the differences: Johari, Koomen, Pekelis &
/// Walsh (2022), "Always valid inference".
pub fn ln_msprt(difference: f64, variance: f64, count: u64, spread: f64) -> Result<f64, Error> {
    let (variance, spread) = (positive(variance)?, positive(spread)?);
    if !difference.is_finite() {
        return Err(Error::NotFinite(difference));
    }
    let count = crate::number::real(count);
    // On the clock of information, n / variance, it is the same mixture.
    let scaled = spread * spread * (count / variance);
    let square = difference * difference * (count / variance);
    Ok(0.5 * (square * (scaled / (1.0 + scaled)) - scaled.ln_1p()))
}

fn positive(value: f64) -> Result<f64, Error> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(Error::NotPositive(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixture() -> NormalMixture {
        NormalMixture::sharpest_at(1_000.0, Alpha::FIVE_PERCENT).unwrap()
    }

    #[test]
    fn at_the_boundary_the_evidence_is_one_over_alpha() {
        for information in [1e-9, 1.0, 1e3, 1e12] {
            let boundary = mixture().boundary(information, Alpha::FIVE_PERCENT);
            let p = mixture().p(boundary, information);
            assert!((p / 0.05 - 1.0).abs() < 1e-6, "{information}: {p}");
        }
    }

    #[test]
    fn it_is_sharpest_where_it_was_asked_to_be() {
        // The width of the interval relative to that of one look, whatever else one could have been tuned to.
        let at = |tuned: f64| {
            let mixture = NormalMixture::sharpest_at(tuned, Alpha::FIVE_PERCENT).unwrap();
            mixture.boundary(1_000.0, Alpha::FIVE_PERCENT)
        };
        assert!(at(1_000.0) < at(800.0) && at(1_000.0) < at(1_250.0));
    }

    #[test]
    fn no_information_is_no_evidence() {
        assert!(mixture().ln_evidence(3.0, 0.0).abs() <= 0.0);
        assert!(mixture().boundary(0.0, Alpha::FIVE_PERCENT).is_infinite());
        assert!(mixture().p(f64::INFINITY, 10.0) <= 0.0);
    }

    #[test]
    fn nonsense_is_refused() {
        for information in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(NormalMixture::sharpest_at(information, Alpha::FIVE_PERCENT).is_err());
        }
        assert!(ln_msprt(0.1, 0.0, 5, 0.1).is_err());
        assert!(ln_msprt(f64::NAN, 1.0, 5, 0.1).is_err());
        assert!(ln_msprt(0.1, 1.0, 0, 0.1).unwrap().abs() <= 0.0);
    }
}
