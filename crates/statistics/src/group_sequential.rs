//! A test that may be looked at many times before its deadline without raising its false alarms: boundaries that grow
//! with what has been spent, p-values that allow for the looks.
//!
//! The clock is information, not recipients: a campaign's recipients are fixed at once and its outcomes mature. Looks
//! are stored as `(information, spending time)`, and everything is recomputed from them; no state is kept in between.

mod characteristics;
mod walk;

pub use characteristics::Characteristics;

use crate::error::Error;
use crate::number::{Alpha, Fraction};
use crate::special::{normal, root};
use crate::spending::Spending;

use walk::{Sides, Walk};

/// Below this a look spends nothing and cannot stop: the boundary is infinite.
const LEAST_SPENDING: f64 = 1e-14;

/// When a look was taken, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LookTime {
    /// What the data can tell: proportional to the inverse variance of the effect.
    pub information: f64,
    /// Where the look lies between start and deadline, known without the data.
    pub spending_time: Fraction,
}

/// What a look needs to stop the test, and what had been spent by then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boundary {
    /// The test stops when `|z|` reaches this; infinite when the look spends nothing.
    pub z: f64,
    pub cumulative_alpha: f64,
}

/// Looks in their order, each with more information than the one before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule(Vec<LookTime>);

impl Schedule {
    pub fn new(looks: Vec<LookTime>) -> Result<Self, Error> {
        let mut from = 0.0;
        for look in &looks {
            let to = look.information;
            // A step far below a thousandth would need a grid out of proportion to what it can tell.
            if !(to.is_finite() && to > 0.0 && to >= from * 1.000_999) {
                return Err(Error::InformationDidNotGrow { from, to });
            }
            from = to;
        }
        Ok(Self(looks))
    }

    pub fn looks(&self) -> &[LookTime] {
        &self.0
    }

    /// The symmetric two-sided boundary of every look. Earlier boundaries never depend on later looks, to the bit.
    ///
    /// Lan & `DeMets` (1983): the boundary of a look solves P(not stopped before, stops now) = what it newly spends.
    pub fn boundaries(&self, spending: Spending, alpha: Alpha) -> Vec<Boundary> {
        let mut spender = Spender::two_sided(spending, alpha);
        self.0.iter().map(|look| spender.next(look)).collect()
    }

    /// The boundaries of a test that stops above only, and may be as far below as it likes.
    pub fn boundaries_one_sided(&self, spending: Spending, alpha: Alpha) -> Vec<Boundary> {
        let mut spender = Spender::one_sided(spending, alpha);
        self.0.iter().map(|look| spender.next(look)).collect()
    }

    /// The smallest error probability at which the test would have stopped by now, given each look's statistic: a
    /// p-value that allows for all the looks. Pass `|z|` for a two-sided question; for "is it better?" pass `z`, and
    /// minus infinity for a look that must not count. Values below 1e-14 are reported as about that.
    ///
    /// The boundaries are nested in alpha, so the smallest is where the best look just touches its boundary; that is
    /// searched on the scale of the normal quantile, where the distance is nearly a straight line.
    pub fn sequential_p(&self, spending: Spending, statistics: &[f64]) -> Result<f64, Error> {
        if statistics.len() != self.0.len() {
            return Err(Error::WrongLength { got: statistics.len(), expected: self.0.len() });
        }
        let alpha = |x: f64| 2.0 * normal::tail(x);
        let excess = |x: f64| -> f64 {
            let Ok(alpha) = Alpha::new(alpha(x)) else { return f64::NEG_INFINITY };
            let boundaries = self.boundaries(spending, alpha);
            let distances = statistics.iter().zip(boundaries).map(|(z, boundary)| z - boundary.z);
            distances.fold(f64::NEG_INFINITY, f64::max)
        };
        let (loosest, strictest) = (1e-9, 7.7);
        if excess(loosest) < 0.0 {
            return Ok(1.0);
        }
        if excess(strictest) >= 0.0 {
            return Ok(alpha(strictest));
        }
        Ok(alpha(root::bracketed(excess, (loosest, strictest), 1e-10)))
    }
}

/// Spends an error probability look by look.
#[derive(Debug, Clone)]
pub(crate) struct Spender {
    spending: Spending,
    alpha: Alpha,
    sides: Sides,
    spent: f64,
    walk: Walk,
}

impl Spender {
    pub(crate) fn two_sided(spending: Spending, alpha: Alpha) -> Self {
        Self { spending, alpha, sides: Sides::Two, spent: 0.0, walk: Walk::new(Sides::Two) }
    }

    fn one_sided(spending: Spending, alpha: Alpha) -> Self {
        Self { spending, alpha, sides: Sides::One, spent: 0.0, walk: Walk::new(Sides::One) }
    }

