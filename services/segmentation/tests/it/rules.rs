//! Rules, written shortly.

use cursus_api::segmentation as proto;
use proto::Operator;
use proto::property_condition;
use proto::rule::Kind;

const DAY: i64 = 86_400;

fn rule(kind: Kind) -> proto::Rule {
    proto::Rule { kind: Some(kind) }
}

pub(crate) fn all(rules: Vec<proto::Rule>) -> proto::Rule {
    rule(Kind::All(proto::All { rules }))
}

pub(crate) fn any(rules: Vec<proto::Rule>) -> proto::Rule {
    rule(Kind::Any(proto::Any { rules }))
}

pub(crate) fn not(operand: proto::Rule) -> proto::Rule {
    rule(Kind::Not(Box::new(operand)))
}

pub(crate) fn has(attribute: &str) -> proto::Rule {
    rule(Kind::Has(attribute.to_owned()))
}

pub(crate) fn compare(attribute: &str, operator: Operator, value: proto::Value) -> proto::Rule {
    rule(Kind::Comparison(proto::Comparison {
        attribute: attribute.to_owned(),
        operator: operator.into(),
        value: Some(value),
    }))
}

pub(crate) fn is(attribute: &str, value: proto::Value) -> proto::Rule {
    compare(attribute, Operator::Equal, value)
}

pub(crate) fn contains(attribute: &str, member: &str) -> proto::Rule {
    rule(Kind::Contains(proto::SetContains {
        attribute: attribute.to_owned(),
        member: member.to_owned(),
    }))
}

/// The attribute is more than so many days in the past.
pub(crate) fn older(attribute: &str, days: i64) -> proto::Rule {
    rule(Kind::Age(proto::AgeComparison {
        attribute: attribute.to_owned(),
        operator: Operator::Less.into(),
        offset: Some(prost_types::Duration { seconds: -days * DAY, nanos: 0 }),
    }))
}

/// At least so many events within the last days.
pub(crate) fn did(event: &str, days: Option<i64>, at_least: u32) -> proto::Rule {
    rule(Kind::Behaviour(proto::Behaviour {
        event: event.to_owned(),
        from: days.map(|days| prost_types::Duration { seconds: days * DAY, nanos: 0 }),
        aggregate: proto::behaviour::Aggregate::Count.into(),
        operator: Operator::GreaterOrEqual.into(),
        value: at_least.into(),
        ..proto::Behaviour::default()
    }))
}

/// The sum of a property over all events with another property is at least so much.
pub(crate) fn summed(
    event: &str,
    property: &str,
    (filter, value): (&str, proto::Value),
    at_least: f64,
) -> proto::Rule {
    rule(Kind::Behaviour(proto::Behaviour {
        event: event.to_owned(),
        r#where: vec![proto::PropertyComparison {
            property: filter.to_owned(),
            operator: Operator::Equal.into(),
            value: Some(value),
        }],
        aggregate: proto::behaviour::Aggregate::Sum.into(),
        property: property.to_owned(),
        operator: Operator::GreaterOrEqual.into(),
        value: at_least,
        ..proto::Behaviour::default()
    }))
}

/// There is a deal of which all of this is true.
pub(crate) fn deals_exist(conditions: Vec<proto::PropertyCondition>) -> proto::Rule {
    rule(Kind::Deals(proto::Deals {
        conditions,
        aggregate: proto::behaviour::Aggregate::Count.into(),
        operator: Operator::GreaterOrEqual.into(),
        value: 1.0,
        ..proto::Deals::default()
    }))
}

/// The sum of a property over all deals is at least so much.
pub(crate) fn deals_sum(property: &str, at_least: f64) -> proto::Rule {
    rule(Kind::Deals(proto::Deals {
        aggregate: proto::behaviour::Aggregate::Sum.into(),
        property: property.to_owned(),
        operator: Operator::GreaterOrEqual.into(),
        value: at_least,
        ..proto::Deals::default()
    }))
}

pub(crate) fn property_is(property: &str, value: proto::Value) -> proto::PropertyCondition {
    property_compare(property, Operator::Equal, value)
}

pub(crate) fn property_compare(
    property: &str,
    operator: Operator,
    value: proto::Value,
) -> proto::PropertyCondition {
    let comparison = proto::ValueComparison { operator: operator.into(), value: Some(value) };
    property_that(property, property_condition::Kind::Comparison(comparison))
}

/// The property is a time before so long from now.
pub(crate) fn property_before(
    property: &str,
    from_now: chrono::TimeDelta,
) -> proto::PropertyCondition {
    let offset = prost_types::Duration { seconds: from_now.num_seconds(), nanos: 0 };
    let age = proto::MomentComparison { operator: Operator::Less.into(), offset: Some(offset) };
    property_that(property, property_condition::Kind::Age(age))
}

fn property_that(property: &str, kind: property_condition::Kind) -> proto::PropertyCondition {
    proto::PropertyCondition { property: property.to_owned(), kind: Some(kind) }
}
