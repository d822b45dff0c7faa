//! Random workspaces, contacts and clocks. Domains are small, so that values, edges of windows and moments collide
//! all the time.

use std::collections::BTreeMap;

use cursus_audience::{
    BUCKET_KEY, Block, BlockBuilder, DEALS, Kind, Mentions, Rule, SUBSCRIPTIONS, Schema, Value,
    bucket_key,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::oracle::{self, Contact, Event, Segments, Stored, Values};
use crate::rules::rules;

pub(crate) const SECOND: i64 = 1_000_000;

pub(crate) const EVENTS: [&str; 2] = ["login", "purchase"];
pub(crate) const PROPERTIES: [&str; 2] = ["amount", "actor"];
pub(crate) const DEAL_PROPERTIES: [(&str, Kind); 5] = [
    ("amount", Kind::Number),
    ("close_time", Kind::Time),
    ("partners", Kind::TextSet),
    ("stage", Kind::Text),
    ("won", Kind::Flag),
];
const TEXTS: [&str; 6] = ["", "a", "ab", "ba", "DE", "größe"];
const NUMBERS: [f64; 8] = [-1.0, -0.0, 0.0, 0.1, 0.2, 1.0, 2.0, 1e300];

/// A workspace with contacts, and a rule about them.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) attributes: BTreeMap<String, Kind>,
    pub(crate) segments: Segments,
    pub(crate) contacts: BTreeMap<u16, Contact>,
    pub(crate) rule: Rule,
}

impl World {
    pub(crate) fn schema(&self) -> Schema {
        let reserved =
            [(BUCKET_KEY.to_owned(), Kind::Number), (SUBSCRIPTIONS.to_owned(), Kind::TextSet)];
        Schema::new(self.attributes.clone().into_iter().chain(reserved), EVENTS.map(str::to_owned))
            .with_deals(DEAL_PROPERTIES.map(|(name, kind)| (name.to_owned(), kind)))
            .with_segments(self.segments.clone())
    }

    pub(crate) fn holds(&self, rule: &Rule, contact: &Contact, now: i64) -> bool {
        oracle::holds(rule, contact, &self.segments, now)
    }

    pub(crate) fn moments(&self) -> std::collections::BTreeSet<i64> {
        oracle::moments(&self.rule, &self.segments, &self.contacts)
    }
}

/// Three segments, of which each may refer to those before it, and a rule that may refer to all.
pub(crate) fn worlds() -> impl Strategy<Value = World> {
    vec((kinds(), any::<bool>()), 1..6).prop_flat_map(|kinds| {
        let named = |(index, (kind, of_account)): (usize, (Kind, bool))| {
            let name = if of_account { format!("account.a{index}") } else { format!("a{index}") };
            (name, kind)
        };
        let attributes: BTreeMap<String, Kind> = kinds.into_iter().enumerate().map(named).collect();
        let contacts = btree_map(slots(), contacts(attributes.clone()), 0..8);
        let rules = (
            rules(&attributes, &[]),
            rules(&attributes, &["s0"]),
            rules(&attributes, &["s0", "s1"]),
            rules(&attributes, &["s0", "s1", "s2"]),
        );
        (contacts, rules).prop_map(move |(contacts, (s0, s1, s2, rule))| {
            let segments = [("s0", s0), ("s1", s1), ("s2", s2)];
            World {
                attributes: attributes.clone(),
                segments: segments.map(|(id, rule)| (id.to_owned(), rule)).into(),
                contacts,
                rule,
            }
        })
    })
}

pub(crate) fn clocks() -> impl Strategy<Value = i64> {
    times()
}

/// Loads contacts in an order that is not sorted: attributes first, then events backwards.
pub(crate) fn load(contacts: &BTreeMap<u16, Contact>, wanted: &Mentions) -> Block {
    let mut builder = BlockBuilder::new(wanted.clone());
    load_rows(contacts, &mut builder);
    builder.build()
}

