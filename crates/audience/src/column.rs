//! One attribute of all contacts of a block.

use std::collections::BTreeMap;

use crate::bitset::Bitset;
use crate::texts::Texts;
use crate::times::Times;

/// Which contacts have a value, and the values.
#[derive(Debug, Default)]
pub(crate) struct Column<T> {
    pub(crate) present: Bitset,
    pub(crate) values: T,
}

/// A value for each slot up to the block's last, and anything where there is none.
impl<T: Copy + Default> Column<Vec<T>> {
    pub(crate) fn set(&mut self, slot: u16, value: T) {
        let index = usize::from(slot);
        if self.values.len() <= index {
            self.values.resize(index + 1, T::default());
        }
        self.values[index] = value;
        self.present.insert(slot);
    }

    pub(crate) fn cover(&mut self, slots: usize) {
        self.values.resize(slots, T::default());
        self.values.shrink_to_fit();
    }

    /// Takes each slot's value from the place it has in a patch.
    pub(crate) fn replace(&mut self, slots: &[u16], patch: &Self) {
        self.present.replace(slots, &patch.present);
        for (slot, value) in slots.iter().zip(&patch.values) {
            self.values[usize::from(*slot)] = *value;
        }
    }
}

impl Column<Bitset> {
    pub(crate) fn set(&mut self, slot: u16, value: bool) {
        if value {
            self.values.insert(slot);
        } else {
            self.values.remove(slot);
        }
        self.present.insert(slot);
    }

    pub(crate) fn replace(&mut self, slots: &[u16], patch: &Self) {
        self.present.replace(slots, &patch.present);
        self.values.replace(slots, &patch.values);
    }
}

impl Column<Texts> {
    pub(crate) fn set(&mut self, slot: u16, text: &str) {
        self.values.set(usize::from(slot), text);
        self.present.insert(slot);
    }

    pub(crate) fn cover(&mut self, slots: usize) {
        self.values.cover(slots);
    }

    pub(crate) fn replace(&mut self, slots: &[u16], patch: &Self) {
        self.present.replace(slots, &patch.present);
        let places = slots.iter().map(|slot| usize::from(*slot)).zip(0..);
        self.values.replace(places, &patch.values);
        self.values.forget_unused();
    }
}

impl Column<Times> {
    pub(crate) fn set(&mut self, slot: u16, micros: i64) {
        let index = usize::from(slot);
        if self.values.len() <= index {
            self.values.resize(index + 1);
        }
        self.values.set(index, micros);
        self.present.insert(slot);
    }

    pub(crate) fn cover(&mut self, slots: usize) {
        self.values.resize(slots);
        self.values.shrink();
    }

    pub(crate) fn replace(&mut self, slots: &[u16], patch: &Self) {
        self.present.replace(slots, &patch.present);
        for (place, slot) in (0..=u16::MAX).zip(slots) {
            if patch.present.contains(place) {
                self.values.set((*slot).into(), patch.values.get(place.into()));
            }
        }
    }
}

/// Sets of strings, inverted: the slots, ascending, of each string that is in any.
pub(crate) type TextSets = BTreeMap<Box<str>, Vec<u16>>;

impl Column<TextSets> {
    pub(crate) fn bytes(&self) -> usize {
        self.values.iter().map(|(text, slots)| text.len() + 2 * slots.capacity() + 40).sum()
    }

    /// `slots` ascend.
    pub(crate) fn replace(&mut self, slots: &[u16], patch: &Self) {
        for members in self.values.values_mut() {
            for slot in slots {
                if let Ok(index) = members.binary_search(slot) {
                    members.remove(index);
                }
            }
        }
        for (text, places) in &patch.values {
            let members = self.values.entry(text.clone()).or_default();
            for place in places {
                let slot = slots[usize::from(*place)];
                if let Err(index) = members.binary_search(&slot) {
                    members.insert(index, slot);
                }
            }
        }
        self.values.retain(|_, members| !members.is_empty());
        self.present.replace(slots, &patch.present);
    }
}
