//! The beta distribution's tails and quantiles, right for shapes of a half and of a million alike.

use std::f64::consts::TAU;

use super::gamma::{deviance, nonzero, stirling_error};
use super::root;

/// Enough for shapes of 1e8: the fraction needs a few times the square root of the larger shape.
const ITERATIONS: u32 = 50_000;

/// `P(X <= x)` and `P(X > x)` for `X ~ Beta(a, b)`; the smaller is computed, the larger is one minus it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tails {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// The tails at `x`, where `y = 1 - x` is passed along because the caller may know it better than we could subtract.
///
/// Continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions. The factor before it is Loader's
/// (2000) binomial probability: the logarithms of three gamma functions would cancel away nine digits at a million.
pub(crate) fn tails(a: f64, b: f64, x: f64, y: f64) -> Tails {
    let sane = a > 0.0 && b > 0.0 && (a + b).is_finite() && x >= 0.0 && y >= 0.0;
    if !sane {
        return Tails { lower: f64::NAN, upper: f64::NAN };
    }
    if x <= 0.0 || y <= 0.0 {
        let lower = if x <= 0.0 { 0.0 } else { 1.0 };
        return Tails { lower, upper: 1.0 - lower };
    }
    let whole = a + b;
    let ln_front = stirling_error(whole)
        - stirling_error(a)
        - stirling_error(b)
        - deviance(a, whole * x)
        - deviance(b, whole * y);
    let front = (a / TAU * (b / whole)).sqrt() * ln_front.exp();
    if x <= (a + 1.0) / (whole + 2.0) {
        let lower = (front * fraction(a, b, (x, y)) / a).min(1.0);
        Tails { lower, upper: 1.0 - lower }
    } else {
        let upper = (front * fraction(b, a, (y, x)) / b).min(1.0);
        Tails { lower: 1.0 - upper, upper }
    }
}

/// The `x` with `P(X <= x) = probability`.
pub(crate) fn lower_quantile(a: f64, b: f64, probability: f64) -> f64 {
    root::bracketed(|x| tails(a, b, x, 1.0 - x).lower - probability, (0.0, 1.0), 0.0)
}

/// The `x` with `P(X > x) = probability`.
pub(crate) fn upper_quantile(a: f64, b: f64, probability: f64) -> f64 {
    root::bracketed(|x| probability - tails(a, b, x, 1.0 - x).upper, (0.0, 1.0), 0.0)
}

/// Lentz's evaluation, two steps of the fraction at a time.
fn fraction(a: f64, b: f64, (x, y): (f64, f64)) -> f64 {
    let whole = a + b;
    let mut above = 1.0;
    // 1 - (a + b) x / (a + 1), without the cancellation when x is close to 1.
    let mut below = (a + 1.0) / nonzero(1.0 - b + whole * y);
    let mut value = below;
    let mut step = 0.0;
    for _ in 0..ITERATIONS {
        step += 1.0;
        let shifted = a + 2.0 * step;
        let even = step * (b - step) * x / ((shifted - 1.0) * shifted);
        below = 1.0 / nonzero(1.0 + even * below);
        above = nonzero(1.0 + even / above);
        value *= above * below;
        let odd = -(a + step) * (whole + step) * x / (shifted * (shifted + 1.0));
        below = 1.0 / nonzero(1.0 + odd * below);
        above = nonzero(1.0 + odd / above);
        let factor = above * below;
        value *= factor;
        if (factor - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected, "{got:e} is not {expected:e}");
    }

    #[test]
    fn small_shapes_agree_with_closed_forms() {
        close(tails(1.0, 9.0, 0.3, 0.7).upper, 0.7_f64.powi(9), 1e-14);
        close(tails(3.0, 1.0, 0.2, 0.8).lower, 0.008, 1e-14);
        close(tails(0.5, 0.5, 0.5, 0.5).lower, 0.5, 1e-14);
    }

    #[test]
    fn shapes_of_a_million_keep_their_digits() {
        // mpmath, 40 digits.
        close(tails(240_001.0, 960_001.0, 0.199, 0.801).lower, 0.003_044_375_794_443_069_3, 1e-11);
        close(tails(240_001.0, 960_001.0, 0.2003, 0.7997).upper, 0.206_004_339_695_513_9, 1e-11);
        close(tails(1e6, 1e6, 0.4995, 0.5005).lower, 0.078_649_577_580_901_81, 1e-11);
        // The fraction cancels five digits where x is this close to 1; Student's t at a million degrees needs no more.
        let lopsided = tails(500_000.0, 0.5, 0.999_996, 0.000_004).lower;
        close(lopsided, 0.045_500_101_923_263_16, 1e-9);
    }

    #[test]
    fn quantiles_invert_tails() {
        for (a, b) in [(0.5, 900.5), (3.5, 3_997.5), (240_001.0, 960_001.0), (1.0, 1.0)] {
            for probability in [1e-9, 0.025, 0.4, 0.9] {
                let low = lower_quantile(a, b, probability);
                close(tails(a, b, low, 1.0 - low).lower, probability, 1e-7);
                let high = upper_quantile(a, b, probability);
                close(tails(a, b, high, 1.0 - high).upper, probability, 1e-7);
            }
        }
    }

    #[test]
    fn nonsense_is_not_a_number_and_ends() {
        assert!(tails(0.0, 1.0, 0.5, 0.5).lower.is_nan());
        assert!(tails(1.0, f64::INFINITY, 0.5, 0.5).lower.is_nan());
        assert!(tails(1.0, 1.0, f64::NAN, 0.5).upper.is_nan());
        assert!(lower_quantile(f64::NAN, 1.0, 0.5).is_finite());
    }
}
