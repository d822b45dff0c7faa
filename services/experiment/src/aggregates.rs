//! Counts that are told instead of facts: cumulative, numbered, the highest number counts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::counts::{Counts, Group, Tally};
use crate::design::Design;

/// What was counted by a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) sequence: i64,
    pub(crate) time: DateTime<Utc>,
    pub(crate) groups: Groups,
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

impl Groups {
    /// With nothing counted yet.
    pub(crate) fn empty(design: &Design) -> Self {
        let counted = Counted { units: 0, tallies: vec![Tally::default(); design.metrics.len()] };
        Self { arms: vec![counted.clone(); design.arms.len()], holdout: counted }
    }

    pub(crate) fn into_counts(self, design: &Design) -> Counts {
        let group = |it: Counted| Group { units: it.units, metrics: it.tallies, pasts: Vec::new() };
        let released = Self::empty(design).holdout;
        Counts {
            arms: self.arms.into_iter().map(group).collect(),
            holdout: group(self.holdout),
            released: group(released),
        }
    }
}
