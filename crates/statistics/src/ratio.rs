//! Ratios of two sums over contacts, such as revenue per order or clicks per open. Contacts are independent and what is
//! divided is not, so the error comes by the delta method.

use crate::error::Error;
use crate::pairs::Pairs;
use crate::special::normal;

/// One arm's ratio of the sums of `y` and `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    pub value: f64,
    /// Of one contact.
    pub variance: f64,
    pub standard_error: f64,
}

/// Two ratios compared, arm minus baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioComparison {
    pub difference: f64,
    pub standard_error: f64,
    pub z: f64,
    pub p_two_sided: f64,
}

impl Ratio {
    /// Deng, Knoblich & Lu (2018), "Applying the delta method in metric analytics": the variance of `y - R x` over the
    /// square of the mean of `x`. A mean of 0 has no ratio and is an error.
    pub fn of(pairs: &Pairs) -> Result<Self, Error> {
        let value = pairs.mean_y / pairs.mean_x;
        let variance = pairs.variance_of_rest(value) / (pairs.mean_x * pairs.mean_x);
        if value.is_finite() && variance.is_finite() {
            Ok(Self { value, variance, standard_error: (variance / pairs.count).sqrt() })
        } else {
            Err(Error::NotFinite(value))
        }
    }
}

/// The z of the difference, for large samples. Without any variance: z = 0, p = 1.
pub fn compare(baseline: &Ratio, arm: &Ratio) -> RatioComparison {
    let difference = arm.value - baseline.value;
    let standard_error = baseline.standard_error.hypot(arm.standard_error);
    let z = if standard_error > 0.0 { difference / standard_error } else { 0.0 };
    RatioComparison { difference, standard_error, z, p_two_sided: normal::two_sided(z) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::Sums;

    #[test]
    fn over_a_constant_it_is_the_mean() {
        // 1, 2, 3 and 6, each over 2.
        let sums = Sums { y: 12.0, x: 8.0, yy: 50.0, xx: 16.0, yx: 24.0 };
        let ratio = Ratio::of(&Pairs::from_sums(4, sums).unwrap()).unwrap();
        assert!((ratio.value - 1.5).abs() < 1e-15);
        assert!((ratio.variance - 14.0 / 3.0 / 4.0).abs() < 1e-14);
        let same = compare(&ratio, &ratio);
        assert!(same.z.abs() <= 0.0 && same.p_two_sided >= 1.0);
    }

    #[test]
    fn nothing_to_divide_by_is_refused() {
        let sums = Sums { y: 12.0, x: 0.0, yy: 50.0, xx: 0.0, yx: 0.0 };
        assert!(Ratio::of(&Pairs::from_sums(4, sums).unwrap()).is_err());
    }
}
