//! What a plan of looks promises before the first mail is sent: how likely it ends, where, and how soon.

use super::{Schedule, Spender};
use crate::number::Alpha;
use crate::spending::Spending;

/// What to expect of a schedule when its effect is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Characteristics {
    /// The probability of ever stopping above.
    pub above: f64,
    /// And below.
    pub below: f64,
    /// The mean information at the end, whether stopped or not, as a share of the last look's.
    pub expected_information: f64,
}

impl Schedule {
    /// Jennison & Turnbull (2000), chapter 2. `drift` is the mean of z at the last look: 2.8 is what a single look
    /// needs for 80 % power, and 0 is no effect.
    pub fn characteristics(&self, spending: Spending, alpha: Alpha, drift: f64) -> Characteristics {
        let whole = self.looks().last().map_or(1.0, |look| look.information);
        let per_information = drift / whole.sqrt();
        let mut spender = Spender::two_sided(spending, alpha);
        let mut sum = Characteristics { above: 0.0, below: 0.0, expected_information: 1.0 };
        for look in self.looks() {
            if spender.next(look).z.is_infinite() {
                continue;
            }
            let exit = spender.walk.exit(per_information);
            sum.above += exit.above;
            sum.below += exit.below;
            sum.expected_information -=
                (exit.above + exit.below) * (1.0 - look.information / whole);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group_sequential::LookTime;
    use crate::number::Fraction;

    fn equal(looks: u32) -> Schedule {
        let look = |k: u32| LookTime {
            information: f64::from(k),
            spending_time: Fraction::new(f64::from(k) / f64::from(looks)).unwrap(),
        };
        Schedule::new((1..=looks).map(look).collect()).unwrap()
    }

    fn of(looks: u32, drift: f64) -> Characteristics {
        equal(looks).characteristics(Spending::OBrienFleming, Alpha::FIVE_PERCENT, drift)
    }

    #[test]
    fn without_an_effect_it_spends_what_it_may_on_both_sides() {
        let none = of(20, 0.0);
        assert!((none.above - 0.025).abs() < 1e-10 && (none.below - 0.025).abs() < 1e-10);
    }

    #[test]
    fn one_look_is_the_plain_test() {
        let single = of(1, 2.8);
        let critical = Alpha::FIVE_PERCENT.critical();
        assert!((single.above - crate::special::normal::tail(critical - 2.8)).abs() < 1e-14);
        assert!((single.expected_information - 1.0).abs() < 1e-15);
    }

    #[test]
    fn five_looks_have_the_published_inflation() {
        // Jennison & Turnbull, table 7.4 and its neighbours: 2.6 % more recipients keep the power of a single look.
        let drift = (Alpha::FIVE_PERCENT.critical() + 0.841_621_233_572_914) * 1.025_f64.sqrt();
        assert!((of(5, drift).above - 0.8).abs() < 1e-3, "{:?}", of(5, drift));
    }

    #[test]
    fn an_overwhelming_effect_ends_at_the_first_look_that_can() {
        let sure = of(5, 40.0);
        assert!((sure.above - 1.0).abs() < 1e-9 && sure.below < 1e-100);
        assert!((sure.expected_information - 0.2).abs() < 1e-9);
    }
}