    /// The boundary of the next look, which must know more than the one before.
    pub(crate) fn next(&mut self, look: &LookTime) -> Boundary {
        let spent = match self.sides {
            Sides::Two => self.spending.spent(look.spending_time, self.alpha),
            Sides::One => self.spending.spent_one_sided(look.spending_time, self.alpha),
        };
        let cumulative_alpha = spent.max(self.spent);
        let increment = cumulative_alpha - self.spent;
        let z = if increment < LEAST_SPENDING {
            f64::INFINITY
        } else {
            self.spent = cumulative_alpha;
            self.walk.stop_with_probability(look.information, increment)
        };
        Boundary { z, cumulative_alpha }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(looks: &[(f64, f64)]) -> Schedule {
        let look = |(information, u): &(f64, f64)| LookTime {
            information: *information,
            spending_time: Fraction::new(*u).unwrap(),
        };
        Schedule::new(looks.iter().map(look).collect()).unwrap()
    }

    fn equal(looks: u32) -> Schedule {
        let of = |k: u32| (f64::from(k), f64::from(k) / f64::from(looks));
        schedule(&(1..=looks).map(of).collect::<Vec<_>>())
    }

    fn z(schedule: &Schedule, spending: Spending) -> Vec<f64> {
        let boundaries = schedule.boundaries(spending, Alpha::FIVE_PERCENT);
        boundaries.iter().map(|boundary| boundary.z).collect()
    }

    #[test]
    fn five_equal_looks_have_the_published_obrien_fleming_boundaries() {
        let published = [4.8769, 3.3569, 2.6803, 2.2898, 2.0310];
        for (got, expected) in z(&equal(5), Spending::OBrienFleming).into_iter().zip(published) {
            assert!((got - expected).abs() < 2e-4, "{got} is not {expected}");
        }
    }

    #[test]
    fn a_boundary_seven_deviations_out_keeps_its_digits() {
        // mpmath, 30 digits: what is spent by a tenth is 2.7225029784597647e-12.
        let far = z(&schedule(&[(1.0, 0.1)]), Spending::OBrienFleming);
        assert!((far[0] - 6.991_351_707_077_418).abs() < 1e-12);
    }

    #[test]
    fn one_look_at_the_deadline_is_the_plain_test() {
        let single = z(&equal(1), Spending::OBrienFleming);
        assert!((single[0] - 1.959_963_984_540_054).abs() < 1e-12);
    }

    #[test]
    fn a_test_on_one_side_at_half_the_alpha_is_nearly_one_on_two() {
        let half = Alpha::new(0.025).unwrap();
        let one = equal(5).boundaries_one_sided(Spending::OBrienFleming, half);
        for (one, two) in one.iter().zip(z(&equal(5), Spending::OBrienFleming)) {
            // Only tests that stop below on the way are lost to the two-sided one.
            assert!(one.z >= two - 1e-9 && one.z - two < 1e-4, "{} is not {two}", one.z);
        }
        let single = equal(1).boundaries_one_sided(Spending::Pocock, Alpha::FIVE_PERCENT);
        assert!((single[0].z - 1.644_853_626_951_472).abs() < 1e-12);
    }

    #[test]
    fn boundaries_do_not_depend_on_looks_yet_to_come() {
        let whole = z(&equal(20), Spending::OBrienFleming);
        let early =
            schedule(&(1..=7).map(|k| (f64::from(k), f64::from(k) / 20.0)).collect::<Vec<_>>());
        assert_eq!(whole[..7], z(&early, Spending::OBrienFleming));
    }

    #[test]
    fn only_ratios_of_information_matter() {
        let scaled = schedule(&[(3e-7, 0.3), (8e-7, 0.6), (1e-6, 1.0)]);
        let plain = schedule(&[(3.0, 0.3), (8.0, 0.6), (10.0, 1.0)]);
        for (a, b) in z(&scaled, Spending::Pocock).into_iter().zip(z(&plain, Spending::Pocock)) {
            assert!((a - b).abs() < 1e-11);
        }
    }

    #[test]
    fn a_look_that_spends_nothing_cannot_stop_and_changes_no_other() {
        let with = z(&schedule(&[(1.0, 0.5), (2.0, 0.5), (3.0, 1.0)]), Spending::Pocock);
        let without = z(&schedule(&[(1.0, 0.5), (3.0, 1.0)]), Spending::Pocock);
        assert_eq!(with, [without[0], f64::INFINITY, without[1]]);
    }

    #[test]
    fn information_that_does_not_grow_is_refused() {
        let look = |information| LookTime { information, spending_time: Fraction::ONE };
        for looks in
            [vec![0.0], vec![f64::NAN], vec![f64::INFINITY], vec![2.0, 2.0], vec![2.0, 1.0]]
        {
            let looks: Vec<LookTime> = looks.into_iter().map(look).collect();
            assert!(Schedule::new(looks.clone()).is_err(), "{looks:?}");
        }
    }

    #[test]
    fn the_sequential_p_value_is_where_the_boundary_is_touched() {
        let looks = equal(5);
        let boundaries = z(&looks, Spending::OBrienFleming);
        let touching = [0.0, 0.0, boundaries[2], 0.0, 0.0];
        let p = looks.sequential_p(Spending::OBrienFleming, &touching).unwrap();
        assert!((p - 0.05).abs() < 1e-10, "{p}");
    }

    #[test]
    fn the_sequential_p_value_has_floors_and_ceilings_for_absurd_statistics() {
        let looks = equal(3);
        let p = |z: f64| looks.sequential_p(Spending::OBrienFleming, &[z; 3]).unwrap();
        assert!(p(f64::NAN) >= 1.0 && p(f64::NEG_INFINITY) >= 1.0 && p(-4.0) >= 1.0);
        assert!(p(f64::INFINITY) < 2e-14 && p(40.0) < 2e-14);
        assert!(looks.sequential_p(Spending::OBrienFleming, &[1.0]).is_err());
    }
}
