//! What a rule means, written as plainly as possible and with no regard to cost.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use cursus_audience::{
    Aggregate, Behaviour, Deals, Filter, Literal, Operator, Order, Position, Rule, SUBSCRIPTIONS,
    Sequel,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A value as a contact, an event or a deal has it.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Text(String),
    Number(f64),
    Flag(bool),
    Time(i64),
    Texts(BTreeSet<String>),
}

pub(crate) type Values = BTreeMap<String, Stored>;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) time: i64,
    pub(crate) properties: Values,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Contact {
    pub(crate) id: String,
    pub(crate) attributes: Values,
    pub(crate) events: Vec<Event>,
    pub(crate) deals: Vec<Values>,
}

/// The rules of the workspace's segments.
pub(crate) type Segments = BTreeMap<String, Rule>;

pub(crate) fn holds(rule: &Rule, contact: &Contact, segments: &Segments, now: i64) -> bool {
    let value = |attribute: &str| contact.attributes.get(attribute);
    let contains = |attribute: &str, member: &String| matches!(value(attribute), Some(Stored::Texts(texts)) if texts.contains(member));
    match rule {
        Rule::All(rules) => rules.iter().all(|rule| holds(rule, contact, segments, now)),
        Rule::Any(rules) => rules.iter().any(|rule| holds(rule, contact, segments, now)),
        Rule::Not(rule) => !holds(rule, contact, segments, now),
        Rule::Has { attribute } => value(attribute).is_some(),
        Rule::Compare { attribute, operator, value: literal } => {
            value(attribute).is_some_and(|value| compares(value, *operator, literal))
        }
        Rule::In { attribute, values } => {
            value(attribute).is_some_and(|value| is_in(value, values))
        }
        Rule::Text { attribute, position, text } => {
            value(attribute).is_some_and(|value| matches(value, *position, text))
        }
        Rule::Contains { attribute, member } => contains(attribute, member),
        Rule::Age { attribute, operator, offset } => {
            value(attribute).is_some_and(|value| is_aged(value, *operator, *offset, now))
        }
        Rule::Behaviour(rule) => behaved(rule, contact, now),
        Rule::Deals(rule) => {
            let passes = |deal: &&Values| rule.filters.iter().all(|it| passes(it, deal, now));
            let counted = contact.deals.iter().filter(passes);
            aggregates(&rule.aggregate, counted, rule.operator, rule.value)
        }
        Rule::InSegment { segment } => holds(&segments[segment], contact, segments, now),
        Rule::Subscribed { topic } => contains(SUBSCRIPTIONS, topic),
        Rule::Bucket { salt, from, to } => (*from..*to).contains(&part(salt, &contact.id)),
    }
}

/// Of 53 bits of a hash of the id, a hash by the salt.
fn part(salt: &str, id: &str) -> u8 {
    #[expect(clippy::cast_precision_loss, reason = "11 bits are shifted out")]
    let key = (xxh3_64(id.as_bytes()) >> 11) as f64;
    let hash = xxh3_64_with_seed(&key.to_le_bytes(), xxh3_64(salt.as_bytes()));
    u8::try_from(hash % 100).expect("it is below 100")
}

fn behaved(rule: &Behaviour, contact: &Contact, now: i64) -> bool {
    let mut counted: Vec<&Event> = contact
        .events
        .iter()
        .filter(|event| event.name == rule.event)
        .filter(|event| rule.window.from.is_none_or(|from| event.time > now - micros(from)))
        .filter(|event| event.time <= now - micros(rule.window.to))
        .filter(|event| rule.filters.iter().all(|filter| passes(filter, &event.properties, now)))
        .filter(|event| {
            rule.order.as_ref().is_none_or(|order| is_ordered(order, event, contact, now))
        })
        .collect();
    counted.sort_by_key(|event| event.time);
    let counted = counted.iter().map(|event| &event.properties);
    aggregates(&rule.aggregate, counted, rule.operator, rule.value)
}

fn is_ordered(order: &Order, event: &Event, contact: &Contact, now: i64) -> bool {
    let end = event.time + micros(order.within);
    let follows =
        |other: &&Event| other.name == order.event && other.time > event.time && other.time <= end;
    let mut following = contact.events.iter().filter(follows);
    match order.sequel {
        Sequel::FollowedBy => following.any(|other| other.time <= now),
        Sequel::NotFollowedBy => end <= now && following.next().is_none(),
    }
}

fn aggregates<'a>(
    aggregate: &Aggregate,
    counted: impl Iterator<Item = &'a Values>,
    operator: Operator,
    value: f64,
) -> bool {
    let numbers = |property: &String, counted: &mut dyn Iterator<Item = &'a Values>| -> Vec<f64> {
        let number = |values: &'a Values| match values.get(property) {
            Some(Stored::Number(number)) => Some(*number),
            _ => None,
        };
        counted.filter_map(number).collect()
    };
    let mut counted = counted;
    let found = match aggregate {
        Aggregate::Count => Some(float(counted.count())),
        Aggregate::Sum(of) => Some(numbers(of, &mut counted).iter().fold(0.0, |sum, it| sum + it)),
        Aggregate::Min(of) => numbers(of, &mut counted).into_iter().reduce(f64::min),
        Aggregate::Max(of) => numbers(of, &mut counted).into_iter().reduce(f64::max),
        Aggregate::Average(of) => {
            let numbers = numbers(of, &mut counted);
            let sum = numbers.iter().fold(0.0, |sum, it| sum + it);
            (!numbers.is_empty()).then_some(sum / float(numbers.len()))
        }
    };
    found.is_some_and(|found| ordered(&found, operator, &value))
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("contacts are small"))
}

