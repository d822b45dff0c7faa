//! One look: what the deciding metric showed at a moment of spending time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_statistics::Fraction;
use cursus_statistics::effect::{Comparison, Sample, welch};
use cursus_statistics::monitor::ArmCounts;
use cursus_statistics::{Alpha, Error, Proportion};
use serde::{Deserialize, Serialize};

use crate::allocation::Allocation;
use crate::counts::{Census, Counts, Group, Span, Tally};
use crate::design::{Design, Kind, Metric};

/// Looks are worth taking this far apart on the clock of spending: about 50 in all.
const GRID: f64 = 0.02;
/// And only when the data know this much more.
const GROWTH: f64 = 1.01;
/// Without a clock of spending, looks are this far apart.
pub(crate) const OPEN_ENDED_PAUSE: TimeDelta = TimeDelta::hours(1);

/// What was counted of the deciding metric, and of those that guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sight {
    pub(crate) arms: Vec<Seen>,
    pub(crate) holdout_units: u64,
    /// Units exposed to an arm that the bandit did not give them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) strays: u64,
    /// Of a bandit. Looks that are kept have those that told more than at the looks before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) periods: Vec<Period>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What was counted of units that had the same chances at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Period {
    pub(crate) span: Span,
    /// The chances that its units had.
    pub(crate) shares: Vec<f64>,
    pub(crate) arms: Vec<Seen>,
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// All that were exposed.
    pub(crate) units: u64,
    pub(crate) tally: Tally,
    /// In the order of the design's guardrails.
    #[serde(default)]
    pub(crate) guardrails: Vec<Tally>,
}

/// A look at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    pub(crate) time: DateTime<Utc>,
    pub(crate) spending_time: Fraction,
    pub(crate) sight: Sight,
}

/// Each period as it was last seen.
fn known_periods(looks: &[Look]) -> BTreeMap<Span, &Period> {
    let all = looks.iter().flat_map(|look| &look.sight.periods);
    all.map(|period| (period.span, period)).collect()
}

impl Period {
    /// Whether it tells more of what decides. What guards is judged as it is, whatever was seen before.
    fn is_new_to(&self, known: &BTreeMap<Span, &Self>) -> bool {
        let counts = |period: &Self| -> Vec<(u64, u64)> {
            period.arms.iter().map(|arm| (arm.counted(), arm.tally.answered)).collect()
        };
        known.get(&self.span).is_none_or(|before| counts(before) != counts(self))
    }
}

impl Seen {
    fn new(design: &Design, group: &Group) -> Self {
        let tally = |metric: usize| group.metrics.get(metric).copied();
        Self {
            units: group.units,
            tally: tally(0).unwrap_or_default(),
            guardrails: design.guardrails().filter_map(|(metric, _)| tally(metric)).collect(),
        }
    }

    /// The units that the deciding metric is about.
    pub(crate) fn counted(&self) -> u64 {
        self.units.saturating_sub(self.tally.excluded)
    }

    pub(crate) fn counts(&self) -> ArmCounts {
        ArmCounts {
            sent: self.counted(),
            responders: self.tally.answered,
            early_responders: self.tally.early,
        }
    }

    pub(crate) fn sample(&self) -> Option<Sample> {
        Sample::from_sums(self.counted(), self.tally.total, self.tally.squares).ok()
    }

    /// The early among those who answered.
    pub(crate) fn promptness(&self) -> Option<Proportion> {
        Proportion::new(self.tally.early, self.tally.answered).ok()
    }

    /// Answers or money per unit.
    pub(crate) fn level(&self, kind: &Kind) -> f64 {
        match kind {
            Kind::Conversion => ratio(self.tally.answered, self.counted()),
            Kind::Revenue { .. } => self.sample().map_or(0.0, |sample| sample.mean()),
        }
    }
}

impl Sight {
    /// `allocations` are a bandit's, empty for others.
    pub(crate) fn new(design: &Design, census: &Census, allocations: &[Allocation]) -> Self {
        let seen = |counts: &Counts| -> Vec<Seen> {
            counts.arms.iter().map(|group| Seen::new(design, group)).collect()
        };
        let shares: BTreeMap<u32, &Vec<f64>> =
            allocations.iter().map(|it| (it.number, &it.shares)).collect();
        let period = |(span, counts): (&Span, &Counts)| {
            // Those held out are in none.
            let shares = shares.get(&span.allocation)?;
            Some(Period { span: *span, shares: (*shares).clone(), arms: seen(counts) })
        };
        Self {
            arms: seen(&census.whole),
            holdout_units: census.whole.holdout.units,
            strays: census.strays,
            periods: census.periods.iter().filter_map(period).collect(),
        }
    }

    /// Whether it counts the same.
    pub(crate) fn counts_like(&self, other: &Self) -> bool {
        let counts = |it: &Self| (it.holdout_units, it.strays);
        self.arms == other.arms && counts(self) == counts(other)
    }

