//! Composite Gauss-Legendre quadrature with twelve nodes per panel, and the running integral at those nodes.

/// Nodes per panel.
pub(crate) const ORDER: usize = 12;

/// The positive nodes on [-1, 1] and their weights; the others mirror them.
const HALF: [(f64, f64); ORDER / 2] = [
    (0.125_233_408_511_468_9, 0.249_147_045_813_402_77),
    (0.367_831_498_998_180_2, 0.233_492_536_538_354_8),
    (0.587_317_954_286_617_5, 0.203_167_426_723_065_92),
    (0.769_902_674_194_304_7, 0.160_078_328_543_346_22),
    (0.904_117_256_370_474_9, 0.106_939_325_995_318_43),
    (0.981_560_634_246_719_2, 0.047_175_336_386_511_83),
];

/// The nodes of [-1, 1] in ascending order with their weights.
pub(crate) fn rule() -> [(f64, f64); ORDER] {
    std::array::from_fn(|i| {
        if i < ORDER / 2 {
            let (x, weight) = HALF[ORDER / 2 - 1 - i];
            (-x, weight)
        } else {
            HALF[i - ORDER / 2]
        }
    })
}

/// The nodes and weights of one panel, ascending.
pub(crate) fn panel(low: f64, high: f64) -> [(f64, f64); ORDER] {
    let (centre, half) = (0.5 * (low + high), 0.5 * (high - low));
    rule().map(|(x, weight)| (centre + half * x, half * weight))
}

/// `matrix[i][m]` such that the integral from -1 to node `i` is the sum over `m` of `matrix[i][m] f(node m)`.
///
/// The polynomial through the twelve values is expanded in Legendre polynomials, whose integrals are known:
/// `∫ P_n = (P_{n+1} - P_{n-1}) / (2n + 1)`.
pub(crate) fn running() -> [[f64; ORDER]; ORDER] {
    let rule = rule();
    rule.map(|(to, _)| {
        let at = legendre(to);
        rule.map(|(x, weight)| {
            let values = legendre(x);
            let mut sum = 0.5 * (to + 1.0);
            for n in 1..ORDER {
                sum += 0.5 * values[n] * (at[n + 1] - at[n - 1]);
            }
            sum * weight
        })
    })
}

/// `P_0 ... P_12` at `x`.
fn legendre(x: f64) -> [f64; ORDER + 1] {
    let mut p = [1.0; ORDER + 1];
    p[1] = x;
    let mut n = 1.0;
    for i in 1..ORDER {
        p[i + 1] = ((2.0 * n + 1.0) * x * p[i] - n * p[i - 1]) / (n + 1.0);
        n += 1.0;
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_integrates_polynomials_of_degree_23_exactly() {
        let got: f64 = panel(1.0, 3.0).iter().map(|(x, w)| w * x.powi(23)).sum();
        let expected = (3_f64.powi(24) - 1.0) / 24.0;
        assert!((got / expected - 1.0).abs() < 1e-14);
    }

    #[test]
    fn the_running_integral_follows_the_exponential() {
        let values = rule().map(|(x, _)| x.exp());
        for (row, (to, _)) in running().iter().zip(rule()) {
            let got: f64 = row.iter().zip(values).map(|(m, f)| m * f).sum();
            assert!((got - (to.exp() - (-1_f64).exp())).abs() < 1e-11);
        }
    }
}
