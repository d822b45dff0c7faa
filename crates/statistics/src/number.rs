//! Numbers whose meaning would be lost in a bare `f64`.

use crate::error::Error;
use crate::special::normal;

/// The probability of a false alarm one accepts, strictly between 0 and 1. Intervals built with it cover `1 - alpha`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Alpha(f64);

impl Alpha {
    /// The customary one in twenty.
    pub const FIVE_PERCENT: Self = Self(0.05);
    /// One in a thousand.
    pub const ONE_PER_MILLE: Self = Self(0.001);

    pub fn new(value: f64) -> Result<Self, Error> {
        if value > 0.0 && value < 1.0 { Ok(Self(value)) } else { Err(Error::NotAnAlpha(value)) }
    }

    pub fn get(self) -> f64 {
        self.0
    }

    /// The two-sided critical value of a standard normal: 1.96 for 5 %.
    pub fn critical(self) -> f64 {
        normal::upper_quantile(self.0 / 2.0)
    }
}

/// A number from 0 to 1, both included: a share, a maturity, a spending time.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Fraction(f64);

impl Fraction {
    pub const ZERO: Self = Self(0.0);
    pub const HALF: Self = Self(0.5);
    pub const ONE: Self = Self(1.0);

    pub fn new(value: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(Error::NotAFraction(value)) }
    }

    /// The nearest fraction; 0 for what is not a number.
    pub fn saturating(value: f64) -> Self {
        if value >= 1.0 {
            Self::ONE
        } else if value > 0.0 {
            Self(value)
        } else {
            Self::ZERO
        }
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

/// From `low` to `high`; either may be infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// `centre ± critical · error`. Without an error the interval is the point, whatever the critical value.
    pub(crate) fn around(centre: f64, critical: f64, error: f64) -> Self {
        let margin = if error > 0.0 { critical * error } else { 0.0 };
        Self { low: centre - margin, high: centre + margin }
    }

    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// A value and the interval that says how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub interval: Interval,
}

/// A count as a real number.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact below 2^53, and beyond that the relative error is 1e-16"
)]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_refuses_its_ends_and_what_is_not_a_number() {
        for value in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(Alpha::new(value).is_err(), "{value}");
        }
        assert!((Alpha::FIVE_PERCENT.critical() - 1.959_963_984_540_054).abs() < 1e-14);
    }

    #[test]
    fn fraction_keeps_its_ends_and_saturates_beyond_them() {
        assert_eq!(Fraction::new(1.0), Ok(Fraction::ONE));
        assert!(Fraction::new(1.000_001).is_err());
        assert!(Fraction::new(f64::NAN).is_err());
        assert_eq!(Fraction::saturating(7.0), Fraction::ONE);
        assert_eq!(Fraction::saturating(f64::NAN), Fraction::ZERO);
    }

    #[test]
    fn an_interval_without_error_is_its_centre_even_at_an_infinite_boundary() {
        let interval = Interval::around(0.3, f64::INFINITY, 0.0);
        assert!(interval.contains(0.3) && !interval.contains(0.300_001));
    }
}
