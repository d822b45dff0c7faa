//! Stirling's formula for the gamma function and the upper tail of the gamma distribution, which is the tail of chi-square.

use std::f64::consts::TAU;

/// Enough for shapes of 1e8: the sums below need a few times the square root of the shape.
const ITERATIONS: u32 = 100_000;

/// `ln Γ(x)` for `x > 0`; not a number otherwise.
#[cfg(test)]
pub(crate) fn ln_gamma(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    (x - 0.5) * x.ln() - x + 0.5 * TAU.ln() + stirling_error(x)
}

/// What Stirling's approximation of `ln Γ(x)` lacks: `ln Γ(x) - ((x - 1/2) ln x - x + 1/2 ln 2π)`, `x > 0`.
///
/// Abramowitz & Stegun 6.1.41 from 10 on; below, the recurrence `Γ(x + 1) = x Γ(x)` leads there.
pub(crate) fn stirling_error(x: f64) -> f64 {
    if x >= 10.0 {
        let square = 1.0 / (x * x);
        let series = [
            1.0 / 12.0,
            -1.0 / 360.0,
            1.0 / 1260.0,
            -1.0 / 1680.0,
            1.0 / 1188.0,
            -691.0 / 360_360.0,
            1.0 / 156.0,
        ];
        return series.iter().rfold(0.0, |sum, term| sum * square + term) / x;
    }
    let mut product = 1.0;
    let mut shifted = x;
    while shifted < 10.0 {
        product *= shifted;
        shifted += 1.0;
    }
    let stirling = |y: f64| (y - 0.5) * y.ln() - y;
    stirling(shifted) + stirling_error(shifted) - product.ln() - stirling(x)
}

/// `x ln(x / m) + m - x` without cancellation near `x = m`. Loader (2000), "Fast and accurate computation of binomial
/// probabilities".
pub(crate) fn deviance(x: f64, m: f64) -> f64 {
    let gap = x - m;
    if gap.abs() >= 0.1 * (x + m) {
        return if x > 0.0 { x * (x / m).ln() - gap } else { m };
    }
    let v = gap / (x + m);
    let mut sum = gap * v;
    let mut term = 2.0 * x * v;
    let mut odd = 1.0;
    loop {
        term *= v * v;
        odd += 2.0;
        let next = sum + term / odd;
        if !next.is_finite() || (next - sum).abs() <= 0.0 {
            return next;
        }
        sum = next;
    }
}

/// `Q(a, x) = Γ(a, x) / Γ(a)`, the upper tail of a gamma distribution, and its logarithm, which outlives underflow.
///
/// Series 8.11.4 below the mean and continued fraction 8.9.2 above it (NIST Digital Library of Mathematical Functions),
/// the common factor after Loader.
pub(crate) fn upper_tail(a: f64, x: f64) -> Tail {
    if !(a > 0.0 && a.is_finite() && x >= 0.0) {
        return Tail { probability: f64::NAN, ln: f64::NAN };
    }
    if x <= 0.0 {
        return Tail { probability: 1.0, ln: 0.0 };
    }
    if x.is_infinite() {
        return Tail { probability: 0.0, ln: f64::NEG_INFINITY };
    }
    // x^a e^-x / Γ(a), as Γ(a) = Stirling(a) · e^error(a) and a ln(x/a) - x + a = -deviance(a, x).
    let ln_front = 0.5 * (a / TAU).ln() - stirling_error(a) - deviance(a, x);
    if x < a + 1.0 {
        let lower = ln_front.exp() / a * series(a, x);
        Tail { probability: 1.0 - lower, ln: (-lower).ln_1p() }
    } else {
        let ln = ln_front + fraction(a, x).ln();
        Tail { probability: ln.exp(), ln }
    }
}

/// A tail probability and its logarithm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail {
    pub(crate) probability: f64,
    pub(crate) ln: f64,
}

fn series(a: f64, x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    let mut shape = a;
    for _ in 0..ITERATIONS {
        shape += 1.0;
        term *= x / shape;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum
}

/// Lentz's evaluation of the fraction whose value is `Γ(a, x) e^x x^-a`.
fn fraction(a: f64, x: f64) -> f64 {
    let mut term = x + 1.0 - a;
    let mut above = 1e300;
    let mut below = 1.0 / term;
    let mut value = below;
    let mut step = 0.0;
    for _ in 0..ITERATIONS {
        step += 1.0;
        let numerator = -step * (step - a);
        term += 2.0;
        below = 1.0 / nonzero(numerator * below + term);
        above = nonzero(term + numerator / above);
        let factor = above * below;
        value *= factor;
        if (factor - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// Keeps Lentz's method away from a division by zero.
pub(crate) fn nonzero(value: f64) -> f64 {
    if value.abs() < 1e-300 { 1e-300 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, relative: f64) {
        let allowed = relative * expected.abs().max(1e-300);
        assert!((got - expected).abs() <= allowed, "{got:e} is not {expected:e}");
    }

    #[test]
    fn ln_gamma_agrees_with_known_values() {
        assert!(ln_gamma(1.0).abs() < 1e-14 && ln_gamma(2.0).abs() < 1e-14);
        close(ln_gamma(0.5), 0.572_364_942_924_700_1, 1e-14);
        close(ln_gamma(10.0), 12.801_827_480_081_469, 1e-15);
        close(ln_gamma(1e6), 12_815_504.569_147_611, 1e-15);
        assert!(ln_gamma(0.0).is_nan() && ln_gamma(f64::NAN).is_nan());
    }

    #[test]
    fn chi_square_tails_outlive_underflow() {
        close(upper_tail(0.5, 80.0).probability, 1.131_483_790_243_303_8e-36, 1e-12);
        close(upper_tail(1.0, 5000.0).ln, -5000.0, 1e-14);
        close(upper_tail(1.0, 0.25).probability, (-0.25_f64).exp(), 1e-15);
    }

    #[test]
    fn shapes_of_a_million_keep_their_digits() {
        // mpmath, 40 digits.
        close(upper_tail(1e6, 1e6).probability, 0.499_867_019_239_127_4, 1e-11);
        close(upper_tail(1e6, 1_003_000.0).probability, 0.001_361_740_646_217_591_5, 1e-11);
        close(upper_tail(1e6, 997_000.0).probability, 0.998_661_895_832_686_4, 1e-11);
    }

    #[test]
    fn nonsense_is_not_a_number_and_ends() {
        assert!(upper_tail(-1.0, 1.0).probability.is_nan());
        assert!(upper_tail(1.0, f64::NAN).probability.is_nan());
        assert!(upper_tail(f64::INFINITY, 1.0).probability.is_nan());
        assert!(upper_tail(2.0, f64::INFINITY).probability <= 0.0);
    }
}
