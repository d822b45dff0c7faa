//! A test that may be looked at many times before its deadline without raising its false alarms: boundaries that grow
//! with what has been spent, p-values that allow for the looks.
//!
//! The clock is information, not recipients: a campaign's recipients are fixed at once and its outcomes mature. Looks
//! are stored as `(information, spending time)`, and everything is recomputed from them; no state is kept in between.

use crate::error::Error;
use crate::number::{Alpha, Fraction};
use crate::special::{normal, quadrature, root};
use crate::spending::Spending;

/// Below this a look spends nothing and cannot stop: the boundary is infinite.
const LEAST_SPENDING: f64 = 1e-14;
/// Panel width in standard deviations of the narrower neighbouring step. Twelve Gauss-Legendre nodes leave an error
/// near 1e-12 at four.
const PANEL_WIDTH: f64 = 4.0;
/// Beyond this many standard deviations a normal density no longer changes a sum.
const REACH: f64 = 8.5;

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
    /// Lan & `DeMets` (1983): the boundary of a look solves P(not stopped before, stops now) = what it newly spends. The
    /// distribution of `z sqrt(information)` among tests not stopped yet is carried from look to look by numerical
    /// integration (Armitage, `McPherson` & Rowe 1969; Jennison & Turnbull 2000, chapter 19).
    pub fn boundaries(&self, spending: Spending, alpha: Alpha) -> Vec<Boundary> {
        let mut walk = Walk::default();
        let mut spent = 0.0;
        let boundary = |look: &LookTime| {
            let cumulative_alpha = spending.spent(look.spending_time, alpha).max(spent);
            let increment = cumulative_alpha - spent;
            let z = if increment < LEAST_SPENDING {
                f64::INFINITY
            } else {
                spent = cumulative_alpha;
                walk.stop_with_probability(look.information, increment)
            };
            Boundary { z, cumulative_alpha }
        };
        self.0.iter().map(boundary).collect()
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

/// The score `S = z sqrt(information)` of tests not stopped yet. It is symmetric, so only its positive half is kept.
#[derive(Default)]
struct Walk {
    /// Where the tests were at the look before the last that could stop; none before there were two.
    density: Option<Density>,
    last: Option<Stop>,
}

/// A look that could stop: its boundary on the score scale and the step that led to it.
struct Stop {
    information: f64,
    boundary: f64,
    step: f64,
}

impl Walk {
    /// Moves on to a look with this much information and returns the boundary, as a z, that stops `probability`.
    fn stop_with_probability(&mut self, information: f64, probability: f64) -> f64 {
        let before = self.last.as_ref().map_or(0.0, |last| last.information);
        let step = (information - before).sqrt();
        let scale = information.sqrt();
        let boundary = match self.last.take() {
            None => normal::upper_quantile(probability / 2.0) * scale,
            Some(last) => {
                let density = Density::after(self.density.as_ref(), &last, step);
                let guess = last.boundary * (information / last.information).sqrt();
                let boundary = density.boundary(step, probability, (guess, scale));
                self.density = Some(density);
                boundary
            }
        };
        self.last = Some(Stop { information, boundary, step });
        boundary / scale
    }
}

/// Nodes on the positive half and the probability each stands for.
struct Density {
    nodes: Vec<f64>,
    masses: Vec<f64>,
}

impl Density {
    /// The density inside the boundary of `stop`, on a grid fine enough for the step to it and the step after it.
    fn after(before: Option<&Self>, stop: &Stop, next_step: f64) -> Self {
        let width = PANEL_WIDTH * stop.step.min(next_step);
        let mut after = Self { nodes: Vec::new(), masses: Vec::new() };
        let panels = (stop.boundary / width).ceil().max(1.0);
        let width = stop.boundary / panels;
        let mut panel = 0.0;
        while panel < panels {
            for (node, weight) in quadrature::panel(panel * width, (panel + 1.0) * width) {
                let density = match before {
                    None => normal::density(node / stop.step),
                    Some(before) => before.arriving_at(node, stop.step),
                };
                after.nodes.push(node);
                after.masses.push(weight * density / stop.step);
            }
            panel += 1.0;
        }
        after
    }

    /// The density, in units of the step, with which tests arrive at `target` from both halves.
    fn arriving_at(&self, target: f64, step: f64) -> f64 {
        let reach = REACH * step;
        let from = self.nodes.partition_point(|node| *node < target - reach);
        let to = self.nodes.partition_point(|node| *node <= target + reach);
        let mirrored = self.nodes.partition_point(|node| *node <= reach - target);
        let near = self.nodes[from..to].iter().zip(&self.masses[from..to]);
        let far = self.nodes[..mirrored].iter().zip(&self.masses[..mirrored]);
        near.map(|(node, mass)| mass * normal::density((target - node) / step)).sum::<f64>()
            + far.map(|(node, mass)| mass * normal::density((target + node) / step)).sum::<f64>()
    }

    /// The probability of leaving beyond `±boundary` in one step, and the density with which it shrinks.
    fn leaving(&self, boundary: f64, step: f64) -> (f64, f64) {
        let (mut probability, mut slope) = (0.0, 0.0);
        for (node, mass) in self.nodes.iter().zip(&self.masses).rev() {
            let (near, far) = ((boundary - node) / step, (boundary + node) / step);
            if near > 12.0 {
                break;
            }
            probability += mass * normal::tail(near);
            slope += mass * normal::density(near);
            if far < 12.0 {
                probability += mass * normal::tail(far);
                slope += mass * normal::density(far);
            }
        }
        (2.0 * probability, 2.0 * slope / step)
    }

    /// The boundary beyond which `wanted` leaves. Newton's method on the logarithm, which is concave and so is
    /// approached from one side; halving where it would leave the bracket.
    fn boundary(&self, step: f64, wanted: f64, (guess, scale): (f64, f64)) -> f64 {
        let (mut low, mut high) = (0.0, 10.0 * scale);
        let mut boundary = guess.min(high);
        for _ in 0..100 {
            let (probability, slope) = self.leaving(boundary, step);
            if probability > wanted {
                low = boundary;
            } else {
                high = boundary;
            }
            let newton = boundary + probability * (probability / wanted).ln() / slope;
            if (newton - boundary).abs() <= 1e-12 * scale {
                break;
            }
            boundary = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        }
        boundary
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
