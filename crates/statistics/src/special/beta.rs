//! The beta distribution's tails and quantiles, right for shapes of a half and of a million alike.

use std::f64::consts::TAU;

use super::gamma::{deviance, nonzero, stirling_error};
use super::quadrature;
use super::root;

/// Above this both ways the density is so smooth that integrating it costs less than the fraction, whose length grows
/// with the square root of the smaller shape.
const LARGE: f64 = 10_000.0;
/// More than the fraction needs below [`LARGE`].
const ITERATIONS: u32 = 50_000;

/// `P(X <= x)` and `P(X > x)` for `X ~ Beta(a, b)`; the smaller is computed, the larger is one minus it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tails {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// The tails at `x`, where `y = 1 - x` is passed along because the caller may know it better than we could subtract.
///
/// Continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions, or quadrature. The factor before it is Loader's
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
        let lower = tail(a, b, (x, y), front).min(1.0);
        Tails { lower, upper: 1.0 - lower }
    } else {
        let upper = tail(b, a, (y, x), front).min(1.0);
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

/// The lower tail, for `x` not above the mean.
fn tail(a: f64, b: f64, at: (f64, f64), front: f64) -> f64 {
    front * if a.min(b) > LARGE { integral(a, b, at) } else { fraction(a, b, at) / a }
}

/// The density from `x` downwards, relative to `x (1 - x)` times its value there. Panels are a standard deviation wide
/// at the mean and narrower where the density falls off faster.
fn integral(a: f64, b: f64, (x, y): (f64, f64)) -> f64 {
    let mean = a / (a + b);
    let deviation = (mean * (1.0 - mean) / (a + b)).sqrt();
    let width = deviation / (1.0 + 0.5 * (mean - x).abs() / deviation);
    let (mut sum, mut from) = (0.0, 0.0);
    for _ in 0..1_000 {
        let mut part = 0.0;
        for (gap, weight) in quadrature::panel(from, (from + width).min(x)) {
            let log = (a - 1.0) * (-gap / x).ln_1p() + (b - 1.0) * (gap / y).ln_1p();
            part += weight * log.exp();
        }
        sum += part;
        from += width;
        if from >= x || part <= sum * 1e-18 {
            break;
        }
    }
    sum / (x * y)
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
    fn both_ways_of_computing_a_tail_meet() {
        for x in [0.23, 0.245, 0.25] {
            let (fraction, integral) = (
                fraction(20_001.0, 60_001.0, (x, 1.0 - x)),
                integral(20_001.0, 60_001.0, (x, 1.0 - x)),
            );
            close(fraction / 20_001.0, integral, 1e-12);
        }
    }

    #[test]
    fn quantiles_invert_tails() {
        let shapes =
            [(0.5, 900.5), (3.5, 3_997.5), (240_001.0, 960_001.0), (1.0, 1.0), (1e15, 3e15)];
        for (a, b) in shapes {
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
