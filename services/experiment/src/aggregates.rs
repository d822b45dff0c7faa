//! Counts that are told instead of facts: cumulative, numbered, the highest number counts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::counts::{Census, Counts, Group, Tally};
use crate::design::Design;

/// What was counted by a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) sequence: i64,
    pub(crate) time: DateTime<Utc>,
    pub(crate) told: Told,
}

/// Everybody, and everybody in each segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) whole: Groups,
    pub(crate) segments: BTreeMap<String, Groups>,
}

/// By arm, and the holdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Groups {
    pub(crate) arms: Vec<Counted>,
    pub(crate) holdout: Counted,
}

/// What one group did, by metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) units: u64,
    pub(crate) tallies: Vec<Tally>,
}

impl Told {
    pub(crate) fn into_census(self, design: &Design) -> Census {
        let segments = self.segments.into_iter();
        let segments = segments.map(|(name, groups)| (name, groups.into_counts(design)));
        Census { segments: segments.collect(), ..Census::of_all(self.whole.into_counts(design)) }
    }
}

impl Groups {
    /// With nothing counted yet.
    pub(crate) fn empty(design: &Design) -> Self {
        let counted = Counted { units: 0, tallies: vec![Tally::default(); design.metrics.len()] };
        Self { arms: vec![counted.clone(); design.arms.len()], holdout: counted }
    }

    /// Whether it has no more units in any group, and no more of them with an event.
    pub(crate) fn is_part_of(&self, whole: &Self) -> bool {
        let is_part = |part: &Counted, all: &Counted| {
            let mut tallies = part.tallies.iter().zip(&all.tallies);
            part.units <= all.units && tallies.all(|(part, all)| part.answered <= all.answered)
        };
        let mut arms = self.arms.iter().zip(&whole.arms);
        arms.all(|(part, all)| is_part(part, all)) && is_part(&self.holdout, &whole.holdout)
    }

    fn into_counts(self, design: &Design) -> Counts {
        let group = |it: Counted| Group { units: it.units, metrics: it.tallies, pasts: Vec::new() };
        let released = Self::empty(design).holdout;
        Counts {
            arms: self.arms.into_iter().map(group).collect(),
            holdout: group(self.holdout),
            released: group(released),
        }
    }
}
