//! The events of one name of all contacts of a block.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::texts::{NO_TEXT, Texts, keep};
use crate::times::{Times, push};

/// Events that no slot has any more are tolerated up to this many, however few the others are.
const FEW_EVENTS: usize = 4_096;

/// The time of an event without this property; beyond the horizon.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// Each contact's times, ascending, in one array, and beside it the properties that plans read.
///
/// A contact's events stand together. Those of one that was replaced are at the end, and leave a gap where they
/// were; when gaps have become a quarter of all, everything is moved together again.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Where the events of each slot begin and end.
    pub(crate) bounds: Vec<Bounds>,
    pub(crate) times: Times,
    pub(crate) properties: Properties,
    /// No event is later than this.
    pub(crate) latest: i64,
    /// How many events no slot has any more.
    gaps: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A value per event: not a number, no text, [`NO_TIME`] or `None` where it has no value of the kind.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    pub(crate) texts: BTreeMap<String, Texts>,
    pub(crate) numbers: BTreeMap<String, Vec<f64>>,
    pub(crate) flags: BTreeMap<String, Vec<Option<bool>>>,
    pub(crate) times: BTreeMap<String, Vec<i64>>,
    /// Whether there is a set: what is in it, no rule asks.
    pub(crate) sets: BTreeMap<String, Vec<bool>>,
}

impl Events {
    /// Where in the arrays a contact's events are.
    pub(crate) fn range(&self, slot: u16) -> Range<usize> {
        self.bounds[usize::from(slot)].range()
    }

    /// Makes room for slots, which have no events yet.
    pub(crate) fn cover(&mut self, slots: usize) {
        self.bounds.resize(slots, Bounds::default());
    }

    /// Takes each slot's events from the place it has in a patch.
    pub(crate) fn replace(&mut self, slots: &[u16], patch: &Self) {
        let mut taken = Vec::new();
        for (slot, from) in slots.iter().zip(&patch.bounds) {
            let start = offset(self.times.len() + taken.len());
            taken.extend(from.range());
            let end = offset(self.times.len() + taken.len());
            let bounds = &mut self.bounds[usize::from(*slot)];
            self.gaps += bounds.range().len();
            *bounds = Bounds { start, end };
        }
        for index in &taken {
            self.times.push(patch.times.get(*index));
        }
        let theirs = &patch.properties;
        for (name, texts) in &mut self.properties.texts {
            texts.extend(taken.iter().copied(), &theirs.texts[name]);
        }
        take(&mut self.properties.numbers, &theirs.numbers, &taken);
        take(&mut self.properties.flags, &theirs.flags, &taken);
        take(&mut self.properties.times, &theirs.times, &taken);
        take(&mut self.properties.sets, &theirs.sets, &taken);
        self.latest = self.latest.max(patch.latest);
    }

    /// Adds to each slot's events those that it has in a patch. They have no properties.
    pub(crate) fn add(&mut self, slots: &[u16], patch: &Self) {
        for (slot, from) in slots.iter().zip(&patch.bounds) {
            let (ours, theirs) = (self.range(*slot), from.range());
            self.gaps += ours.len();
            let ours = ours.map(|index| self.times.get(index));
            let theirs = theirs.map(|index| patch.times.get(index));
            let mut times: Vec<i64> = ours.chain(theirs).collect();
            times.sort_unstable();
            let start = offset(self.times.len());
            for time in times {
                self.times.push(time);
            }
            self.bounds[usize::from(*slot)] = Bounds { start, end: offset(self.times.len()) };
        }
        self.latest = self.latest.max(patch.latest);
    }

    /// Whether so much was replaced that moving the rest together is worth its while.
    pub(crate) fn has_many_gaps(&self) -> bool {
        self.gaps > FEW_EVENTS.max(self.times.len() / 4)
    }

