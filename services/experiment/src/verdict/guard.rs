//! Guardrails: metrics that must not get worse. They err on the side of safety, so they block on weak evidence, in the
//! order of the design.

use cursus_statistics::effect::{Comparison, Sample, welch};
use cursus_statistics::guardrail::{self, Harm};
use cursus_statistics::strata::{Cell, mantel_haenszel};
use cursus_statistics::{Alpha, Proportion};

use crate::counts::Tally;
use crate::design::{Design, Direction, Kind, Metric};
use crate::look::{Period, Seen, Sight};

const DOUBT: Alpha = Alpha::FIVE_PERCENT;

/// How a guardrail stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guardrail {
    /// Its place among the metrics.
    pub(crate) metric: usize,
    pub(crate) arms: Vec<Arm>,
}

/// How it stands in one arm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Arm {
    /// Positive is worse. None for the control and where there is nothing to compare.
    pub(crate) harm: Option<Harm>,
    pub(crate) exceeds_ceiling: bool,
}

impl Arm {
    pub(crate) fn blocks(&self) -> bool {
        self.exceeds_ceiling || self.harm.is_some_and(|harm| harm.p < DOUBT.get())
    }
}

/// What one or more arms did together.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    units: u64,
    tally: Tally,
}

pub(super) fn readings(design: &Design, sight: &Sight) -> Vec<Guardrail> {
    let read = |(place, (metric, guardrail)): (usize, (usize, &Metric))| {
        let arms = (0..sight.arms.len()).map(|arm| reading(design, sight, guardrail, place, arm));
        Guardrail { metric, arms: arms.collect() }
    };
    design.guardrails().enumerate().map(read).collect()
}

/// The first guardrail that an arm breaks.
pub(super) fn harmed<'a>(design: &'a Design, sight: &Sight, arm: usize) -> Option<&'a Metric> {
    let mut guardrails = design.guardrails().enumerate();
    let broken = guardrails
        .find(|(place, (_, metric))| reading(design, sight, metric, *place, arm).blocks());
    broken.map(|(_, (_, metric))| metric)
}

fn reading(design: &Design, sight: &Sight, metric: &Metric, place: usize, arm: usize) -> Arm {
    let own = side(&sight.arms, place, [arm].into_iter());
    let is_reference =
        |other: &usize| design.control.map_or(*other != arm, |control| control == *other);
    let others: Vec<usize> = (0..sight.arms.len()).filter(is_reference).collect();
    let harm = if design.control == Some(arm) {
        None
    } else if design.bandit.is_some() {
        harm_within_periods(sight, metric, place, (arm, others))
    } else {
        harm(metric, side(&sight.arms, place, others.into_iter()), own)
    };
    Arm {
        harm,
        exceeds_ceiling: metric
            .ceiling
            .zip(own.proportion(metric.direction))
            .is_some_and(|(ceiling, rate)| guardrail::exceeds(rate, ceiling, DOUBT)),
    }
}

/// Where arms got their units at different times, they are compared only with units of the same period.
fn harm_within_periods(
    sight: &Sight,
    metric: &Metric,
    place: usize,
    (arm, others): (usize, Vec<usize>),
) -> Option<Harm> {
    let cell = |side: Side| {
        let bad = side.proportion(metric.direction)?;
        Some(Cell { units: bad.trials(), answered: bad.successes() })
    };
    let table = |period: &Period| {
        let reference = side(&period.arms, place, others.iter().copied());
        Some([cell(reference)?, cell(side(&period.arms, place, [arm].into_iter()))?])
    };
    let found = mantel_haenszel(sight.periods.iter().filter_map(table))?;
    Some(guardrail::stratified_harm(&found, DOUBT))
}

fn side(seen: &[Seen], place: usize, arms: impl Iterator<Item = usize>) -> Side {
    let mut sum = Side::default();
    for seen in arms.filter_map(|arm| seen.get(arm)) {
        let tally = seen.guardrails.get(place).copied().unwrap_or_default();
        sum.units += seen.units.saturating_sub(tally.excluded);
        sum.tally.answered += tally.answered;
        sum.tally.total += tally.total;
        sum.tally.squares += tally.squares;
    }
    sum
}

impl Side {
    /// The rate of what is not wanted: of events, or of their absence.
    fn proportion(self, direction: Direction) -> Option<Proportion> {
        let bad = match direction {
            Direction::Lower => self.tally.answered,
            Direction::Higher => self.units.saturating_sub(self.tally.answered),
        };
        Proportion::new(bad, self.units).ok()
    }

    fn sample(self) -> Option<Sample> {
        Sample::from_sums(self.units, self.tally.total, self.tally.squares).ok()
    }
}

fn harm(metric: &Metric, reference: Side, own: Side) -> Option<Harm> {
    match metric.kind {
        Kind::Conversion => {
            let baseline = reference.proportion(metric.direction)?;
            let arm = own.proportion(metric.direction)?;
            Some(guardrail::harm(Comparison { baseline, arm }, DOUBT))
        }
        Kind::Revenue { .. } => {
            let (baseline, arm) = (reference.sample()?, own.sample()?);
            // Two-sided at twice the error is one-sided at the error.
            let twice = Alpha::new(2.0 * DOUBT.get()).ok()?;
            let found = welch(&baseline, &arm, twice);
            let difference = -metric.direction.gain(found.difference.value);
            let half = found.p_two_sided / 2.0;
            let margin = (found.difference.interval.high - found.difference.interval.low) / 2.0;
            Some(Harm {
                difference,
                p: if difference > 0.0 { half } else { 1.0 - half },
                at_most: difference + margin,
            })
        }
    }
}
