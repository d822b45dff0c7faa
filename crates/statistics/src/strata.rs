//! Arms compared while their shares change on the way, as a bandit changes them: units are compared only with units of
//! the same period, in which all had the same chances.
//!
//! Pooled over the periods rates would mislead: an arm that got most of its units in a good week looks good. Nor is a
//! period to be judged by its answers alone, for the shares of the next depend on them. What is looked at here is who of
//! a period's units answered, given how many did. Each unit counts once its window for answering is over, with one final
//! outcome; answers told late or judged anew are allowed for.
//!
//! ter Schure, Pérez-Ortiz, Ly & Grünwald (2024) for the evidence, Mantel & Haenszel (1959) for the difference, and Lindon
//! & Malek (2022) for the shares.

use std::collections::BTreeMap;

use crate::assignment::Weights;
use crate::error::Error;
use crate::number::real;
use crate::safe_logrank::{self, Grid, Tick};
use crate::sample_ratio::{CONCENTRATIONS, ln_mean};
use crate::special::normal;

/// What is known of one arm's units of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cell {
    /// Those whose outcome is counted.
    pub units: u64,
    /// Those of them that answered.
    pub answered: u64,
}

/// What is known at a look of the units of one period: all of them, not what is new.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    pub number: u32,
    /// By arm: the chances a unit had.
    pub shares: Weights,
    /// By arm.
    pub cells: Vec<Cell>,
}

/// All looks at an experiment, each with the periods of which more is known than at the look before. Others may be left
/// out or repeated unchanged.
///
/// Counts that go down, because an answer is taken back or a unit erased, take no evidence back: of every cell it is kept
/// how much was counted, and only what exceeds that is new. So no answer is counted twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Strata {
    arms: usize,
    looks: Vec<Vec<Step>>,
    /// By the number of the period, as last told.
    now: BTreeMap<u32, Vec<Cell>>,
}

/// A difference of two arms' rates over periods. The sign says arm minus baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stratified {
    pub difference: f64,
    pub standard_error: f64,
    /// Of the test that there is none.
    pub z: f64,
}

/// What one look told of one period that was not known before.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    shares: Weights,
    gains: Vec<Gain>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gain {
    new_units: u64,
    /// Who can have answered since the look before.
    at_risk: u64,
    new_answers: u64,
}

impl Strata {
    /// Refuses periods of other than `arms` arms, fewer than two of these, and more answers than units.
    pub fn new(arms: usize, looks: &[Vec<Period>]) -> Result<Self, Error> {
        if arms < 2 {
            return Err(Error::TooFewArms(arms));
        }
        let mut counted: BTreeMap<u32, Counted> = BTreeMap::new();
        let mut now = BTreeMap::new();
        let mut step = |period: &Period| {
            period.check(arms)?;
            let counted = counted.entry(period.number).or_insert_with(|| Counted::nothing(arms));
            now.insert(period.number, period.cells.clone());
            Ok(Step { shares: period.shares.clone(), gains: counted.take(&period.cells) })
        };
        let looks = looks
            .iter()
            .map(|look| look.iter().map(&mut step).collect())
            .collect::<Result<Vec<Vec<Step>>, Error>>()?;
        Ok(Self { arms, looks, now })
    }