    /// Without the periods that tell of no more than they did at the looks before.
    pub(crate) fn without_the_known(&self, looks: &[Look]) -> Self {
        let known = known_periods(looks);
        let is_new = |period: &&Period| period.is_new_to(&known);
        let periods = self.periods.iter().filter(is_new).cloned().collect();
        Self { periods, ..self.clone() }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.arms.iter().map(|arm| arm.tally.answered).sum()
    }

    /// How much the data know about a difference, without telling which arm is ahead. For answers `S / (1 - S / N)`;
    /// for money `Σ n s²`, which grows as orders come in, or the number of orders where evidence is tuned to that.
    pub(crate) fn information(&self, design: &Design) -> f64 {
        match &design.primary().kind {
            Kind::Conversion => {
                let answered = real(self.answered());
                let units = real(self.arms.iter().map(Seen::counted).sum());
                if units > answered { answered / (1.0 - answered / units) } else { 0.0 }
            }
            Kind::Revenue { .. } if design.is_open_ended() => real(self.answered()),
            Kind::Revenue { .. } => self.arms.iter().map(spread).sum(),
        }
    }

    /// By how much `arm` is ahead of `other`, in standard errors.
    pub(crate) fn statistic(&self, metric: &Metric, arm: usize, other: usize) -> f64 {
        let (Some(arm), Some(other)) = (self.arms.get(arm), self.arms.get(other)) else {
            return 0.0;
        };
        metric.direction.gain(match &metric.kind {
            Kind::Conversion => compared(other, arm).map_or(0.0, Comparison::pooled_z),
            Kind::Revenue { .. } => match (other.sample(), arm.sample()) {
                (Some(other), Some(arm)) => welch(&other, &arm, Alpha::FIVE_PERCENT).t,
                _ => 0.0,
            },
        })
    }

    /// The arm with the best level; the first of equals.
    pub(crate) fn leader(&self, metric: &Metric) -> usize {
        let level = |arm: usize| metric.direction.gain(self.arms[arm].level(&metric.kind));
        let mut leader = 0;
        for arm in 1..self.arms.len() {
            if level(arm) > level(leader) {
                leader = arm;
            }
        }
        leader
    }

    /// The arm that `arm` leads by the least, among all others.
    pub(crate) fn closest(&self, metric: &Metric, arm: usize) -> Option<usize> {
        let lead = |other: &usize| self.statistic(metric, arm, *other);
        self.others(arm).min_by(|one, two| lead(one).total_cmp(&lead(two)))
    }

    pub(crate) fn others(&self, arm: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.arms.len()).filter(move |other| *other != arm)
    }
}

/// Whether the clock has moved on far enough for another look: that of spending, or that on the wall where nothing is
/// spent.
pub(crate) fn is_later(
    design: &Design,
    last: Option<&Look>,
    spending_time: Fraction,
    now: DateTime<Utc>,
) -> bool {
    if design.is_open_ended() {
        return is_rested(last.map(|look| look.time), now);
    }
    spending_time.get() - last.map_or(0.0, |look| look.spending_time.get()) >= GRID
}

/// Whether the last look at a test without a deadline is long enough ago.
pub(crate) fn is_rested(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last.is_none_or(|time| now - time >= OPEN_ENDED_PAUSE)
}

/// The moment from which another look may be taken, and no look before it decides anything.
pub(crate) fn next_time(
    design: &Design,
    last: Option<&Look>,
    exposures: &[(DateTime<Utc>, u64)],
    (now, deadline): (DateTime<Utc>, DateTime<Utc>),
) -> Result<DateTime<Utc>, Error> {
    let due = last.map_or(0.0, |look| look.spending_time.get()) + GRID;
    let due = Fraction::saturating(due.max(design.maturity_gate));
    let (mut early, mut late) = (now, deadline.max(now));
    if spending_time(design, exposures, early, deadline)? >= due {
        return Ok(early);
    }
    // To the second, which is finer than anybody looks.
    while late - early > TimeDelta::seconds(1) {
        let middle = early + (late - early) / 2;
        if spending_time(design, exposures, middle, deadline)? >= due {
            late = middle;
        } else {
            early = middle;
        }
    }
    let beyond = i64::from(late.timestamp_subsec_nanos());
    let up = if beyond > 0 { 1_000_000_000 - beyond } else { 0 };
    Ok(late + TimeDelta::nanoseconds(up))
}

/// The share of its shortest duration that a test without a deadline has run.
pub(crate) fn share_of_run(started: DateTime<Utc>, now: DateTime<Utc>) -> Fraction {
    let run = (now - started).as_seconds_f64();
    Fraction::saturating(run / crate::design::SHORTEST_RUN.as_secs_f64())
}

/// Whether the data know enough more for another look. Under a bandit any period that tells more does.
pub(crate) fn knows_more(design: &Design, looks: &[Look], sight: &Sight) -> bool {
    if design.bandit.is_some() {
        let known = known_periods(looks);
        return sight.periods.iter().any(|period| period.is_new_to(&known));
    }
    let before = looks.last().map_or(0.0, |look| look.sight.information(design));
    let now = sight.information(design);
    now > 0.0 && now >= GROWTH * before
}

