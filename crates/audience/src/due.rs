//! When answers change by time alone.

use crate::window::{HORIZON, NEVER, next_change};

/// The moments at which answers may change. A moment before the horizon is kept with its contact; of those after it,
/// of which there are many more, only the first.
#[derive(Debug)]
pub(crate) struct Due {
    until: i64,
    soon: Vec<(u16, i64)>,
    later: i64,
}

impl Due {
    /// Keeps no contacts, only the first moment of all.
    pub(crate) fn first() -> Self {
        Self::until(i64::MIN)
    }

    pub(crate) fn until(until: i64) -> Self {
        // What lies beyond any real moment is never, and concerns nobody.
        Self { until: until.min(2 * HORIZON), soon: Vec::new(), later: NEVER }
    }

    /// Only moments before this one make a difference.
    pub(crate) fn bound(&self) -> i64 {
        self.until.max(self.later)
    }

    /// A contact's answer may change at a moment.
    pub(crate) fn note(&mut self, slot: u16, moment: i64) {
        if moment < self.until {
            self.soon.push((slot, moment));
        } else {
            self.later = self.later.min(moment);
        }
    }

    /// The first moment after the horizon.
    pub(crate) fn later(&self) -> Option<i64> {
        next_change(self.later)
    }

    /// Each contact that has a moment before the horizon, with the first of those it has; and what is later.
    pub(crate) fn into_parts(mut self) -> (Vec<(u16, i64)>, Option<i64>) {
        self.soon.sort_unstable();
        self.soon.dedup_by_key(|(slot, _)| *slot);
        let later = self.later();
        (self.soon, later)
    }
}
