//! Student's t, for means whose variance is estimated.

use super::{beta, normal, root};

/// `P(|T| > |t|)` with `degrees` of freedom: `I(ν / (ν + t²); ν/2, 1/2)`, Abramowitz & Stegun 26.7.1.
pub(crate) fn two_sided(t: f64, degrees: f64) -> f64 {
    if degrees > 1e8 || t.is_infinite() {
        return normal::two_sided(t);
    }
    let square = t * t;
    let whole = degrees + square;
    beta::tails(degrees / 2.0, 0.5, degrees / whole, square / whole).lower
}

/// The two-sided critical value: the `t >= 0` with `P(|T| > t) = alpha`.
pub(crate) fn critical(alpha: f64, degrees: f64) -> f64 {
    let normal = normal::upper_quantile(alpha / 2.0);
    if degrees.is_nan() || degrees > 1e8 {
        return normal;
    }
    let mut high = normal + 1.0;
    while two_sided(high, degrees) > alpha && high < 1e100 {
        high *= 2.0;
    }
    root::bracketed(|t| alpha - two_sided(t, degrees), (0.0, high), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_values_agree_with_the_printed_table() {
        for (degrees, expected) in [(1.0, 12.706), (5.0, 2.571), (30.0, 2.042), (120.0, 1.980)] {
            assert!((critical(0.05, degrees) - expected).abs() < 5e-4, "{degrees}");
        }
        assert!((critical(0.05, 1e12) - 1.959_963_984_540_054).abs() < 1e-12);
    }

    #[test]
    fn one_degree_of_freedom_is_cauchy() {
        let expected = 1.0 - 2.0 / std::f64::consts::PI * 3_f64.atan();
        assert!((two_sided(-3.0, 1.0) - expected).abs() < 1e-14);
    }
}
