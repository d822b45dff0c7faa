//! How fast a monitored test may use up its error probability: Lan & `DeMets` (1983), "Discrete sequential boundaries
//! for clinical trials".

use crate::number::{Alpha, Fraction};
use crate::special::normal;

/// A shape of spending. All spend nothing at time 0 and everything at time 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spending {
    /// Almost nothing early, so that the last look is nearly as sharp as a single one. The default of every experiment.
    OBrienFleming,
    /// About the same at every look.
    Pocock,
    /// Hwang, Shih & de Cani (1990): in between, by a parameter; -4 resembles O'Brien and Fleming, 1 Pocock.
    HwangShihDeCani { gamma: f64 },
}

impl Spending {
    /// The two-sided error probability spent by `time`.
    pub fn spent(self, time: Fraction, alpha: Alpha) -> f64 {
        2.0 * self.spent_on_one_side(time, alpha.get() / 2.0)
    }

    /// The same of a test that stops on one side only.
    pub fn spent_one_sided(self, time: Fraction, alpha: Alpha) -> f64 {
        self.spent_on_one_side(time, alpha.get())
    }

    fn spent_on_one_side(self, time: Fraction, alpha: f64) -> f64 {
        let u = time.get();
        if u <= 0.0 {
            return 0.0;
        }
        match self {
            Self::OBrienFleming => {
                2.0 * normal::tail(normal::upper_quantile(alpha / 2.0) / u.sqrt())
            }
            Self::Pocock => alpha * ((1_f64.exp() - 1.0) * u).ln_1p(),
            Self::HwangShihDeCani { gamma } => {
                let shape = (-gamma * u).exp_m1() / (-gamma).exp_m1();
                // At 0 the shape is 0/0, and its limit is the straight line.
                alpha * if shape.is_finite() { shape } else { u }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_starts_at_nothing_ends_at_alpha_and_never_takes_back() {
        let shapes = [
            Spending::OBrienFleming,
            Spending::Pocock,
            Spending::HwangShihDeCani { gamma: -4.0 },
            Spending::HwangShihDeCani { gamma: 0.0 },
        ];
        for shape in shapes {
            let at = |u| shape.spent(Fraction::new(u).unwrap(), Alpha::FIVE_PERCENT);
            assert!(at(0.0) <= 0.0 && (at(1.0) - 0.05).abs() < 1e-15, "{shape:?}");
            let times = (0..100).map(|step| f64::from(step) / 100.0);
            assert!(times.into_iter().all(|u| at(u) <= at(u + 0.01)), "{shape:?}");
        }
    }
}