fn passes(filter: &Filter, properties: &Values, now: i64) -> bool {
    let (Filter::Has { property }
    | Filter::Compare { property, .. }
    | Filter::In { property, .. }
    | Filter::Text { property, .. }
    | Filter::Age { property, .. }) = filter;
    properties.get(property).is_some_and(|value| match filter {
        Filter::Has { .. } => true,
        Filter::Compare { operator, value: literal, .. } => compares(value, *operator, literal),
        Filter::In { values, .. } => is_in(value, values),
        Filter::Text { position, text, .. } => matches(value, *position, text),
        Filter::Age { operator, offset, .. } => is_aged(value, *operator, *offset, now),
    })
}

fn is_in(value: &Stored, values: &[Literal]) -> bool {
    values.iter().any(|literal| compares(value, Operator::Equal, literal))
}

fn matches(value: &Stored, position: Position, text: &str) -> bool {
    match (value, position) {
        (Stored::Text(value), Position::Anywhere) => value.contains(text),
        (Stored::Text(value), Position::Start) => value.starts_with(text),
        (Stored::Text(value), Position::End) => value.ends_with(text),
        _ => false,
    }
}

fn is_aged(value: &Stored, operator: Operator, offset: TimeDelta, now: i64) -> bool {
    matches!(value, Stored::Time(time) if ordered(time, operator, &(now + micros(offset))))
}

fn compares(value: &Stored, operator: Operator, literal: &Literal) -> bool {
    match (value, literal) {
        (Stored::Text(left), Literal::Text(right)) => ordered(left, operator, right),
        (Stored::Number(left), Literal::Number(right)) => ordered(left, operator, right),
        (Stored::Flag(left), Literal::Flag(right)) => ordered(left, operator, right),
        (Stored::Time(left), Literal::Time(right)) => {
            ordered(left, operator, &right.timestamp_micros())
        }
        _ => false,
    }
}

fn ordered<T: PartialOrd>(left: &T, operator: Operator, right: &T) -> bool {
    match operator {
        Operator::Equal => left == right,
        Operator::NotEqual => left != right,
        Operator::Less => left < right,
        Operator::LessOrEqual => left <= right,
        Operator::Greater => left > right,
        Operator::GreaterOrEqual => left >= right,
    }
}

pub(crate) fn micros(length: TimeDelta) -> i64 {
    length.num_microseconds().expect("lengths are short")
}

/// Every moment at which an answer may change: each time plus each length of the rule, and the moments beside it.
pub(crate) fn moments(
    rule: &Rule,
    segments: &Segments,
    contacts: &BTreeMap<u16, Contact>,
) -> BTreeSet<i64> {
    let mut lengths = BTreeSet::from([0]);
    collect_lengths(rule, segments, &mut lengths);
    let times: BTreeSet<i64> = contacts.values().flat_map(times).collect();
    times
        .iter()
        .flat_map(|time| lengths.iter().map(move |length| time + length))
        .flat_map(|moment| [moment - 1, moment, moment + 1])
        .collect()
}

fn times(contact: &Contact) -> Vec<i64> {
    let events = contact.events.iter();
    let properties = events.clone().map(|event| &event.properties).chain(&contact.deals);
    let values = properties.flat_map(BTreeMap::values).chain(contact.attributes.values());
    let times = values.filter_map(|value| match value {
        Stored::Time(time) => Some(*time),
        _ => None,
    });
    times.chain(events.map(|event| event.time)).collect()
}

fn collect_lengths(rule: &Rule, segments: &Segments, lengths: &mut BTreeSet<i64>) {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => {
            for rule in rules {
                collect_lengths(rule, segments, lengths);
            }
        }
        Rule::Not(rule) => collect_lengths(rule, segments, lengths),
        Rule::InSegment { segment } => collect_lengths(&segments[segment], segments, lengths),
        Rule::Age { offset, .. } => {
            lengths.insert(-micros(*offset));
        }
        Rule::Behaviour(Behaviour { window, order, filters, .. }) => {
            lengths.extend(window.from.map(micros));
            lengths.insert(micros(window.to));
            lengths.extend(order.as_ref().map(|order| micros(order.within)));
            lengths.extend(filters.iter().filter_map(offset));
        }
        Rule::Deals(Deals { filters, .. }) => lengths.extend(filters.iter().filter_map(offset)),
        _ => {}
    }
}

fn offset(filter: &Filter) -> Option<i64> {
    match filter {
        Filter::Age { offset, .. } => Some(-micros(*offset)),
        _ => None,
    }
}
