//! A test on *when* contacts respond that is exact for few events and may be looked at after every one: for automations,
//! and for sends that are staggered, one test per batch, their e-values multiplied.
//!
//! ter Schure, Pérez-Ortiz, Ly & Grünwald (2024), "The safe logrank test".

use crate::error::Error;
use crate::number::real;

/// What happened between two looks. Those at risk had the mail at the start and had not responded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    pub baseline_at_risk: u64,
    pub arm_at_risk: u64,
    pub baseline_events: u64,
    pub arm_events: u64,
}

/// The hazard ratios that evidence is sought for: a grid of logarithms around 0 with normal weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid(Vec<(f64, f64)>);

impl Grid {
    /// `points` from `-half_width` to `half_width`, weighted by a normal density of this `deviation` and together 1.
    pub fn new(half_width: f64, points: u16, deviation: f64) -> Result<Self, Error> {
        for number in [half_width, deviation] {
            if !(number > 0.0 && number.is_finite()) {
                return Err(Error::NotPositive(number));
            }
        }
        if points < 2 {
            return Err(Error::WrongLength { got: points.into(), expected: 2 });
        }
        let step = 2.0 * half_width / f64::from(points - 1);
        let log_ratio = |index: u16| -half_width + step * f64::from(index);
        let ln_weight = |log_ratio: f64| -0.5 * (log_ratio / deviation).powi(2);
        let logs: Vec<(f64, f64)> =
            (0..points).map(log_ratio).map(|ratio| (ratio, ln_weight(ratio))).collect();
        let whole = ln_sum(logs.iter().map(|(_, ln_weight)| *ln_weight));
        Ok(Self(logs.into_iter().map(|(ratio, ln_weight)| (ratio, ln_weight - whole)).collect()))
    }

    /// 41 hazard ratios from 0.45 to 2.2, most weight on those near 1.
    pub fn standard() -> Result<Self, Error> {
        Self::new(0.8, 41, 0.2)
    }
}

/// The logarithm of the e-value after every tick: `Σ_g w_g Π θ_g^{d_B} / ((r_A + θ_g r_B) / (r_A + r_B))^{d_A + d_B}`.
///
/// Several events in one tick are counted as if with replacement. While the hazards are equal their number is
/// hypergeometric, and Hoeffding (1963) orders that below the binomial, so the expectation is still 1 at most.
pub fn ln_evidence(ticks: &[Tick], grid: &Grid) -> Result<Vec<f64>, Error> {
    let mut logs = grid.0.clone();
    ticks
        .iter()
        .map(|tick| {
            let [baseline, arm] = tick.at_risk()?;
            let events = real(tick.baseline_events) + real(tick.arm_events);
            for ((_, log), (log_ratio, _)) in logs.iter_mut().zip(&grid.0) {
                if events > 0.0 {
                    let share = arm / (baseline + arm);
                    *log += real(tick.arm_events) * log_ratio
                        - events * (share * log_ratio.exp_m1()).ln_1p();
                }
            }
            Ok(ln_sum(logs.iter().map(|(_, log)| *log)))
        })
        .collect()
}

/// P-values for all looks: one over the largest e-value so far, at most 1.
pub fn running_p(ln_evidence: &[f64]) -> Vec<f64> {
    let mut strongest: f64 = 0.0;
    let p = |log: &f64| {
        strongest = strongest.max(*log);
        (-strongest).exp()
    };
    ln_evidence.iter().map(p).collect()
}

impl Tick {
    fn at_risk(&self) -> Result<[f64; 2], Error> {
        for (successes, trials) in
            [(self.baseline_events, self.baseline_at_risk), (self.arm_events, self.arm_at_risk)]
        {
            if successes > trials {
                return Err(Error::ImpossibleCount { successes, trials });
            }
        }
        Ok([real(self.baseline_at_risk), real(self.arm_at_risk)])
    }
}

/// `ln Σ exp`, without overflow.
fn ln_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if highest.is_infinite() {
        return highest;
    }
    highest + logs.map(|log| (log - highest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(baseline_events: u64, arm_events: u64) -> Tick {
        Tick { baseline_at_risk: 1_000, arm_at_risk: 1_000, baseline_events, arm_events }
    }

    #[test]
    fn ticks_without_events_say_nothing() {
        let nobody =
            Tick { baseline_at_risk: 0, arm_at_risk: 0, baseline_events: 0, arm_events: 0 };
        let logs = ln_evidence(&[nobody, tick(0, 0)], &Grid::standard().unwrap()).unwrap();
        assert!(logs.iter().all(|log| log.abs() < 1e-14));
    }

    #[test]
    fn evidence_grows_with_the_difference_in_either_direction() {
        let grid = Grid::standard().unwrap();
        let of = |a, b| ln_evidence(&[tick(a, b)], &grid).unwrap()[0];
        assert!(of(100, 100) < 0.0 && of(100, 200) > 5.0);
        assert!((of(100, 200) - of(200, 100)).abs() < 1e-9);
    }

    #[test]
    fn a_p_value_never_takes_evidence_back() {
        let p = running_p(&[-1.0, 3.0, 1.0]);
        assert!(p[0] >= 1.0 && (p[1] - (-3.0_f64).exp()).abs() < 1e-15);
        assert!((p[1] - p[2]).abs() <= 0.0);
    }

    #[test]
    fn more_events_than_contacts_are_refused() {
        let grid = Grid::standard().unwrap();
        assert!(ln_evidence(&[tick(1_001, 0)], &grid).is_err());
        assert!(Grid::new(0.8, 1, 0.2).is_err() && Grid::new(f64::NAN, 41, 0.2).is_err());
    }
}
