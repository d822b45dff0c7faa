//! Changes of a few contacts, for a block that stays in memory.

use crate::block::Block;
use crate::builder::BlockBuilder;
use crate::mentions::{Mentions, Reach};
use crate::window::within_horizon;

/// Fresh rows of some slots: all that a block holds of these contacts, and nothing of any other.
#[derive(Debug)]
pub struct Patch {
    slots: Vec<u16>,
    rows: BlockBuilder,
}

impl Patch {
    /// Starts a patch of these slots for a block with these mentions.
    pub fn new(wanted: Mentions, slots: impl IntoIterator<Item = u16>) -> Self {
        let mut slots: Vec<u16> = slots.into_iter().collect();
        slots.sort_unstable();
        slots.dedup();
        Self { rows: BlockBuilder::only(wanted, slots.clone()), slots }
    }

    /// What loads the rows; those of other slots it drops.
    pub fn rows(&mut self) -> &mut BlockBuilder {
        &mut self.rows
    }
}

impl Block {
    /// Has each slot of a patch hold what the patch says, and nothing else. Now and then it also forgets events which
    /// are too old at `now` to be read by any plan.
    ///
    /// # Panics
    ///
    /// If the patch was not loaded for what the block [holds](Self::mentions).
    pub fn replace(&mut self, patch: Patch, now: i64) {
        let Patch { slots, rows } = patch;
        let patch = rows.build();
        assert!(
            patch.mentions.covers(&self.mentions),
            "the patch was not loaded for this block: {:?}",
            self.mentions
        );
        let Some(last) = slots.last() else { return };
        self.cover((usize::from(*last) + 1).next_multiple_of(64));
        self.live.replace(&slots, &patch.live);
        let (ours, theirs) = (&mut self.attributes, &patch.attributes);
        for (name, column) in &mut ours.texts {
            column.replace(&slots, &theirs.texts[name]);
        }
        for (name, column) in &mut ours.numbers {
            column.replace(&slots, &theirs.numbers[name]);
        }
        for (name, column) in &mut ours.flags {
            column.replace(&slots, &theirs.flags[name]);
        }
        for (name, column) in &mut ours.times {
            column.replace(&slots, &theirs.times[name]);
        }
        for (name, column) in &mut ours.sets {
            column.replace(&slots, &theirs.sets[name]);
        }
        for (name, events) in &mut self.events {
            events.replace(&slots, &patch.events[name]);
            if events.has_many_gaps() {
                events.compact(forgotten(self.mentions.events[name].reach, now));
            }
        }
    }

    /// Gives back what replaced contacts left behind, and events which are too old at `now` to be read by any plan.
    /// [`replace`](Self::replace) does this on its own before it becomes much.
    pub fn compact(&mut self, now: i64) {
        for (name, events) in &mut self.events {
            events.compact(forgotten(self.mentions.events[name].reach, now));
        }
    }
}

/// The last moment of which no event is read any more.
fn forgotten(reach: Reach, now: i64) -> i64 {
    match reach {
        Reach::Ever => i64::MIN,
        Reach::Last(length) => {
            within_horizon(now).saturating_sub(length.num_microseconds().unwrap_or(i64::MAX))
        }
    }
}
