//! What a rule means, written as plainly as possible and with no regard to cost.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use cursus_audience::{Aggregate, Behaviour, Filter, Literal, Operator, Position, Rule};

/// A value as a contact or an event has it.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Text(String),
    Number(f64),
    Flag(bool),
    Time(i64),
    Texts(BTreeSet<String>),
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) time: i64,
    pub(crate) properties: BTreeMap<String, Stored>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Contact {
    pub(crate) attributes: BTreeMap<String, Stored>,
    pub(crate) events: Vec<Event>,
}

pub(crate) fn holds(rule: &Rule, contact: &Contact, now: i64) -> bool {
    let value = |attribute: &String| contact.attributes.get(attribute);
    match rule {
        Rule::All(rules) => rules.iter().all(|rule| holds(rule, contact, now)),
        Rule::Any(rules) => rules.iter().any(|rule| holds(rule, contact, now)),
        Rule::Not(rule) => !holds(rule, contact, now),
        Rule::Has { attribute } => value(attribute).is_some(),
        Rule::Compare { attribute, operator, value: literal } => {
            value(attribute).is_some_and(|value| compares(value, *operator, literal))
        }
        Rule::In { attribute, values } => value(attribute).is_some_and(|value| {
            values.iter().any(|literal| compares(value, Operator::Equal, literal))
        }),
        Rule::Text { attribute, position, text } => match (value(attribute), position) {
            (Some(Stored::Text(value)), Position::Anywhere) => value.contains(text),
            (Some(Stored::Text(value)), Position::Start) => value.starts_with(text),
            (Some(Stored::Text(value)), Position::End) => value.ends_with(text),
            _ => false,
        },
        Rule::Contains { attribute, member } => {
            matches!(value(attribute), Some(Stored::Texts(texts)) if texts.contains(member))
        }
        Rule::Age { attribute, operator, offset } => match value(attribute) {
            Some(Stored::Time(time)) => ordered(time, *operator, &(now + micros(*offset))),
            _ => false,
        },
        Rule::Behaviour(rule) => behaved(rule, contact, now),
    }
}

fn behaved(rule: &Behaviour, contact: &Contact, now: i64) -> bool {
    let mut counted: Vec<&Event> = contact
        .events
        .iter()
        .filter(|event| event.name == rule.event)
        .filter(|event| rule.window.from.is_none_or(|from| event.time > now - micros(from)))
        .filter(|event| event.time <= now - micros(rule.window.to))
        .filter(|event| rule.filters.iter().all(|filter| passes(filter, event)))
        .collect();
    counted.sort_by_key(|event| event.time);
    let mut result = 0.0;
    for event in counted {
        result += match &rule.aggregate {
            Aggregate::Count => 1.0,
            Aggregate::Sum(property) => match event.properties.get(property) {
                Some(Stored::Number(number)) => *number,
                _ => 0.0,
            },
        };
    }
    ordered(&result, rule.operator, &rule.value)
}

fn passes(filter: &Filter, event: &Event) -> bool {
    let value = event.properties.get(&filter.property);
    value.is_some_and(|value| compares(value, filter.operator, &filter.value))
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
pub(crate) fn moments(rule: &Rule, contacts: &BTreeMap<u16, Contact>) -> BTreeSet<i64> {
    let mut lengths = BTreeSet::from([0]);
    collect_lengths(rule, &mut lengths);
    let times: BTreeSet<i64> = contacts
        .values()
        .flat_map(|contact| {
            let attributes = contact.attributes.values().filter_map(|value| match value {
                Stored::Time(time) => Some(*time),
                _ => None,
            });
            attributes.chain(contact.events.iter().map(|event| event.time)).collect::<Vec<_>>()
        })
        .collect();
    times
        .iter()
        .flat_map(|time| lengths.iter().map(move |length| time + length))
        .flat_map(|moment| [moment - 1, moment, moment + 1])
        .collect()
}

fn collect_lengths(rule: &Rule, lengths: &mut BTreeSet<i64>) {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => {
            for rule in rules {
                collect_lengths(rule, lengths);
            }
        }
        Rule::Not(rule) => collect_lengths(rule, lengths),
        Rule::Age { offset, .. } => {
            lengths.insert(-micros(*offset));
        }
        Rule::Behaviour(behaviour) => {
            lengths.extend(behaviour.window.from.map(micros));
            lengths.insert(micros(behaviour.window.to));
        }
        _ => {}
    }
}
