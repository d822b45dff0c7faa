//! The estimates: how much each group did, and how much more than the holdout.

use cursus_statistics::effect::{Comparison, Sample, Welch, welch};
use cursus_statistics::{Alpha, Error, Interval, Proportion, posterior};

use crate::adjustment::{Adjustment, adjustment};
use crate::counts::{Counts, Group, Tally};
use crate::design::{Design, Direction, Kind};
use crate::look::real;

/// With fewer answers than this on both sides together an interval would promise too much.
pub(crate) const FEWEST_ANSWERS: u64 = 10;

/// A number, with the interval around it where there are enough data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) interval: Option<Interval>,
}

/// One metric of one group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MetricResult {
    pub(crate) tally: Tally,
    pub(crate) rate: Option<Estimate>,
    pub(crate) lift: Option<Estimate>,
    pub(crate) relative_lift: Option<Estimate>,
    pub(crate) incremental: Option<Estimate>,
    /// Against the baseline among the arms.
    pub(crate) adjustment: Option<Adjustment>,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GroupResult {
    pub(crate) units: u64,
    pub(crate) metrics: Vec<MetricResult>,
}

/// All groups of the whole or of a segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panel {
    pub(crate) units: u64,
    pub(crate) arms: Vec<GroupResult>,
    pub(crate) holdout: Option<GroupResult>,
    /// Once it was sent.
    pub(crate) released: Option<GroupResult>,
}

/// How wide intervals are: `boundary` is that of the last look, which makes those of the deciding metric hold at all
/// looks together.
pub(crate) fn panel(
    design: &Design,
    counts: &Counts,
    boundary: Option<f64>,
) -> Result<Panel, Error> {
    let alpha = design.alpha()?;
    let has_holdout = design.has_holdout() || counts.holdout.units > 0;
    let holdout = has_holdout.then_some(&counts.holdout);
    let critical = |metric: usize| {
        // Where arms are compared the deciding metric is looked at many times, the others are not.
        let is_watched = metric == 0 && design.arms.len() > 1;
        if is_watched { boundary } else { Some(alpha.critical()) }
    };
    let result = |group: &Group| {
        let metric = |(index, tally): (usize, &Tally)| {
            // A bandit's arms got their units at other times than the holdout did.
            let baseline = holdout.filter(|_| design.bandit.is_none());
            let baseline = baseline.map(|it| Side::new(it.units, it.metrics[index]));
            let kind = &design.metrics[index].kind;
            Side::new(group.units, *tally).result(kind, baseline, alpha, critical(index))
        };
        let metrics = group.metrics.iter().enumerate().map(metric).collect();
        GroupResult { units: group.units, metrics }
    };
    let alone = |group: &Group| GroupResult {
        metrics: (group.metrics.iter().zip(&design.metrics))
            .map(|(tally, metric)| {
                Side::new(group.units, *tally).result(&metric.kind, None, alpha, None)
            })
            .collect(),
        units: group.units,
    };
    let mut arms: Vec<GroupResult> = counts.arms.iter().map(result).collect();
    for (arm, group) in arms.iter_mut().enumerate() {
        for (metric, result) in group.metrics.iter_mut().enumerate() {
            result.adjustment = adjustment(design, counts, (arm, metric), critical(metric))?;
            if design.bandit.is_some() {
                // It would promise to hold the rate of some one time.
                result.rate = result.rate.map(|rate| Estimate { interval: None, ..rate });
            }
        }
    }
    Ok(Panel {
        units: counts.units(),
        arms,
        holdout: holdout.map(alone),
        released: (counts.released.units > 0).then(|| result(&counts.released)),
    })
}

