//! Sharper estimates from what was known of contacts before the send: the part of an outcome that the past explains is
//! taken out. For estimates; decisions stay on the plain z unless the design said otherwise from the start.

use crate::effect::Sample;
use crate::error::Error;
use crate::pairs::Pairs;
use crate::special::normal;

/// Both arms adjusted, and compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjusted {
    /// The slope of the outcome on the covariate over both arms together.
    pub slope: f64,
    pub baseline: Sample,
    pub arm: Sample,
    pub difference: f64,
    pub standard_error: f64,
    pub z: f64,
    pub p_two_sided: f64,
    /// How much smaller the variance of the difference became.
    pub variance_reduction: f64,
}

/// Deng, Xu, Kohavi & Walker (2013), "Improving the sensitivity of online controlled experiments by utilizing
/// pre-experiment data": `y - θ x` in place of `y`, with `θ = cov(y, x) / var(x)` over both arms about their common mean.
/// `x` must be frozen before the send. A covariate without variance explains nothing and changes nothing.
pub fn adjust(baseline: &Pairs, arm: &Pairs) -> Result<Adjusted, Error> {
    let together = baseline.merged(arm);
    let slope =
        if together.variance_x > 0.0 { together.covariance / together.variance_x } else { 0.0 };
    let error = |variance: fn(&Pairs, f64) -> f64| {
        let of = |pairs: &Pairs| variance(pairs, slope) / pairs.count;
        of(baseline) + of(arm)
    };
    let variance = error(Pairs::variance_of_rest);
    let plain = error(|pairs, _| pairs.variance_y);
    let mean = |pairs: &Pairs| pairs.mean_y - slope * pairs.mean_x;
    let difference = mean(arm) - mean(baseline);
    let z = if variance > 0.0 { difference / variance.sqrt() } else { 0.0 };
    let sample =
        |pairs: &Pairs| Sample::of_moments(pairs.count, mean(pairs), pairs.variance_of_rest(slope));
    Ok(Adjusted {
        slope,
        baseline: sample(baseline)?,
        arm: sample(arm)?,
        difference,
        standard_error: variance.sqrt(),
        z,
        p_two_sided: normal::two_sided(z),
        variance_reduction: if plain > 0.0 { 1.0 - variance / plain } else { 0.0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::Sums;

    fn pairs(values: &[(f64, f64)]) -> Pairs {
        let sum = |of: fn(f64, f64) -> f64| values.iter().map(|(y, x)| of(*y, *x)).sum();
        let sums = Sums {
            y: sum(|y, _| y),
            x: sum(|_, x| x),
            yy: sum(|y, _| y * y),
            xx: sum(|_, x| x * x),
            yx: sum(|y, x| y * x),
        };
        Pairs::from_sums(values.len() as u64, sums).unwrap()
    }

    #[test]
    fn an_outcome_that_the_past_explains_wholly_leaves_only_the_effect() {
        let baseline = pairs(&[(2.0, 1.0), (4.0, 2.0), (6.0, 3.0)]);
        let arm = pairs(&[(2.0, 1.0), (4.0, 2.0), (6.0, 3.0)]);
        let adjusted = adjust(&baseline, &arm).unwrap();
        assert!((adjusted.slope - 2.0).abs() < 1e-14 && adjusted.difference.abs() < 1e-14);
        assert!(adjusted.variance_reduction > 0.999_999);
    }

    #[test]
    fn a_covariate_without_variance_changes_nothing() {
        let (baseline, arm) = (pairs(&[(1.0, 5.0), (2.0, 5.0)]), pairs(&[(2.0, 5.0), (4.0, 5.0)]));
        let adjusted = adjust(&baseline, &arm).unwrap();
        assert!(adjusted.slope.abs() <= 0.0 && adjusted.variance_reduction.abs() <= 0.0);
        assert!((adjusted.difference - 1.5).abs() < 1e-15);
    }
}
