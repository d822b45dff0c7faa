//! The events of one name of all contacts of a block.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::column::{Coder, Texts};

/// The code of an event without this property.
pub(crate) const NO_TEXT: u32 = u32::MAX;

/// The time of an event without this property; beyond the horizon.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// Each contact's times, ascending, in one array, and beside it the properties that plans read.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Where the times of each slot begin; one more than there are slots.
    pub(crate) offsets: Vec<u32>,
    pub(crate) times: Vec<i64>,
    pub(crate) properties: Properties,
}

impl Events {
    /// Where in the arrays a contact's events are.
    pub(crate) fn range(&self, slot: u16) -> Range<usize> {
        let slot = usize::from(slot);
        self.offsets[slot] as usize..self.offsets[slot + 1] as usize
    }
}

/// A value per event: not a number, [`NO_TEXT`], [`NO_TIME`] or `None` where it has no value of the kind.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    pub(crate) texts: BTreeMap<String, Texts>,
    pub(crate) numbers: BTreeMap<String, Vec<f64>>,
    pub(crate) flags: BTreeMap<String, Vec<Option<bool>>>,
    pub(crate) times: BTreeMap<String, Vec<i64>>,
    /// Whether there is a set: what is in it, no rule asks.
    pub(crate) sets: BTreeMap<String, Vec<bool>>,
}

/// Events in the order in which they are loaded.
#[derive(Debug, Default)]
pub(crate) struct EventLoader {
    slots: Vec<u16>,
    times: Vec<i64>,
    pub(crate) texts: BTreeMap<String, (Coder, Vec<u32>)>,
    /// The other properties. Their texts are still in the coders.
    pub(crate) others: Properties,
}

impl EventLoader {
    /// Adds an event without properties.
    pub(crate) fn push(&mut self, slot: u16, time: i64) {
        self.slots.push(slot);
        self.times.push(time);
        self.texts.values_mut().for_each(|(_, codes)| codes.push(NO_TEXT));
        self.others.numbers.values_mut().for_each(|values| values.push(f64::NAN));
        self.others.flags.values_mut().for_each(|values| values.push(None));
        self.others.times.values_mut().for_each(|values| values.push(NO_TIME));
        self.others.sets.values_mut().for_each(|values| values.push(false));
    }

    /// Sorts the events; events of one time stay in the order in which they came.
    pub(crate) fn into_events(mut self, slots: usize) -> Events {
        self.sort();
        let mut offsets = vec![0_u32; slots + 1];
        for slot in &self.slots {
            offsets[usize::from(*slot) + 1] += 1;
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        self.times.shrink_to_fit();
        let texts = self.texts.into_iter().map(|(name, (coder, codes))| {
            (name, Texts { codes, dictionary: coder.into_dictionary() })
        });
        let properties = Properties { texts: texts.collect(), ..self.others };
        Events { offsets, times: self.times, properties }
    }

    fn sort(&mut self) {
        let count = u32::try_from(self.times.len()).expect("a block has fewer events than 2^32");
        let key = |index: u32| (self.slots[index as usize], self.times[index as usize]);
        let mut order: Vec<u32> = (0..count).collect();
        if order.is_sorted_by_key(|index| key(*index)) {
            return;
        }
        order.sort_by_key(|index| key(*index));
        rearrange(&mut self.slots, &order);
        rearrange(&mut self.times, &order);
        self.texts.values_mut().for_each(|(_, codes)| rearrange(codes, &order));
        self.others.numbers.values_mut().for_each(|values| rearrange(values, &order));
        self.others.flags.values_mut().for_each(|values| rearrange(values, &order));
        self.others.times.values_mut().for_each(|values| rearrange(values, &order));
        self.others.sets.values_mut().for_each(|values| rearrange(values, &order));
    }
}

fn rearrange<T: Copy>(values: &mut Vec<T>, order: &[u32]) {
    *values = order.iter().map(|index| values[*index as usize]).collect();
}