    /// After every look, the logarithm of an e-value against `arm` and `other` being answered alike: the safe log-rank
    /// test with one tick per period and look, by [`Grid::standard`]. The order of the two does not matter.
    ///
    /// The null: within each period it does not depend on which of the two arms a unit got whether it answers, nor when
    /// that is told. Rates may differ between periods as they like. Why the evidence then exceeds `1 / alpha` at some
    /// look with probability `alpha` at most, though the shares follow the answers:
    ///
    /// - All units of a period had the same chances, so given everything known before, their numbers included, any of
    ///   those at risk are as likely as any others to be the ones that answered. The number of one arm's among the new
    ///   answers is hypergeometric; Hoeffding (1963) orders it below the binomial the test is made of, so the factor of
    ///   every tick is 1 at most in expectation.
    /// - What the answers change are the shares of later periods, thus how many units are at risk *there*; those numbers
    ///   are given when that period's factor is formed. A product of such factors is a supermartingale, and so is a
    ///   mean of products. A bandit may know answers before they count here, as long as a period is told no later than
    ///   those whose shares its answers could change: these would betray it.
    ///
    /// A period had best be told when all of its units are counted. At risk are then its units, and later those that had
    /// not answered yet, whose answers are told late. Once units join a period that was told before, it says no more of
    /// the arms: the new ones answer and the old hardly ever do any more, and in which proportions the arms have them need
    /// not be the same. An answer taken back makes room for a later one of its arm to go uncounted.
    pub fn ln_evidence(&self, arm: usize, other: usize) -> Result<Vec<f64>, Error> {
        for arm in [arm, other] {
            if arm >= self.arms {
                return Err(Error::NoSuchArm { arm, arms: self.arms });
            }
        }
        let (baseline, arm) = (arm.min(other), arm.max(other));
        let steps = self.looks.iter().flatten();
        let ticks: Vec<Tick> = steps.map(|step| step.tick(baseline, arm)).collect();
        let logs = safe_logrank::ln_evidence(&ticks, &Grid::standard()?)?;
        let mut passed = 0;
        let after = |look: &Vec<Step>| {
            passed += look.len();
            passed.checked_sub(1).map_or(0.0, |last| logs[last])
        };
        Ok(self.looks.iter().map(after).collect())
    }

    /// Arm minus other over all periods, as they were last told. None while no period has units of both.
    pub fn difference(&self, arm: usize, other: usize) -> Option<Stratified> {
        let pair = |cells: &Vec<Cell>| Some([*cells.get(other)?, *cells.get(arm)?]);
        mantel_haenszel(self.now.values().filter_map(pair))
    }

    /// After every look, the logarithm of an e-value against the shares of all periods having been kept; as with
    /// [`crate::sample_ratio::ln_evidence`], exceeding 1,000 once, ever, has probability below 0.1 % while all is well.
    ///
    /// The new units `n` of a period are a multinomial draw by its shares `w`. The alternative is that every arm gets
    /// `τ` times its due, `w τ / Σ w τ`, with `τ_k = (observed_k + c/K) / (expected_k + c/K)` from all batches before,
    /// so that no unit judges itself: `ln e = Σ_batches [Σ_k n_k ln τ_k - n ln Σ_k w_k τ_k]`, the mean of the e-values over
    /// the [`CONCENTRATIONS`] `c`. A predictable plug-in in place of the mixture of Lindon & Malek (2022), whose shares
    /// are the same for every unit. A unit of an arm without a share is impossible, so its evidence is infinite.
    pub fn ln_sample_ratio(&self) -> Vec<f64> {
        let mut logs = [0.0; CONCENTRATIONS.len()];
        let mut observed = vec![0.0; self.arms];
        let mut expected = vec![0.0; self.arms];
        let after = |look: &Vec<Step>| {
            for step in look {
                for (log, concentration) in logs.iter_mut().zip(CONCENTRATIONS) {
                    let prior = concentration / real(self.arms as u64);
                    let pairs = observed.iter().zip(&expected);
                    let tilts: Vec<f64> = pairs.map(|(o, e)| (o + prior) / (e + prior)).collect();
                    *log += step.ln_ratio(&tilts);
                }
                let sums = observed.iter_mut().zip(&mut expected);
                let whole = step.new_units();
                for ((o, e), (gain, share)) in sums.zip(step.gains.iter().zip(step.shares.shares()))
                {
                    *o += real(gain.new_units);
                    *e += whole * share;
                }
            }
            ln_mean(logs)
        };
        self.looks.iter().map(after).collect()
    }
}

impl Stratified {
    /// How likely a difference like this would be by chance, in either direction.
    pub fn p_two_sided(&self) -> f64 {
        normal::two_sided(self.z)
    }
}

impl Period {
    fn check(&self, arms: usize) -> Result<(), Error> {
        for got in [self.shares.arms(), self.cells.len()] {
            if got != arms {
                return Err(Error::WrongLength { got, expected: arms });
            }
        }
        match self.cells.iter().find(|cell| cell.answered > cell.units) {
            Some(Cell { units, answered }) => {
                Err(Error::ImpossibleCount { successes: *answered, trials: *units })
            }
            None => Ok(()),
        }
    }
}

/// What was counted of a period so far.
struct Counted {
    cells: Vec<Cell>,
    /// Whether units joined it after it was told.
    is_joined: bool,
}

impl Counted {
    fn nothing(arms: usize) -> Self {
        Self { cells: vec![Cell::default(); arms], is_joined: false }
    }

