//! Two numbers of every contact together, as means and (co)variances: what ratio metrics and adjustments by a covariate
//! are computed from.

use crate::error::Error;
use crate::number::real;

/// Sums over contacts of two numbers `y` and `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sums {
    pub y: f64,
    pub x: f64,
    pub yy: f64,
    pub xx: f64,
    pub yx: f64,
}

/// The moments of `y` and `x`; variances and the covariance have `count - 1` in their denominators.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairs {
    pub(crate) count: f64,
    pub(crate) mean_y: f64,
    pub(crate) mean_x: f64,
    pub(crate) variance_y: f64,
    pub(crate) variance_x: f64,
    pub(crate) covariance: f64,
}

impl Pairs {
    /// From sums over all contacts; those whose numbers are 0 count without being listed.
    pub fn from_sums(count: u64, sums: Sums) -> Result<Self, Error> {
        let n = real(count);
        let (mean_y, mean_x) = (sums.y / n, sums.x / n);
        let pairs = Self {
            count: n,
            mean_y,
            mean_x,
            variance_y: ((sums.yy - sums.y * mean_y) / (n - 1.0)).max(0.0),
            variance_x: ((sums.xx - sums.x * mean_x) / (n - 1.0)).max(0.0),
            covariance: (sums.yx - sums.y * mean_x) / (n - 1.0),
        };
        let sane = count >= 2
            && [mean_y, mean_x, pairs.variance_y, pairs.variance_x, pairs.covariance]
                .iter()
                .all(|moment| moment.is_finite());
        if sane { Ok(pairs) } else { Err(Error::TooFewObservations) }
    }

    /// The moments of both groups as one: Chan, Golub & `LeVeque` (1983).
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let count = self.count + other.count;
        let share = other.count / count;
        let (gap_y, gap_x) = (other.mean_y - self.mean_y, other.mean_x - self.mean_x);
        let between = self.count * share;
        let merge = |one: f64, another: f64, gaps: f64| {
            ((self.count - 1.0) * one + (other.count - 1.0) * another + between * gaps)
                / (count - 1.0)
        };
        Self {
            count,
            mean_y: self.mean_y + share * gap_y,
            mean_x: self.mean_x + share * gap_x,
            variance_y: merge(self.variance_y, other.variance_y, gap_y * gap_y),
            variance_x: merge(self.variance_x, other.variance_x, gap_x * gap_x),
            covariance: merge(self.covariance, other.covariance, gap_y * gap_x),
        }
    }

    /// The variance of `y - slope x`.
    pub(crate) fn variance_of_rest(&self, slope: f64) -> f64 {
        let variance = self.variance_y + slope * (slope * self.variance_x - 2.0 * self.covariance);
        variance.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[(f64, f64)]) -> Pairs {
        let mut sums = Sums { y: 0.0, x: 0.0, yy: 0.0, xx: 0.0, yx: 0.0 };
        for (y, x) in values {
            sums.y += y;
            sums.x += x;
            sums.yy += y * y;
            sums.xx += x * x;
            sums.yx += y * x;
        }
        Pairs::from_sums(values.len() as u64, sums).unwrap()
    }

    #[test]
    fn merging_is_like_having_counted_together() {
        let (one, other) = ([(1.0, 2.0), (3.0, 5.0)], [(0.0, 0.0), (2.0, 1.0), (7.0, 4.0)]);
        let merged = pairs(&one).merged(&pairs(&other));
        let together = pairs(&[one.as_slice(), &other].concat());
        for (got, expected) in [
            (merged.mean_y, together.mean_y),
            (merged.mean_x, together.mean_x),
            (merged.variance_y, together.variance_y),
            (merged.variance_x, together.variance_x),
            (merged.covariance, together.covariance),
        ] {
            assert!((got - expected).abs() < 1e-14, "{got} is not {expected}");
        }
    }

    #[test]
    fn one_contact_has_no_variance() {
        let sums = Sums { y: 1.0, x: 1.0, yy: 1.0, xx: 1.0, yx: 1.0 };
        assert_eq!(Pairs::from_sums(1, sums), Err(Error::TooFewObservations));
        assert!(Pairs::from_sums(3, Sums { yx: f64::INFINITY, ..sums }).is_err());
    }
}
