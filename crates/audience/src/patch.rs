//! Changes of a few contacts, for a block that stays in memory.

use crate::block::Block;
use crate::builder::BlockBuilder;
use crate::mentions::{Mentions, Reach};
use crate::window::within_horizon;

/// Fresh rows of some slots: all that a block holds of these contacts, all of their events of one name, or more of these;
/// and nothing of any other contact.
#[derive(Debug)]
pub struct Patch {
    slots: Vec<u16>,
    rows: BlockBuilder,
    part: Part,
}

/// Which part of what a block holds of a contact is in a patch.
#[derive(Debug)]
enum Part {
    All,
    /// The events of one name.
    Events(String),
    /// Events of one name beside those that are there.
    MoreEvents(String),
}

impl Patch {
    /// Starts a patch of these slots for a block with these mentions.
    pub fn new(wanted: Mentions, slots: impl IntoIterator<Item = u16>) -> Self {
        Self::only(wanted, slots, Part::All)
    }

    /// Starts a patch of the events of one name of these slots, for a block with these mentions. All else of theirs stays
    /// as it is.
    pub fn of_event(wanted: &Mentions, name: &str, slots: impl IntoIterator<Item = u16>) -> Self {
        Self::only(wanted.of_event(name), slots, Part::Events(name.to_owned()))
    }

    /// Starts a patch of events of one name, of which only the times are read, that these slots have beside what they
    /// have.
    pub fn more_of_event(
        wanted: &Mentions,
        name: &str,
        slots: impl IntoIterator<Item = u16>,
    ) -> Self {
        Self::only(wanted.of_event(name), slots, Part::MoreEvents(name.to_owned()))
    }

    fn only(wanted: Mentions, slots: impl IntoIterator<Item = u16>, part: Part) -> Self {
        let mut slots: Vec<u16> = slots.into_iter().collect();
        slots.sort_unstable();
        slots.dedup();
        Self { rows: BlockBuilder::only(wanted, slots.clone()), slots, part }
    }

    /// What loads the rows; those of other slots it drops.
    pub fn rows(&mut self) -> &mut BlockBuilder {
        &mut self.rows
    }
}

impl Block {
    /// Has each slot of a patch hold what the patch says, in the part that it is about. Now and then it also forgets events
    /// which are too old at `now` to be read by any plan.
    ///
    /// # Panics
    ///
    /// If the patch was not loaded for what the block [holds](Self::mentions), or is of more events whose properties that
    /// has.
    pub fn replace(&mut self, patch: Patch, now: i64) {
        let Patch { slots, rows, part } = patch;
        let patch = rows.build();
        let is_loaded = match &part {
            Part::All => patch.mentions.covers(&self.mentions),
            Part::Events(name) => patch.mentions.covers(&self.mentions.of_event(name)),
            Part::MoreEvents(name) => {
                let ours = self.mentions.of_event(name);
                patch.mentions.covers(&ours) && !ours.has_properties()
            }
        };
        assert!(is_loaded, "the patch was not loaded for this block: {:?}", self.mentions);
        let Some(last) = slots.last() else { return };
        self.cover((usize::from(*last) + 1).next_multiple_of(64));
        if let Part::All = part {
            self.replace_attributes(&slots, &patch);
        }
        for (name, events) in &mut self.events {
            match &part {
                Part::Events(other) | Part::MoreEvents(other) if other != name => continue,
                Part::All | Part::Events(_) => events.replace(&slots, &patch.events[name]),
                Part::MoreEvents(_) => events.add(&slots, &patch.events[name]),
            }
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
