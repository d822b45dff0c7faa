//! What was counted at one moment: units, answers and money, by arm and by segment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one group of units did about one metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Units with an event that counts.
    pub(crate) answered: u64,
    /// Units whose only events were a machine's.
    pub(crate) machine: u64,
    /// Units whose events were probably a machine's, and none a person's.
    #[serde(default)]
    pub(crate) suspect: u64,
    /// Units with events of nobody knows whom, and none of a person or a suspect.
    #[serde(default)]
    pub(crate) unknown: u64,
    /// Units that do not count, neither among those who answered nor among all.
    #[serde(default)]
    pub(crate) excluded: u64,
    /// Units that answered soon after their exposure; of the deciding metric only.
    pub(crate) early: u64,
    /// Of money.
    pub(crate) total: f64,
    /// Of the units' totals.
    pub(crate) squares: f64,
}

impl Tally {
    /// Units with events of which none was a person's.
    pub(crate) fn discounted(&self) -> u64 {
        self.machine + self.suspect + self.unknown
    }

    /// Of all units with events.
    pub(crate) fn machine_share(&self) -> Option<f64> {
        let all = self.answered + self.discounted();
        (all > 0).then(|| crate::look::ratio(self.discounted(), all))
    }
}

/// What one group of units did of one metric's events before their exposure, and how that goes with what they did after
/// it. Whether it happened counts as 1 for conversions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Past {
    pub(crate) total: f64,
    /// Of the units' totals.
    pub(crate) squares: f64,
    /// Of each unit's totals before and after.
    pub(crate) products: f64,
}

/// One group of units.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Group {
    pub(crate) units: u64,
    /// In the order of the design.
    pub(crate) metrics: Vec<Tally>,
    /// In the same order; nothing where it is not asked for.
    pub(crate) pasts: Vec<Past>,
}

/// Which group a unit is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Arm(usize),
    Holdout,
    /// The remainder, once it got the chosen arm.
    Released,
}

/// All groups side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counts {
    pub(crate) arms: Vec<Group>,
    pub(crate) holdout: Group,
    pub(crate) released: Group,
}

/// Units of a bandit that had the same chances at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Which allocation divided them.
    pub(crate) allocation: u32,
    /// In which period after the start they were exposed, from 0.
    pub(crate) exposed: i64,
}

/// Everybody, and everybody in each segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Census {
    pub(crate) whole: Counts,
    /// None for a bandit's.
    pub(crate) segments: BTreeMap<String, Counts>,
    /// For a bandit in their place.
    pub(crate) periods: BTreeMap<Span, Counts>,
    /// Units exposed to an arm that the bandit did not give them; they are in no group.
    pub(crate) strays: u64,
}

impl Group {
    /// The units that a metric is about.
    pub(crate) fn counted(&self, metric: usize) -> u64 {
        let excluded = self.metrics.get(metric).map_or(0, |tally| tally.excluded);
        self.units.saturating_sub(excluded)
    }
}

impl Counts {
    fn empty(arms: usize, metrics: usize) -> Self {
        let group = Group {
            units: 0,
            metrics: vec![Tally::default(); metrics],
            pasts: vec![Past::default(); metrics],
        };
        Self { arms: vec![group.clone(); arms], holdout: group.clone(), released: group }
    }

    /// `None` for an arm that the design does not have.
    fn group(&mut self, part: Part) -> Option<&mut Group> {
        match part {
            Part::Arm(arm) => self.arms.get_mut(arm),
            Part::Holdout => Some(&mut self.holdout),
            Part::Released => Some(&mut self.released),
        }
    }

    pub(crate) fn units(&self) -> u64 {
        self.arms.iter().map(|arm| arm.units).sum::<u64>()
            + self.holdout.units
            + self.released.units
    }
}

impl Census {
    /// What was counted by segment was counted by span, as `allocation.exposed`; `None` if a label is none of these.
    pub(crate) fn by_period(mut self) -> Option<Self> {
        let read = |(label, counts): (String, Counts)| {
            let (allocation, exposed) = label.split_once('.')?;
            let span =
                Span { allocation: allocation.parse().ok()?, exposed: exposed.parse().ok()? };
            Some((span, counts))
        };
        let labelled = std::mem::take(&mut self.segments).into_iter();
        self.periods = labelled.map(read).collect::<Option<_>>()?;
        Some(self)
    }

    pub(crate) fn empty(arms: usize, metrics: usize) -> Self {
        Self::of_all(Counts::empty(arms, metrics))
    }

    /// Of which no groups are known.
    pub(crate) fn of_all(whole: Counts) -> Self {
        Self { whole, segments: BTreeMap::new(), periods: BTreeMap::new(), strays: 0 }
    }

    /// A segment's group, or everybody's where the segment is empty.
    pub(crate) fn group(&mut self, segment: &str, part: Part) -> Option<&mut Group> {
        if segment.is_empty() {
            return self.whole.group(part);
        }
        if !self.segments.contains_key(segment) {
            let (arms, metrics) = (self.whole.arms.len(), self.whole.holdout.metrics.len());
            self.segments.insert(segment.to_owned(), Counts::empty(arms, metrics));
        }
        self.segments.get_mut(segment)?.group(part)
    }
}
