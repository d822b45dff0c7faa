//! Random schemas, contacts, rules and clocks. Domains are small, so that values, edges of windows and moments
//! collide all the time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use cursus_audience::{
    Aggregate, Behaviour, Block, BlockBuilder, Filter, Kind, Literal, Mentions, Operator, Position,
    Rule, Schema, Value, Window,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::oracle::{Contact, Event, Stored};

pub(crate) const SECOND: i64 = 1_000_000;

const EVENTS: [&str; 2] = ["login", "purchase"];
const PROPERTIES: [&str; 2] = ["amount", "actor"];
const TEXTS: [&str; 6] = ["", "a", "ab", "ba", "DE", "größe"];
const NUMBERS: [f64; 8] = [-1.0, -0.0, 0.0, 0.1, 0.2, 1.0, 2.0, 1e300];

/// A workspace with contacts, and a rule about them.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) schema: BTreeMap<String, Kind>,
    pub(crate) contacts: BTreeMap<u16, Contact>,
    pub(crate) rule: Rule,
}

impl World {
    pub(crate) fn schema(&self) -> Schema {
        Schema::new(self.schema.clone(), EVENTS.map(str::to_owned))
    }
}

pub(crate) fn worlds() -> impl Strategy<Value = World> {
    vec(kinds(), 1..6).prop_flat_map(|kinds| {
        let schema: BTreeMap<String, Kind> =
            kinds.into_iter().enumerate().map(|(i, kind)| (format!("a{i}"), kind)).collect();
        let contacts = btree_map(slots(), contacts(schema.clone()), 0..8);
        (contacts, rules(&schema)).prop_map(move |(contacts, rule)| World {
            schema: schema.clone(),
            contacts,
            rule,
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
        for (name, value) in &contact.attributes {
            builder.set(*slot, name, borrowed(value));
        }
    }
    for (slot, contact) in contacts.iter().rev() {
        for event in &contact.events {
            let properties: Vec<(&str, Value<'_>)> = event
                .properties
                .iter()
                .map(|(name, value)| (name.as_str(), borrowed(value)))
                .collect();
            builder.event(*slot, &event.name, event.time, &properties);
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

fn texts() -> impl Strategy<Value = String> {
    select(&TEXTS[..]).prop_map(str::to_owned)
}

fn numbers() -> impl Strategy<Value = f64> {
    select(&NUMBERS[..])
}

/// On a second, or a microsecond beside one.
fn times() -> impl Strategy<Value = i64> {
    (-5_i64..30, prop_oneof![3 => Just(0), 1 => -1_i64..=1])
        .prop_map(|(second, beside)| second * SECOND + beside)
}

fn contacts(schema: BTreeMap<String, Kind>) -> impl Strategy<Value = Contact> {
    let attributes: Vec<_> = schema
        .into_iter()
        .map(|(name, kind)| {
            option::weighted(0.8, stored(kind)).prop_map(move |value| (name.clone(), value))
        })
        .collect();
    (attributes, vec(events(), 0..8)).prop_map(|(attributes, events)| Contact {
        attributes: attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        events,
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
    // Properties have no declared kind: any may hold anything.
    let property = prop_oneof![stored(Kind::Number), stored(Kind::Text), stored(Kind::Flag)];
    let properties = btree_map(select(&PROPERTIES[..]).prop_map(str::to_owned), property, 0..3);
    (select(&EVENTS[..]), times(), properties).prop_map(|(name, time, properties)| Event {
        name: name.to_owned(),
        time,
        properties,
    })
}

fn operators() -> impl Strategy<Value = Operator> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    select(&[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual][..])
}

fn equality() -> impl Strategy<Value = Operator> {
    select(&[Operator::Equal, Operator::NotEqual][..])
}

pub(crate) fn rules(schema: &BTreeMap<String, Kind>) -> impl Strategy<Value = Rule> + use<> {
    let attributes: Vec<_> =
        schema.iter().map(|(name, kind)| attribute_rules(name, *kind)).collect();
    let attribute = proptest::strategy::Union::new(attributes);
    let leaf = prop_oneof![2 => attribute, 3 => behaviours()];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Rule::All),
            vec(inner.clone(), 0..4).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::Not(Box::new(rule))),
        ]
    })
}

fn attribute_rules(attribute: &str, kind: Kind) -> BoxedStrategy<Rule> {
    let has = Just(Rule::Has { attribute: attribute.to_owned() });
    let specific = match kind {
        Kind::Text => prop_oneof![
            compare(attribute, operators(), texts().prop_map(Literal::Text)),
            list(attribute, texts().prop_map(Literal::Text)),
            text_match(attribute),
        ]
        .boxed(),
        Kind::Number => prop_oneof![
            compare(attribute, operators(), numbers().prop_map(Literal::Number)),
            list(attribute, numbers().prop_map(Literal::Number)),
        ]
        .boxed(),
        Kind::Flag => compare(attribute, equality(), any::<bool>().prop_map(Literal::Flag)).boxed(),
        Kind::Time => {
            prop_oneof![compare(attribute, operators(), times().prop_map(time)), age(attribute)]
                .boxed()
        }
        Kind::TextSet => {
            let attribute = attribute.to_owned();
            texts()
                .prop_map(move |member| Rule::Contains { attribute: attribute.clone(), member })
                .boxed()
        }
    };
    prop_oneof![1 => has, 4 => specific].boxed()
}

fn time(micros: i64) -> Literal {
    Literal::Time(DateTime::from_timestamp_micros(micros).expect("it is near 1970"))
}

fn compare(
    attribute: &str,
    operators: impl Strategy<Value = Operator> + 'static,
    literals: impl Strategy<Value = Literal> + 'static,
) -> BoxedStrategy<Rule> {
    let attribute = attribute.to_owned();
    (operators, literals)
        .prop_map(move |(operator, value)| Rule::Compare {
            attribute: attribute.clone(),
            operator,
            value,
        })
        .boxed()
}

fn list(
    attribute: &str,
    literals: impl Strategy<Value = Literal> + 'static,
) -> BoxedStrategy<Rule> {
    let attribute = attribute.to_owned();
    vec(literals, 1..4)
        .prop_map(move |values| Rule::In { attribute: attribute.clone(), values })
        .boxed()
}

fn text_match(attribute: &str) -> impl Strategy<Value = Rule> + use<> {
    let attribute = attribute.to_owned();
    let positions = select(&[Position::Anywhere, Position::Start, Position::End][..]);
    (positions, texts()).prop_map(move |(position, text)| Rule::Text {
        attribute: attribute.clone(),
        position,
        text,
    })
}

fn age(attribute: &str) -> impl Strategy<Value = Rule> + use<> {
    let attribute = attribute.to_owned();
    (operators(), -10_i64..=10).prop_map(move |(operator, seconds)| Rule::Age {
        attribute: attribute.clone(),
        operator,
        offset: TimeDelta::seconds(seconds),
    })
}

fn behaviours() -> impl Strategy<Value = Rule> {
    let counts = (0_u8..5).prop_map(|count| (Aggregate::Count, f64::from(count)));
    let sums = numbers().prop_map(|value| (Aggregate::Sum("amount".to_owned()), value));
    let aggregates = prop_oneof![3 => counts, 1 => sums];
    (select(&EVENTS[..]), vec(filters(), 0..3), windows(), aggregates, operators()).prop_map(
        |(event, filters, window, (aggregate, value), operator)| {
            let event = event.to_owned();
            Rule::Behaviour(Behaviour { event, filters, window, aggregate, operator, value })
        },
    )
}

fn filters() -> impl Strategy<Value = Filter> {
    let tests = prop_oneof![
        (operators(), numbers().prop_map(Literal::Number)),
        (operators(), texts().prop_map(Literal::Text)),
        (equality(), any::<bool>().prop_map(Literal::Flag)),
    ];
    (select(&PROPERTIES[..]), tests).prop_map(|(property, (operator, value))| Filter {
        property: property.to_owned(),
        operator,
        value,
    })
}

fn windows() -> impl Strategy<Value = Window> {
    (1_i64..12, 0_i64..8, 0..4).prop_map(|(length, to, shape)| {
        let to = TimeDelta::seconds(to);
        let length = TimeDelta::seconds(length);
        match shape {
            0 => Window::EVER,
            1 => Window { from: None, to },
            2 => Window::within(length),
            _ => Window::between(to + length, to),
        }
    })
}