/// How likely each arm is the best in the deciding metric; only where answers decide, and arms had their units at the same
/// times.
pub(crate) fn probabilities_best(design: &Design, counts: &Counts) -> Option<Vec<f64>> {
    if design.primary().kind != Kind::Conversion || design.bandit.is_some() {
        return None;
    }
    let direction = design.primary().direction;
    let rate = |arm: &Group| Side::new(arm.units, *arm.metrics.first()?).wanted(direction);
    let rates = counts.arms.iter().map(rate).collect::<Option<Vec<Proportion>>>()?;
    Some(posterior::standing(&rates).arms.iter().map(|arm| arm.probability_best).collect())
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
struct Side {
    units: u64,
    tally: Tally,
}

impl Side {
    fn new(units: u64, tally: Tally) -> Self {
        Self { units: units.saturating_sub(tally.excluded), tally }
    }

    fn proportion(self) -> Option<Proportion> {
        Proportion::new(self.tally.answered, self.units).ok()
    }

    /// The rate of what is wanted: of events, or of their absence.
    fn wanted(self, direction: Direction) -> Option<Proportion> {
        let rate = self.proportion()?;
        match direction {
            Direction::Higher => Some(rate),
            Direction::Lower => Proportion::new(self.units - rate.successes(), self.units).ok(),
        }
    }

    fn sample(self) -> Option<Sample> {
        Sample::from_sums(self.units, self.tally.total, self.tally.squares).ok()
    }

    fn result(
        self,
        kind: &Kind,
        holdout: Option<Self>,
        alpha: Alpha,
        critical: Option<f64>,
    ) -> MetricResult {
        let enough =
            |holdout: &Self| self.tally.answered + holdout.tally.answered >= FEWEST_ANSWERS;
        let critical = critical.filter(|_| holdout.as_ref().is_some_and(enough));
        let (lift, relative_lift) = match (kind, holdout) {
            (_, None) => (None, None),
            (Kind::Conversion, Some(holdout)) => self.more_answers(holdout, critical),
            (Kind::Revenue { .. }, Some(holdout)) => self.more_money(holdout, alpha, critical),
        };
        MetricResult {
            tally: self.tally,
            rate: match kind {
                Kind::Conversion => self.proportion().map(|it| it.estimate(alpha).into()),
                Kind::Revenue { .. } => self.mean(alpha),
            },
            lift,
            relative_lift,
            incremental: lift.map(|lift| lift.times(real(self.units))),
            adjustment: None,
        }
    }

    fn more_answers(
        self,
        holdout: Self,
        critical: Option<f64>,
    ) -> (Option<Estimate>, Option<Estimate>) {
        let (Some(baseline), Some(arm)) = (holdout.proportion(), self.proportion()) else {
            return (None, None);
        };
        let comparison = Comparison { baseline, arm };
        let value = arm.rate() - baseline.rate();
        let interval = critical.map(|critical| comparison.difference(critical).interval);
        let lift = Estimate { value, interval };
        let relative = (baseline.successes() > 0).then(|| Estimate {
            value: value / baseline.rate(),
            interval: critical.and_then(|critical| Some(comparison.lift(critical)?.interval)),
        });
        (Some(lift), relative)
    }

    fn more_money(
        self,
        holdout: Self,
        alpha: Alpha,
        critical: Option<f64>,
    ) -> (Option<Estimate>, Option<Estimate>) {
        let (Some(baseline), Some(arm)) = (holdout.sample(), self.sample()) else {
            return (None, None);
        };
        let Welch { difference, standard_error, lift, lift_error, .. } =
            welch(&baseline, &arm, alpha);
        let around = |value: f64, error: f64| {
            critical.map(|critical| Interval {
                low: value - critical * error,
                high: value + critical * error,
            })
        };
        let difference = Estimate {
            value: difference.value,
            interval: around(difference.value, standard_error),
        };
        let lift = lift.zip(lift_error).map(|(lift, error)| Estimate {
            value: lift.value,
            interval: around(lift.value, error),
        });
        (Some(difference), lift)
    }

    /// Money per unit: a comparison with nothing at all.
    fn mean(self, alpha: Alpha) -> Option<Estimate> {
        let Some(sample) = self.sample() else {
            return (self.units > 0)
                .then(|| Estimate { value: self.tally.total / real(self.units), interval: None });
        };
        let nothing = Sample::new(2, 0.0, 0.0).ok()?;
        let difference = welch(&nothing, &sample, alpha).difference;
        let interval = (self.tally.answered >= FEWEST_ANSWERS).then_some(difference.interval);
        Some(Estimate { value: sample.mean(), interval })
    }
}

impl Estimate {
    fn times(self, factor: f64) -> Self {
        let scaled = |it: Interval| Interval { low: it.low * factor, high: it.high * factor };
        Self { value: self.value * factor, interval: self.interval.map(scaled) }
    }
}

impl From<cursus_statistics::Estimate> for Estimate {
    fn from(estimate: cursus_statistics::Estimate) -> Self {
        Self { value: estimate.value, interval: Some(estimate.interval) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::tests::design;

    fn group(units: u64, answered: u64, total: f64) -> Group {
        let squares = total * total / real(answered.max(1));
        let tally = Tally { answered, total, squares, ..Tally::default() };
        Group { units, metrics: vec![tally, tally], pasts: Vec::new() }
    }

    fn counts() -> Counts {
        Counts {
            arms: vec![group(1_000, 150, 900.0), group(1_000, 0, 0.0)],
            holdout: group(500, 50, 300.0),
            released: group(0, 0, 0.0),
        }
    }

    #[test]
    fn an_arm_is_measured_against_the_holdout() {
        let panel = panel(&design(), &counts(), Some(2.0)).unwrap();
        let visits = panel.arms[0].metrics[0];
        assert!((visits.lift.unwrap().value - 0.05).abs() < 1e-12);
        assert!((visits.relative_lift.unwrap().value - 0.5).abs() < 1e-12);
        assert!((visits.incremental.unwrap().value - 50.0).abs() < 1e-9);
        assert!(visits.lift.unwrap().interval.unwrap().contains(0.05));
        let revenue = panel.arms[0].metrics[1];
        assert!((revenue.rate.unwrap().value - 0.9).abs() < 1e-12);
        assert!((revenue.lift.unwrap().value - 0.3).abs() < 1e-12);
        assert_eq!(panel.holdout.unwrap().metrics[0].lift, None);
        assert_eq!(panel.released, None);
    }

    #[test]
    fn an_arm_without_answers_lost_everything_without_an_interval_of_it() {
        let panel = panel(&design(), &counts(), Some(2.0)).unwrap();
        let relative = panel.arms[1].metrics[0].relative_lift.unwrap();
        assert!((relative.value + 1.0).abs() < 1e-12 && relative.interval.is_none());
    }

    #[test]
    fn the_deciding_metric_has_no_interval_before_it_has_a_boundary() {
        let panel = panel(&design(), &counts(), None).unwrap();
        assert_eq!(panel.arms[0].metrics[0].lift.unwrap().interval, None);
        assert!(panel.arms[0].metrics[1].lift.unwrap().interval.is_some());
    }

    #[test]
    fn few_answers_and_no_units_give_no_interval_and_no_rate() {
        let mut counts = counts();
        counts.arms[0] = group(1_000, 3, 9.0);
        counts.arms[1] = group(0, 0, 0.0);
        counts.holdout = group(500, 2, 4.0);
        let panel = panel(&design(), &counts, Some(2.0)).unwrap();
        assert_eq!(panel.arms[0].metrics[0].lift.unwrap().interval, None);
        assert_eq!((panel.arms[1].metrics[0].rate, panel.arms[1].metrics[1].rate), (None, None));
    }
}
