//! Loading a block, row by row, in any order.

use std::collections::BTreeMap;

use crate::bitset::Bitset;
use crate::block::{Attributes, Block};
use crate::column::{Column, TextSets};
use crate::events::{EventLoader, Properties};
use crate::mentions::{EventMention, Mentions};
use crate::schema::Kind;
use crate::texts::Texts;
use crate::window::within_horizon;

/// A value of an attribute, or of a property of an event, as stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Text(&'a str),
    /// As good as missing if it is not finite.
    Number(f64),
    Flag(bool),
    /// Microseconds since 1970.
    Time(i64),
    Texts(Vec<&'a str>),
}

/// A block under construction. What it was not asked to hold, and values of another kind than asked for, it drops.
#[derive(Debug)]
pub struct BlockBuilder {
    mentions: Mentions,
    live: Bitset,
    sets: BTreeMap<String, BTreeMap<u16, Vec<Box<str>>>>,
    attributes: Attributes,
    events: BTreeMap<String, EventLoader>,
    slots: usize,
    /// The slots that are loaded, ascending, if they are not all: each is built at its place among them.
    only: Option<Vec<u16>>,
}

impl BlockBuilder {
    /// Starts a block for plans with these mentions, which a loader may have [merged](Mentions::merge).
    pub fn new(wanted: Mentions) -> Self {
        let mut builder = Self {
            live: Bitset::new(),
            sets: BTreeMap::new(),
            attributes: Attributes::default(),
            events: wanted
                .events
                .iter()
                .map(|(name, wanted)| (name.clone(), loader(wanted)))
                .collect(),
            slots: 0,
            only: None,
            mentions: wanted,
        };
        for field in &builder.mentions.attributes {
            let name = field.name.clone();
            match field.kind {
                Kind::Text => drop(builder.attributes.texts.insert(name, Column::default())),
                Kind::Number => drop(builder.attributes.numbers.insert(name, Column::default())),
                Kind::Flag => drop(builder.attributes.flags.insert(name, Column::default())),
                Kind::Time => drop(builder.attributes.times.insert(name, Column::default())),
                Kind::TextSet => drop(builder.sets.insert(name, BTreeMap::new())),
            }
        }
        builder
    }

    /// Starts a block of a few slots, ascending, each of which stands at its place among them.
    pub(crate) fn only(wanted: Mentions, slots: Vec<u16>) -> Self {
        let count = slots.len();
        Self { only: Some(slots), slots: count, ..Self::new(wanted) }
    }

    /// Says that a contact exists. Whoever does not is in no segment, whatever else was loaded.
    pub fn live(&mut self, slot: u16) {
        if let Some(slot) = self.place(slot) {
            self.live.insert(slot);
        }
    }

    /// Sets an attribute of a contact; the last value of a kind counts.
    pub fn set(&mut self, slot: u16, attribute: &str, value: Value<'_>) {
        let Some(slot) = self.place(slot) else { return };
        match value {
            Value::Text(text) => {
                if let Some(column) = self.attributes.texts.get_mut(attribute) {
                    column.set(slot, text);
                }
            }
            Value::Number(number) => {
                if let Some(column) = self.attributes.numbers.get_mut(attribute)
                    && number.is_finite()
                {
                    column.set(slot, number);
                }
            }
            Value::Flag(flag) => {
                if let Some(column) = self.attributes.flags.get_mut(attribute) {
                    column.set(slot, flag);
                }
            }
            Value::Time(time) => {
                if let Some(column) = self.attributes.times.get_mut(attribute) {
                    column.set(slot, within_horizon(time));
                }
            }
            Value::Texts(texts) => {
                if let Some(sets) = self.sets.get_mut(attribute) {
                    sets.insert(slot, texts.into_iter().map(Into::into).collect());
                }
            }
        }
    }

    /// Adds an event of a contact; of its properties, the last value of a name and kind counts.
    pub fn event(&mut self, slot: u16, name: &str, time: i64, properties: &[(&str, Value<'_>)]) {
        let Some(slot) = self.place(slot) else { return };
        let Some(events) = self.events.get_mut(name) else { return };
        events.push(slot, within_horizon(time));
        let Properties { texts, numbers, flags, times, sets } = &mut events.properties;
        for (property, value) in properties {
            match value {
                Value::Text(text) => {
                    if let Some(texts) = texts.get_mut(*property) {
                        texts.set_last(text);
                    }
                }
                Value::Number(number) => {
                    if let Some(numbers) = numbers.get_mut(*property)
                        && number.is_finite()
                    {
                        replace_last(numbers, *number);
                    }
                }
                Value::Flag(flag) => {
                    if let Some(flags) = flags.get_mut(*property) {
                        replace_last(flags, Some(*flag));
                    }
                }
                Value::Time(time) => {
                    if let Some(times) = times.get_mut(*property) {
                        replace_last(times, within_horizon(*time));
                    }
                }
                Value::Texts(_) => {
                    if let Some(sets) = sets.get_mut(*property) {
                        replace_last(sets, true);
                    }
                }
            }
        }
    }

    /// The finished block.
    pub fn build(self) -> Block {
        // Whole words of the bitmaps, so that evaluation never meets a part of one.
        let slots = self.slots.next_multiple_of(64);
        let mut attributes = self.attributes;
        attributes.numbers.values_mut().for_each(|column| column.cover(slots));
        attributes.times.values_mut().for_each(|column| column.cover(slots));
        attributes.texts.values_mut().for_each(|column| column.cover(slots));
        attributes.sets =
            self.sets.into_iter().map(|(name, sets)| (name, inverted(sets))).collect();
        let events =
            self.events.into_iter().map(|(name, events)| (name, events.into_events(slots)));
        let events = events.collect();
        Block { mentions: self.mentions, live: self.live, slots, attributes, events }
    }

    /// Where a slot stands, if it is loaded.
    fn place(&mut self, slot: u16) -> Option<u16> {
        match &self.only {
            None => {
                self.slots = self.slots.max(usize::from(slot) + 1);
                Some(slot)
            }
            Some(only) => only.binary_search(&slot).ok().and_then(|place| place.try_into().ok()),
        }
    }
}

fn loader(wanted: &EventMention) -> EventLoader {
    let mut loader = EventLoader::default();
    for field in &wanted.properties {
        let name = field.name.clone();
        match field.kind {
            Kind::Text => drop(loader.properties.texts.insert(name, Texts::default())),
            Kind::Number => drop(loader.properties.numbers.insert(name, Vec::new())),
            Kind::Flag => drop(loader.properties.flags.insert(name, Vec::new())),
            Kind::Time => drop(loader.properties.times.insert(name, Vec::new())),
            Kind::TextSet => drop(loader.properties.sets.insert(name, Vec::new())),
        }
    }
    loader
}

fn replace_last<T>(values: &mut [T], value: T) {
    *values.last_mut().expect("the event was just added") = value;
}

fn inverted(sets: BTreeMap<u16, Vec<Box<str>>>) -> Column<TextSets> {
    let mut column = Column::<TextSets>::default();
    for (slot, members) in sets {
        column.present.insert(slot);
        for member in members {
            let slots = column.values.entry(member).or_default();
            // A set may have been given with a member twice.
            if slots.last() != Some(&slot) {
                slots.push(slot);
            }
        }
    }
    column
}