fn compared(baseline: &Seen, arm: &Seen) -> Option<Comparison> {
    let rate = |seen: &Seen| Proportion::new(seen.tally.answered, seen.counted()).ok();
    Some(Comparison { baseline: rate(baseline)?, arm: rate(arm)? })
}

/// `n s²`, from the standard error of the mean, which is what a comparison with nothing has.
fn spread(seen: &Seen) -> f64 {
    let (Some(sample), Ok(nothing)) = (seen.sample(), Sample::new(2, 0.0, 0.0)) else { return 0.0 };
    let error = welch(&nothing, &sample, Alpha::FIVE_PERCENT).standard_error;
    (real(seen.counted()) * error).powi(2)
}

pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { real(part) / real(whole) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of people are far below 2^53")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// The spending time at `now`: the answers expected by then as a share of those expected by the deadline. Nothing is
/// expected where nobody was exposed, and the clock stands still.
pub(crate) fn spending_time(
    design: &Design,
    exposures: &[(DateTime<Utc>, u64)],
    now: DateTime<Utc>,
    deadline: DateTime<Utc>,
) -> Result<Fraction, Error> {
    use cursus_statistics::response::{Batch, spending_time};
    let Some(start) = exposures.iter().map(|(time, _)| *time).min() else {
        return Ok(Fraction::ZERO);
    };
    let since = |time: DateTime<Utc>| (time - start).to_std().unwrap_or_default();
    let batch =
        |&(time, recipients): &(DateTime<Utc>, u64)| Batch { sent_after: since(time), recipients };
    let batches: Vec<Batch> = exposures.iter().map(batch).collect();
    match spending_time(&design.curve()?, &batches, since(now), since(deadline)) {
        Err(Error::NothingExpected) => Ok(Fraction::ZERO),
        // Only the final look may spend everything, and that one is taken at the deadline, not before.
        time => Ok(Fraction::saturating(time?.get().min(1.0 - f64::EPSILON))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::Direction;
    use crate::design::tests::design;

    fn sight(arms: &[(u64, u64)]) -> Sight {
        let seen = |&(answered, units): &(u64, u64)| Seen {
            units,
            tally: Tally { answered, ..Tally::default() },
            guardrails: Vec::new(),
        };
        Sight {
            arms: arms.iter().map(seen).collect(),
            holdout_units: 0,
            strays: 0,
            periods: Vec::new(),
        }
    }

    #[test]
    fn a_look_is_due_when_both_clocks_moved_on() {
        let design = design();
        let last = Look {
            time: DateTime::UNIX_EPOCH,
            spending_time: Fraction::saturating(0.5),
            sight: sight(&[(100, 1_000), (100, 1_000)]),
        };
        let is_later = |time| is_later(&design, Some(&last), Fraction::saturating(time), last.time);
        assert!(is_later(0.53) && !is_later(0.51));
        let looks = [last.clone()];
        let knows_more = |arms: &[(u64, u64)]| knows_more(&design, &looks, &sight(arms));
        assert!(knows_more(&[(103, 1_000), (100, 1_000)]));
        assert!(!knows_more(&[(101, 1_000), (100, 1_000)]));
        assert!(!super::knows_more(&design, &[], &sight(&[(0, 1_000), (0, 1_000)])));
    }

    #[test]
    fn the_leader_and_its_closest_rival_are_found_whatever_is_counted() {
        let mut sight = sight(&[(100, 1_000), (150, 1_000), (140, 1_000)]);
        let mut design = design();
        let visits = design.primary();
        assert_eq!((sight.leader(visits), sight.closest(visits, 1)), (1, Some(2)));
        let fewer = Metric { direction: Direction::Lower, ..visits.clone() };
        assert_eq!((sight.leader(&fewer), sight.closest(&fewer, 0)), (0, Some(2)));
        design.metrics.swap(0, 1);
        let revenue = design.primary();
        for (arm, total) in [(0, 900.0), (1, 400.0), (2, 500.0)] {
            sight.arms[arm].tally.total = total;
            sight.arms[arm].tally.squares = total * total / 50.0;
        }
        assert_eq!((sight.leader(revenue), sight.closest(revenue, 0)), (0, Some(2)));
        assert!(sight.information(&design) > 0.0);
    }

    #[test]
    fn spending_time_never_reaches_the_end_by_itself() {
        let (start, day) = (DateTime::UNIX_EPOCH, TimeDelta::days(1));
        let at = |hours| {
            let now = start + TimeDelta::hours(hours);
            spending_time(&design(), &[(start, 500)], now, start + day).unwrap().get()
        };
        assert!(at(0) <= 0.0 && at(2) < at(6) && at(6) < at(12));
        assert!(at(48) < 1.0);
        let nobody = spending_time(&design(), &[], start + day, start + day).unwrap();
        assert_eq!(nobody, Fraction::ZERO);
    }
}