    /// Raises what was counted to what is known now, and says what is new of it.
    fn take(&mut self, known: &[Cell]) -> Vec<Gain> {
        let was_told = self.cells.iter().any(|cell| cell.units > 0);
        let mut grown = self.cells.iter().zip(known);
        self.is_joined |= was_told && grown.any(|(counted, cell)| cell.units > counted.units);
        let is_joined = self.is_joined;
        let gain = |(counted, cell): (&mut Cell, &Cell)| {
            let new_units = cell.units.saturating_sub(counted.units);
            counted.units += new_units;
            let at_risk = counted.units - counted.answered;
            let new_answers = cell.answered.saturating_sub(counted.answered).min(at_risk);
            counted.answered += new_answers;
            if is_joined {
                Gain { new_units, at_risk: 0, new_answers: 0 }
            } else {
                Gain { new_units, at_risk, new_answers }
            }
        };
        self.cells.iter_mut().zip(known).map(gain).collect()
    }
}

impl Cell {
    /// Never more than there are units.
    fn hits(self) -> f64 {
        real(self.answered.min(self.units))
    }

    fn misses(self) -> f64 {
        real(self.units.saturating_sub(self.answered))
    }

    fn rate(self) -> f64 {
        self.hits() / real(self.units)
    }

    /// `p (1 - p) / n`.
    fn variance_of_rate(self) -> f64 {
        self.rate() * (self.misses() / real(self.units)) / real(self.units)
    }
}

impl Step {
    fn tick(&self, baseline: usize, arm: usize) -> Tick {
        let (baseline, arm) = (self.gains[baseline], self.gains[arm]);
        Tick {
            baseline_at_risk: baseline.at_risk,
            arm_at_risk: arm.at_risk,
            baseline_events: baseline.new_answers,
            arm_events: arm.new_answers,
        }
    }

    fn new_units(&self) -> f64 {
        self.gains.iter().map(|gain| real(gain.new_units)).sum()
    }

    /// How much likelier the new units are by shares that are tilted than by the intended ones.
    fn ln_ratio(&self, tilts: &[f64]) -> f64 {
        let mut log = 0.0;
        let mut tilted = 0.0;
        for ((gain, share), tilt) in self.gains.iter().zip(self.shares.shares()).zip(tilts) {
            if gain.new_units > 0 && share <= 0.0 {
                return f64::INFINITY;
            }
            log += real(gain.new_units) * tilt.ln();
            tilted += share * tilt;
        }
        log - self.new_units() * tilted.ln()
    }
}

/// The difference of two arms' rates over tables of `[baseline, arm]`; None when no table has units on both sides.
///
/// With `n, x` of the arm, `m, y` of the baseline and `N = n + m` in each table: the difference
/// `Σ (x m - y n)/N / Σ n m/N` of Mantel and Haenszel, its variance `Σ (n m/N)² (p q/n + r s/m) / (Σ n m/N)²` by Greenland
/// & Robins (1985), and the z of Cochran, Mantel and Haenszel, `Σ (x - E x) / sqrt(Σ V)`, with the hypergeometric mean
/// and variance of each table. Without variance the data say nothing and z is 0.
pub fn mantel_haenszel(tables: impl IntoIterator<Item = [Cell; 2]>) -> Option<Stratified> {
    let (mut excess, mut weights, mut own_variance, mut null_variance) = (0.0, 0.0, 0.0, 0.0);
    for [baseline, arm] in tables {
        if baseline.units == 0 || arm.units == 0 {
            continue;
        }
        let (n, m) = (real(arm.units), real(baseline.units));
        let whole = n + m;
        let weight = n / whole * m;
        excess += weight * (arm.rate() - baseline.rate());
        weights += weight;
        own_variance += weight * weight * (arm.variance_of_rate() + baseline.variance_of_rate());
        let hits = (arm.hits() + baseline.hits()) / whole;
        let misses = (arm.misses() + baseline.misses()) / whole;
        null_variance += weight * hits * misses * (whole / (whole - 1.0));
    }
    (weights > 0.0).then(|| Stratified {
        difference: excess / weights,
        standard_error: own_variance.sqrt() / weights,
        z: if null_variance > 0.0 { excess / null_variance.sqrt() } else { 0.0 },
    })
}

#[cfg(test)]
mod tests;