    /// Moves the events together, in the order of their slots, and forgets those that are no later than a moment.
    pub(crate) fn compact(&mut self, forgotten: i64) {
        let mut kept = Vec::with_capacity(self.times.len() - self.gaps);
        for bounds in &mut self.bounds {
            let start = offset(kept.len());
            let indices = bounds.start..bounds.end;
            kept.extend(indices.filter(|index| self.times.get(*index as usize) > forgotten));
            *bounds = Bounds { start, end: offset(kept.len()) };
        }
        self.keep(&kept);
    }

    pub(crate) fn bytes(&self) -> usize {
        let Properties { texts, numbers, flags, times, sets } = &self.properties;
        size_of::<Bounds>() * self.bounds.capacity()
            + self.times.bytes()
            + texts.values().map(Texts::bytes).sum::<usize>()
            + numbers.values().map(|values| 8 * values.capacity()).sum::<usize>()
            + flags.values().map(Vec::capacity).sum::<usize>()
            + times.values().map(|values| 8 * values.capacity()).sum::<usize>()
            + sets.values().map(Vec::capacity).sum::<usize>()
    }

    /// Keeps the events at some indices, in their order.
    fn keep(&mut self, kept: &[u32]) {
        let times: Vec<i64> = kept.iter().map(|index| self.times.get(*index as usize)).collect();
        self.latest = times.iter().copied().max().unwrap_or(i64::MIN);
        self.times = Times::compact(times);
        self.properties.texts.values_mut().for_each(|texts| texts.keep(kept));
        self.properties.numbers.values_mut().for_each(|numbers| keep(numbers, kept));
        self.properties.flags.values_mut().for_each(|flags| keep(flags, kept));
        self.properties.times.values_mut().for_each(|times| keep(times, kept));
        self.properties.sets.values_mut().for_each(|sets| keep(sets, kept));
        self.gaps = 0;
    }
}

impl Bounds {
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Events in the order in which they are loaded.
#[derive(Debug, Default)]
pub(crate) struct EventLoader {
    slots: Vec<u16>,
    times: Vec<i64>,
    pub(crate) properties: Properties,
}

impl EventLoader {
    /// Adds an event without properties.
    pub(crate) fn push(&mut self, slot: u16, time: i64) {
        self.slots.push(slot);
        self.times.push(time);
        self.properties.texts.values_mut().for_each(|texts| texts.codes.push(NO_TEXT));
        self.properties.numbers.values_mut().for_each(|values| values.push(f64::NAN));
        self.properties.flags.values_mut().for_each(|values| values.push(None));
        self.properties.times.values_mut().for_each(|values| values.push(NO_TIME));
        self.properties.sets.values_mut().for_each(|values| values.push(false));
    }

    /// Sorts the events; events of one time stay in the order in which they came.
    pub(crate) fn into_events(self, slots: usize) -> Events {
        let mut order: Vec<u32> = (0..offset(self.times.len())).collect();
        order.sort_by_key(|index| {
            let index = *index as usize;
            (self.slots[index], self.times[index])
        });
        let mut bounds = vec![Bounds::default(); slots];
        for slot in &self.slots {
            bounds[usize::from(*slot)].end += 1;
        }
        let mut start = 0;
        for bounds in &mut bounds {
            let end = start + bounds.end;
            *bounds = Bounds { start, end };
            start = end;
        }
        let times = Times::Micros(self.times);
        let mut events =
            Events { bounds, times, properties: self.properties, latest: i64::MIN, gaps: 0 };
        events.keep(&order);
        events
    }
}

/// Adds the values at some indices of each column of a patch.
fn take<T: Copy>(
    columns: &mut BTreeMap<String, Vec<T>>,
    patch: &BTreeMap<String, Vec<T>>,
    taken: &[usize],
) {
    for (name, values) in columns {
        let theirs = &patch[name];
        for index in taken {
            push(values, theirs[*index]);
        }
    }
}

fn offset(index: usize) -> u32 {
    u32::try_from(index).expect("a block has fewer events than 2^32")
}
