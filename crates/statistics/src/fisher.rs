//! Fisher's exact test of two rates: for few events, where the normal approximation of the z is too coarse.

use std::f64::consts::TAU;

use crate::effect::Comparison;
use crate::number::real;
use crate::special::gamma::{deviance, stirling_error};

/// Tables this much likelier than the observed one still count as equally likely: rounding must not decide.
const TIE: f64 = 1e-7;
/// Above this deviation of the count its distribution is as good as normal, and summing it would take long.
const LARGE: f64 = 1e5;
/// Above this neighbouring whole numbers are no longer told apart.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The p-values of one planned look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact {
    pub p_two_sided: f64,
    pub p_arm_greater: f64,
    pub p_arm_less: f64,
}

/// Fisher (1935): given how many succeeded over both arms, the successes of one are hypergeometric while the rates are
/// equal. Two-sided is the probability of all tables no likelier than the observed one.
pub fn exact(comparison: Comparison) -> Exact {
    let urn = Hypergeometric::of(comparison);
    if urn.deviation() > LARGE || urn.whole() > EXACT {
        return Exact {
            p_two_sided: comparison.p_two_sided(),
            p_arm_greater: comparison.p_arm_greater(),
            p_arm_less: Comparison { baseline: comparison.arm, arm: comparison.baseline }
                .p_arm_greater(),
        };
    }
    let observed = real(comparison.arm.successes());
    let probability = urn.ln_probability(observed).exp();
    let (below, above) = if observed <= urn.mode() {
        let at_most = urn.descending(observed);
        (at_most, 1.0 - at_most + probability)
    } else {
        let at_least = urn.ascending(observed);
        (1.0 - at_least + probability, at_least)
    };
    Exact {
        p_two_sided: urn.no_likelier_than(observed).min(1.0),
        p_arm_greater: above.clamp(0.0, 1.0),
        p_arm_less: below.clamp(0.0, 1.0),
    }
}

/// How many of `drawn` contacts succeeded when `successes` and `failures` are divided at random.
#[derive(Debug, Clone, Copy)]
struct Hypergeometric {
    successes: f64,
    failures: f64,
    drawn: f64,
}

impl Hypergeometric {
    fn of(comparison: Comparison) -> Self {
        let Comparison { baseline, arm } = comparison;
        Self {
            successes: real(baseline.successes()) + real(arm.successes()),
            failures: real(baseline.failures()) + real(arm.failures()),
            drawn: real(arm.trials()),
        }
    }

    fn whole(&self) -> f64 {
        self.successes + self.failures
    }

    fn least(&self) -> f64 {
        (self.drawn - self.failures).max(0.0)
    }

    fn most(&self) -> f64 {
        self.drawn.min(self.successes)
    }

    fn mode(&self) -> f64 {
        ((self.drawn + 1.0) * ((self.successes + 1.0) / (self.whole() + 2.0))).floor()
    }

    fn deviation(&self) -> f64 {
        let whole = self.whole();
        let share = self.drawn / whole;
        (self.successes * share * (1.0 - share) * (self.failures / whole)).sqrt()
    }

    /// Loader (2000): a quotient of three binomial probabilities, each free of cancellation.
    fn ln_probability(&self, x: f64) -> f64 {
        let whole = self.whole();
        let rest = whole - self.drawn;
        ln_binomial(x, self.successes, (self.drawn, rest))
            + ln_binomial(self.drawn - x, self.failures, (self.drawn, rest))
            - ln_binomial(self.drawn, whole, (self.drawn, rest))
    }

    /// `P(x + 1) / P(x)`.
    fn ratio(&self, x: f64) -> f64 {
        (self.successes - x) / (x + 1.0)
            * ((self.drawn - x) / (self.failures - self.drawn + x + 1.0))
    }

    /// The probability of `x` and more, for `x` not below the mode: terms only shrink.
    fn ascending(&self, mut x: f64) -> f64 {
        let mut term = self.ln_probability(x).exp();
        let mut sum = term;
        while x < self.most() && term > sum * 1e-18 {
            term *= self.ratio(x);
            x += 1.0;
            sum += term;
        }
        sum
    }