pub(crate) fn load_rows(contacts: &BTreeMap<u16, Contact>, builder: &mut BlockBuilder) {
    for (slot, contact) in contacts {
        builder.live(*slot);
        builder.set(*slot, BUCKET_KEY, Value::Number(bucket_key(&contact.id)));
        for (name, value) in &contact.attributes {
            builder.set(*slot, name, borrowed(value));
        }
        for deal in &contact.deals {
            builder.event(*slot, DEALS, i64::from(*slot) * SECOND, &all_borrowed(deal));
        }
    }
    for (slot, contact) in contacts.iter().rev() {
        for event in &contact.events {
            builder.event(*slot, &event.name, event.time, &all_borrowed(&event.properties));
        }
    }
}

/// Moves every time to a whole second that a narrow column can hold.
pub(crate) fn whole_seconds(world: &mut World) {
    let whole = |time: &mut i64| *time = (*time).div_euclid(SECOND).max(1) * SECOND;
    for contact in world.contacts.values_mut() {
        contact.events.iter_mut().for_each(|event| whole(&mut event.time));
        for value in contact.attributes.values_mut() {
            if let Stored::Time(time) = value {
                whole(time);
            }
        }
    }
}

fn all_borrowed(values: &Values) -> Vec<(&str, Value<'_>)> {
    values.iter().map(|(name, value)| (name.as_str(), borrowed(value))).collect()
}

fn borrowed(value: &Stored) -> Value<'_> {
    match value {
        Stored::Text(text) => Value::Text(text),
        Stored::Number(number) => Value::Number(*number),
        Stored::Flag(flag) => Value::Flag(*flag),
        Stored::Time(time) => Value::Time(*time),
        Stored::Texts(texts) => Value::Texts(texts.iter().map(String::as_str).collect()),
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    select(&[Kind::Text, Kind::Number, Kind::Flag, Kind::Time, Kind::TextSet][..])
}

/// Nearly always in the first words; now and then at the end of the block.
fn slots() -> impl Strategy<Value = u16> {
    prop_oneof![40 => 0_u16..200, 1 => 65_530..=u16::MAX]
}

pub(crate) fn texts() -> impl Strategy<Value = String> {
    select(&TEXTS[..]).prop_map(str::to_owned)
}

pub(crate) fn numbers() -> impl Strategy<Value = f64> {
    select(&NUMBERS[..])
}

/// On a second, or a microsecond beside one.
pub(crate) fn times() -> impl Strategy<Value = i64> {
    (-5_i64..30, prop_oneof![3 => Just(0), 1 => -1_i64..=1])
        .prop_map(|(second, beside)| second * SECOND + beside)
}

fn contacts(attributes: BTreeMap<String, Kind>) -> impl Strategy<Value = Contact> {
    let subscriptions = (SUBSCRIPTIONS.to_owned(), Kind::TextSet);
    let attributes = values(attributes.into_iter().chain([subscriptions]));
    let deals = values(DEAL_PROPERTIES.map(|(name, kind)| (name.to_owned(), kind)));
    (any::<u32>(), attributes, vec(events(), 0..8), vec(deals, 0..4)).prop_map(
        |(id, attributes, events, deals)| Contact { id: id.to_string(), attributes, events, deals },
    )
}

/// Most of the names have a value, and of the kind they should.
fn values(kinds: impl IntoIterator<Item = (String, Kind)>) -> impl Strategy<Value = Values> {
    let value = |(name, kind): (String, Kind)| {
        option::weighted(0.8, stored(kind)).prop_map(move |value| (name.clone(), value))
    };
    let values: Vec<_> = kinds.into_iter().map(value).collect();
    values.prop_map(|values| {
        values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    })
}

fn stored(kind: Kind) -> BoxedStrategy<Stored> {
    match kind {
        Kind::Text => texts().prop_map(Stored::Text).boxed(),
        Kind::Number => numbers().prop_map(Stored::Number).boxed(),
        Kind::Flag => any::<bool>().prop_map(Stored::Flag).boxed(),
        Kind::Time => times().prop_map(Stored::Time).boxed(),
        Kind::TextSet => btree_set(texts(), 0..3).prop_map(Stored::Texts).boxed(),
    }
}

fn events() -> impl Strategy<Value = Event> {
    // Properties of events have no declared kind: any may hold anything.
    let property = kinds().prop_flat_map(stored);
    let properties = btree_map(select(&PROPERTIES[..]).prop_map(str::to_owned), property, 0..3);
    (select(&EVENTS[..]), times(), properties).prop_map(|(name, time, properties)| Event {
        name: name.to_owned(),
        time,
        properties,
    })
}
