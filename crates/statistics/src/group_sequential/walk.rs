//! How tests that have not stopped yet are spread, carried from look to look by numerical integration: Armitage,
//! `McPherson` & Rowe (1969); Jennison & Turnbull (2000), chapter 19.

use crate::special::{normal, quadrature};

/// Panel width in standard deviations of the narrower neighbouring step. Twelve Gauss-Legendre nodes leave an error
/// near 1e-12 at four.
const PANEL_WIDTH: f64 = 4.0;
/// Beyond this many standard deviations a normal density no longer changes a sum.
const REACH: f64 = 8.5;

/// Where a test may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sides {
    /// Above and, symmetrically, below.
    #[default]
    Two,
    /// Above only.
    One,
}

/// The score `S = z sqrt(information)` of tests not stopped yet. Where they stop on both sides it is symmetric, so only
/// its positive half is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Walk {
    sides: Sides,
    /// Where the tests were at the look before the last that could stop; none before there were two.
    density: Option<Density>,
    last: Option<Stop>,
}

/// A look that could stop: its boundary on the score scale and the step that led to it.
#[derive(Debug, Clone)]
struct Stop {
    information: f64,
    boundary: f64,
    step: f64,
}

/// How likely the last look stops a test at either boundary.
pub(super) struct Exit {
    pub(super) above: f64,
    pub(super) below: f64,
}

impl Walk {
    pub(super) fn new(sides: Sides) -> Self {
        Self { sides, density: None, last: None }
    }

    /// Moves on to a look with this much information and returns the boundary, as a z, that stops `probability`.
    pub(super) fn stop_with_probability(&mut self, information: f64, probability: f64) -> f64 {
        let before = self.last.as_ref().map_or(0.0, |last| last.information);
        let step = (information - before).sqrt();
        let scale = information.sqrt();
        let boundary = match self.last.take() {
            None => {
                let tail = if self.sides == Sides::Two { 0.5 * probability } else { probability };
                normal::upper_quantile(tail) * scale
            }
            Some(last) => {
                let density = Density::after(self.sides, self.density.as_ref(), &last, step);
                let guess = last.boundary * (information / last.information).sqrt();
                let boundary = density.boundary(step, probability, (guess, scale));
                self.density = Some(density);
                boundary
            }
        };
        self.last = Some(Stop { information, boundary, step });
        boundary / scale
    }

    /// How likely the last look stops a two-sided test whose score drifts by `drift` per unit of information.
    ///
    /// Girsanov: the drift multiplies the density at `s` by `exp(drift s - drift² information / 2)` and changes nothing
    /// else, so the density without it serves every drift.
    pub(super) fn exit(&self, drift: f64) -> Exit {
        let Some(last) = &self.last else { return Exit { above: 0.0, below: 0.0 } };
        let increment = last.step * last.step;
        let mut exit = Exit { above: 0.0, below: 0.0 };
        let mut leave = |from: f64, mass: f64| {
            let centre = from + drift * increment;
            exit.above += mass * normal::tail((last.boundary - centre) / last.step);
            exit.below += mass * normal::cdf((-last.boundary - centre) / last.step);
        };
        match &self.density {
            None => leave(0.0, 1.0),
            Some(density) => {
                let before = last.information - increment;
                let tilt = |s: f64| (drift * s - 0.5 * drift * drift * before).exp();
                for (node, mass) in density.nodes.iter().zip(&density.masses) {
                    leave(*node, mass * tilt(*node));
                    leave(-node, mass * tilt(-node));
                }
            }
        }
        exit
    }
}

/// Nodes and the probability each stands for; of both sides where the mirror image counts too.
#[derive(Debug, Clone)]
struct Density {
    sides: Sides,
    nodes: Vec<f64>,
    masses: Vec<f64>,
}

impl Density {
    /// The density inside the boundary of `stop`, on a grid fine enough for the step to it and the step after it.
    fn after(sides: Sides, before: Option<&Self>, stop: &Stop, next_step: f64) -> Self {
        let low = match sides {
            Sides::Two => 0.0,
            Sides::One => -REACH * stop.information.sqrt(),
        };
        let range = (stop.boundary - low).max(0.0);
        let panels = (range / (PANEL_WIDTH * stop.step.min(next_step))).ceil().max(1.0);
        let width = range / panels;
        let mut after = Self { sides, nodes: Vec::new(), masses: Vec::new() };
        let mut panel = 0.0;
        while panel < panels {
            let ends = (low + panel * width, low + (panel + 1.0) * width);
            for (node, weight) in quadrature::panel(ends.0, ends.1) {
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

    /// The density, in units of the step, with which tests arrive at `target`.
    fn arriving_at(&self, target: f64, step: f64) -> f64 {
        let reach = REACH * step;
        let from = self.nodes.partition_point(|node| *node < target - reach);
        let to = self.nodes.partition_point(|node| *node <= target + reach);
        let near = self.nodes[from..to].iter().zip(&self.masses[from..to]);
        let arriving = near.map(|(node, mass)| mass * normal::density((target - node) / step));
        let direct: f64 = arriving.sum();
        if self.sides == Sides::One {
            return direct;
        }
        let mirrored = self.nodes.partition_point(|node| *node <= reach - target);
        let far = self.nodes[..mirrored].iter().zip(&self.masses[..mirrored]);
        direct + far.map(|(node, mass)| mass * normal::density((target + node) / step)).sum::<f64>()
    }

    /// The probability of leaving beyond the boundary in one step, and the density with which it shrinks.
    fn leaving(&self, boundary: f64, step: f64) -> (f64, f64) {
        let (mut probability, mut slope) = (0.0, 0.0);
        for (node, mass) in self.nodes.iter().zip(&self.masses).rev() {
            let (near, far) = ((boundary - node) / step, (boundary + node) / step);
            if near > 12.0 {
                break;
            }
            probability += mass * normal::tail(near);
            slope += mass * normal::density(near);
            if self.sides == Sides::Two && far < 12.0 {
                probability += mass * normal::tail(far);
                slope += mass * normal::density(far);
            }
        }
        let images = if self.sides == Sides::Two { 2.0 } else { 1.0 };
        (images * probability, images * slope / step)
    }

    /// The boundary beyond which `wanted` leaves. Newton's method on the logarithm, which is concave and so is
    /// approached from one side; halving where it would leave the bracket.
    fn boundary(&self, step: f64, wanted: f64, (guess, scale): (f64, f64)) -> f64 {
        let lowest = if self.sides == Sides::Two { 0.0 } else { -10.0 };
        let (mut low, mut high) = (lowest * scale, 10.0 * scale);
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
