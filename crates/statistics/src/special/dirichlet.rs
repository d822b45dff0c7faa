//! How much better counts are explained by shares drawn near the expected ones than by the expected ones themselves.

use super::gamma::{deviance, stirling_error};

/// The logarithm of `Γ(k)/Γ(k+n) Π Γ(k w + c)/(Γ(k w) w^c)` over pairs of a count `c` and a share `w`, with `n` the sum
/// of the counts and `k` the concentration: a Dirichlet-multinomial mixture against the multinomial.
///
/// With Stirling's formula for every gamma function the leading terms cancel exactly, and what is left is a sum of
/// deviances and of small corrections. As differences of log-gammas a million counts would cost nine digits. A positive
/// count of a share of 0 is impossible, so its evidence is infinite.
pub(crate) fn ln_mixture(
    cells: impl Iterator<Item = (f64, f64)> + Clone,
    concentration: f64,
) -> f64 {
    let whole: f64 = cells.clone().map(|(count, _)| count).sum();
    let total = concentration + whole;
    let mut log = 0.5 * (whole / concentration).ln_1p() + stirling_error(concentration)
        - stirling_error(total);
    for (count, share) in cells {
        let prior = concentration * share;
        if prior > 0.0 {
            let posterior = prior + count;
            log += deviance(posterior, total * share) - 0.5 * (count / prior).ln_1p()
                + stirling_error(posterior)
                - stirling_error(prior);
        } else if count > 0.0 {
            return f64::INFINITY;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::gamma::ln_gamma;

    fn by_gammas(cells: &[(f64, f64)], k: f64) -> f64 {
        let n: f64 = cells.iter().map(|(count, _)| count).sum();
        let each = |(count, share): &(f64, f64)| {
            ln_gamma(k * share + count) - ln_gamma(k * share) - count * share.ln()
        };
        ln_gamma(k) - ln_gamma(k + n) + cells.iter().map(each).sum::<f64>()
    }

    #[test]
    fn it_is_the_ratio_of_gammas_without_their_cancellation() {
        for (cells, k) in [
            ([(3.0, 0.5), (9.0, 0.5)], 100.0),
            ([(0.0, 0.2), (7.0, 0.8)], 0.5),
            ([(700.0, 0.3), (1_400.0, 0.7)], 1e4),
        ] {
            let got = ln_mixture(cells.iter().copied(), k);
            assert!((got - by_gammas(&cells, k)).abs() < 1e-9, "{cells:?}");
        }
    }

    #[test]
    fn billions_of_counts_keep_their_digits() {
        // mpmath, 50 digits.
        let cells = [(500_010_000.0, 0.5), (499_990_000.0, 0.5)];
        let got = ln_mixture(cells.into_iter(), 1_000.0);
        assert!((got + 6.708_005_978_476_688).abs() < 1e-9, "{got}");
    }
}