    /// The probability of `x` and less, for `x` not above the mode.
    fn descending(&self, mut x: f64) -> f64 {
        let mut term = self.ln_probability(x).exp();
        let mut sum = term;
        while x > self.least() && term > sum * 1e-18 {
            x -= 1.0;
            term /= self.ratio(x);
            sum += term;
        }
        sum
    }

    /// Probabilities fall off on both sides of the mode, so what is counted are two tails.
    fn no_likelier_than(&self, observed: f64) -> f64 {
        let limit = self.ln_probability(observed) + TIE.ln_1p();
        if self.ln_probability(self.mode()) <= limit {
            return 1.0;
        }
        let is_counted = |x: f64| self.ln_probability(x) <= limit;
        let left = -first((-self.mode(), 1.0 - self.least()), |x| is_counted(-x));
        let right = first((self.mode(), self.most() + 1.0), is_counted);
        self.side(left, Self::descending) + self.side(right, Self::ascending)
    }

    fn side(&self, from: f64, sum: fn(&Self, f64) -> f64) -> f64 {
        if (self.least()..=self.most()).contains(&from) { sum(self, from) } else { 0.0 }
    }
}

/// The first whole number after `low`, and not beyond `high`, where what is false at `low` is true.
fn first((mut low, mut high): (f64, f64), is_true: impl Fn(f64) -> bool) -> f64 {
    while high - low > 1.0 {
        let middle = (0.5 * (low + high)).floor();
        if is_true(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The logarithm of the probability of `x` successes in `n` trials with odds `for_it` to `against`.
fn ln_binomial(x: f64, n: f64, (for_it, against): (f64, f64)) -> f64 {
    let whole = for_it + against;
    if n <= 0.0 {
        return 0.0;
    }
    if x <= 0.0 {
        return n * (-for_it / whole).ln_1p();
    }
    if x >= n {
        return n * (-against / whole).ln_1p();
    }
    stirling_error(n)
        - stirling_error(x)
        - stirling_error(n - x)
        - deviance(x, n * (for_it / whole))
        - deviance(n - x, n * (against / whole))
        + 0.5 * (n / TAU / x / (n - x)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proportion::Proportion;

    fn test(x: u64, n: u64, y: u64, m: u64) -> Exact {
        exact(Comparison {
            baseline: Proportion::new(x, n).unwrap(),
            arm: Proportion::new(y, m).unwrap(),
        })
    }

    #[test]
    fn the_lady_tasting_tea() {
        // Three of four cups right: 17/70 at least as good by chance.
        let tea = test(1, 4, 3, 4);
        assert!((tea.p_arm_greater - 17.0 / 70.0).abs() < 1e-14);
        assert!((tea.p_two_sided - 34.0 / 70.0).abs() < 1e-14);
        assert!((tea.p_arm_less - 69.0 / 70.0).abs() < 1e-14);
    }

    #[test]
    fn arms_without_variance_say_nothing() {
        for same in [test(0, 10, 0, 20), test(10, 10, 20, 20)] {
            assert!(same.p_two_sided >= 1.0 && same.p_arm_greater >= 1.0 && same.p_arm_less >= 1.0);
        }
    }

    #[test]
    fn tiny_p_values_keep_their_digits() {
        // Exact fractions: 1 / C(400, 200).
        let apart = test(0, 200, 200, 200);
        assert!(
            (apart.p_arm_greater / 9.713_217_247_611_181e-120 - 1.0).abs() < 1e-11,
            "{apart:?}"
        );
        assert!((apart.p_two_sided / apart.p_arm_greater - 2.0).abs() < 1e-11);
    }

    #[test]
    fn absurd_counts_end() {
        let huge = test(u64::MAX / 2, u64::MAX, u64::MAX / 2 + 5, u64::MAX);
        assert!(huge.p_two_sided > 0.99);
        let lopsided = test(u64::MAX - 3, u64::MAX, u64::MAX - 9, u64::MAX - 1);
        assert!(lopsided.p_two_sided <= 1.0);
        let wide = test(400_000, 2_000_000, 401_000, 2_000_000);
        let z = 1_000.0 / (801_000.0_f64 * (1.0 - 0.200_25)).sqrt();
        assert!((wide.p_two_sided - crate::special::normal::two_sided(z)).abs() < 1e-3);
    }
}
