//! Up to 65,536 contacts as columns: what a plan is evaluated over.

use std::collections::BTreeMap;

use crate::bitset::Bitset;
use crate::column::{Column, TextSets};
use crate::events::Events;
use crate::mentions::{Field, Mentions};
use crate::schema::Kind;
use crate::texts::Texts;
use crate::times::Times;

/// The columns of one block of contacts, made by a [`BlockBuilder`](crate::BlockBuilder).
///
/// It may stay in memory: [patches](crate::Patch) [replace](Self::replace) contacts that changed, and when plans come
/// and go it [absorbs](Self::absorb) columns and [forgets](Self::forget) them.
#[derive(Debug)]
pub struct Block {
    pub(crate) mentions: Mentions,
    pub(crate) live: Bitset,
    /// How many slots the columns have: whole words of bits.
    pub(crate) slots: usize,
    pub(crate) attributes: Attributes,
    pub(crate) events: BTreeMap<String, Events>,
}

/// Columns by the kind of their values, then by name; one name may have values of several kinds.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) texts: BTreeMap<String, Column<Texts>>,
    pub(crate) numbers: BTreeMap<String, Column<Vec<f64>>>,
    pub(crate) flags: BTreeMap<String, Column<Bitset>>,
    pub(crate) times: BTreeMap<String, Column<Times>>,
    pub(crate) sets: BTreeMap<String, Column<TextSets>>,
}

impl Block {
    /// The slots whose contacts exist.
    pub fn live(&self) -> &Bitset {
        &self.live
    }

    /// What it was loaded for: it answers any plan whose mentions these cover.
    pub fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// Takes in the columns of another block, which was loaded for the same contacts as of the same moment. Where both
    /// have one, the other's stays: it was loaded for more, as [`Mentions::missing`] says.
    pub fn absorb(&mut self, mut other: Self) {
        let slots = self.slots.max(other.slots);
        self.cover(slots);
        other.cover(slots);
        self.mentions.merge(&other.mentions);
        self.live |= &other.live;
        let (ours, theirs) = (&mut self.attributes, other.attributes);
        ours.texts.extend(theirs.texts);
        ours.numbers.extend(theirs.numbers);
        ours.flags.extend(theirs.flags);
        ours.times.extend(theirs.times);
        ours.sets.extend(theirs.sets);
        self.events.extend(other.events);
    }

    /// Drops what plans with these mentions do not read.
    pub fn forget(&mut self, still: &Mentions) {
        self.mentions.keep(still);
        let Mentions { attributes, events } = &self.mentions;
        let has = |name: &String, kind| attributes.contains(&Field { name: name.clone(), kind });
        let ours = &mut self.attributes;
        ours.texts.retain(|name, _| has(name, Kind::Text));
        ours.numbers.retain(|name, _| has(name, Kind::Number));
        ours.flags.retain(|name, _| has(name, Kind::Flag));
        ours.times.retain(|name, _| has(name, Kind::Time));
        ours.sets.retain(|name, _| has(name, Kind::TextSet));
        self.events.retain(|name, _| events.contains_key(name));
        for (name, column) in &mut self.events {
            let read = &events[name].properties;
            let has = |name: &String, kind| read.contains(&Field { name: name.clone(), kind });
            column.properties.texts.retain(|name, _| has(name, Kind::Text));
            column.properties.numbers.retain(|name, _| has(name, Kind::Number));
            column.properties.flags.retain(|name, _| has(name, Kind::Flag));
            column.properties.times.retain(|name, _| has(name, Kind::Time));
            column.properties.sets.retain(|name, _| has(name, Kind::TextSet));
        }
    }

    /// Roughly how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let Attributes { texts, numbers, flags, times, sets } = &self.attributes;
        let columns = texts.len() + numbers.len() + flags.len() + times.len() + sets.len();
        let bitsets = size_of_val(self.live.words()) * (1 + columns + flags.len());
        bitsets
            + 8 * self.slots * numbers.len()
            + times.values().map(|column| column.values.bytes()).sum::<usize>()
            + texts.values().map(|column| column.values.bytes()).sum::<usize>()
            + sets.values().map(Column::bytes).sum::<usize>()
            + self.events.values().map(Events::bytes).sum::<usize>()
    }

    /// Makes room in every column.
    pub(crate) fn cover(&mut self, slots: usize) {
        if slots <= self.slots {
            return;
        }
        self.slots = slots;
        let ours = &mut self.attributes;
        ours.texts.values_mut().for_each(|column| column.cover(slots));
        ours.numbers.values_mut().for_each(|column| column.cover(slots));
        ours.times.values_mut().for_each(|column| column.cover(slots));
        self.events.values_mut().for_each(|events| events.cover(slots));
    }

    pub(crate) fn present(&self, field: &Field) -> &Bitset {
        let name = &field.name;
        match field.kind {
            Kind::Text => &loaded(&self.attributes.texts, name).present,
            Kind::Number => &loaded(&self.attributes.numbers, name).present,
            Kind::Flag => &loaded(&self.attributes.flags, name).present,
            Kind::Time => &loaded(&self.attributes.times, name).present,
            Kind::TextSet => &loaded(&self.attributes.sets, name).present,
        }
    }
}

/// A column that a plan reads. Without it every answer would be silently wrong, so that is worth a panic.
pub(crate) fn loaded<'a, T>(columns: &'a BTreeMap<String, T>, name: &str) -> &'a T {
    columns.get(name).unwrap_or_else(|| panic!("the block was loaded without `{name}`"))
}
