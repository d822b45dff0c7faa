//! Changes of a few contacts, for a block that stays in memory.

use crate::block::Block;
use crate::builder::BlockBuilder;
use crate::mentions::{Mentions, Reach};
use crate::window::within_horizon;

/// Fresh rows of some slots: all that a block holds of these contacts or all of their events of one name, and nothing of
/// any other contact.
#[derive(Debug)]
pub struct Patch {
    slots: Vec<u16>,
    rows: BlockBuilder,
    /// The only events that are replaced; `None` for everything.
    event: Option<String>,
}

impl Patch {
    /// Starts a patch of these slots for a block with these mentions.
    pub fn new(wanted: Mentions, slots: impl IntoIterator<Item = u16>) -> Self {
        Self::only(wanted, slots, None)
    }

    /// Starts a patch of the events of one name of these slots, for a block with these mentions. All else of theirs stays
    /// as it is.
    pub fn of_event(wanted: &Mentions, name: &str, slots: impl IntoIterator<Item = u16>) -> Self {
        Self::only(wanted.of_event(name), slots, Some(name.to_owned()))
    }

    fn only(wanted: Mentions, slots: impl IntoIterator<Item = u16>, event: Option<String>) -> Self {
        let mut slots: Vec<u16> = slots.into_iter().collect();
        slots.sort_unstable();
        slots.dedup();
        Self { rows: BlockBuilder::only(wanted, slots.clone()), slots, event }
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
        let Patch { slots, rows, event } = patch;
        let patch = rows.build();
        let is_loaded = match &event {
            None => patch.mentions.covers(&self.mentions),
            Some(name) => patch.mentions.covers(&self.mentions.of_event(name)),
        };
        assert!(is_loaded, "the patch was not loaded for this block: {:?}", self.mentions);
        let Some(last) = slots.last() else { return };
        self.cover((usize::from(*last) + 1).next_multiple_of(64));
        if event.is_none() {
            self.replace_attributes(&slots, &patch);
        }
        for (name, events) in &mut self.events {
            if event.as_ref().is_some_and(|event| event != name) {
                continue;
            }
            events.replace(&slots, &patch.events[name]);
            if events.has_many_gaps() {
                events.compact(forgotten(self.mentions.events[name].reach, now));
            }
        }
    }

    fn replace_attributes(&mut self, slots: &[u16], patch: &Self) {
        self.live.replace(slots, &patch.live);
        let (ours, theirs) = (&mut self.attributes, &patch.attributes);
        for (name, column) in &mut ours.texts {
            column.replace(slots, &theirs.texts[name]);
        }
        for (name, column) in &mut ours.numbers {
            column.replace(slots, &theirs.numbers[name]);
        }
        for (name, column) in &mut ours.flags {
            column.replace(slots, &theirs.flags[name]);
        }
        for (name, column) in &mut ours.times {
            column.replace(slots, &theirs.times[name]);
        }
        for (name, column) in &mut ours.sets {
            column.replace(slots, &theirs.sets[name]);
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
