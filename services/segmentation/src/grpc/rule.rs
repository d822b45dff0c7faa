//! The contract's rules, which are also what is stored, and the engine's.
//!
//! A rule is as deep as prost decodes, which bounds the recursion here; the engine's limits are tighter.

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::segmentation as proto;
use cursus_audience::{
    Aggregate, Behaviour, Filter, Literal, Operator, Position, Rule, RuleError, Window,
};
use prost::Message;

use crate::error::Error;

/// A rule as it is stored.
pub(crate) fn to_bytes(rule: &Rule) -> Vec<u8> {
    encode(rule).encode_to_vec()
}

/// A stored rule.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Rule, Error> {
    let stored = proto::Rule::decode(bytes).map_err(|_| Error::Corrupt("rule"))?;
    decode(stored, "rule").map_err(|_| Error::Corrupt("rule"))
}

/// Reads what a client sent. `path` names the rule in errors.
pub(crate) fn decode(rule: proto::Rule, path: &str) -> Result<Rule, RuleError> {
    use proto::rule::Kind;
    let Some(kind) = rule.kind else { return Err(unset(path, "a condition")) };
    Ok(match kind {
        Kind::All(all) => Rule::All(decode_many(all.rules, &format!("{path}.all"))?),
        Kind::Any(any) => Rule::Any(decode_many(any.rules, &format!("{path}.any"))?),
        Kind::Not(operand) => Rule::Not(Box::new(decode(*operand, &format!("{path}.not"))?)),
        Kind::Has(attribute) => Rule::Has { attribute },
        Kind::Comparison(comparison) => Rule::Compare {
            operator: operator(comparison.operator, path)?,
            value: literal(comparison.value, &format!("{path}.value"))?,
            attribute: comparison.attribute,
        },
        Kind::Membership(membership) => Rule::In {
            attribute: membership.attribute,
            values: membership
                .values
                .into_iter()
                .enumerate()
                .map(|(index, value)| literal(Some(value), &format!("{path}.values[{index}]")))
                .collect::<Result<_, _>>()?,
        },
        Kind::Text(text) => Rule::Text {
            position: position(text.position, path)?,
            attribute: text.attribute,
            text: text.text,
        },
        Kind::Contains(contains) => {
            Rule::Contains { attribute: contains.attribute, member: contains.member }
        }
        Kind::Age(age) => Rule::Age {
            operator: operator(age.operator, path)?,
            offset: duration(age.offset, &format!("{path}.offset"))?
                .ok_or_else(|| unset(&format!("{path}.offset"), "a duration"))?,
            attribute: age.attribute,
        },
        Kind::Behaviour(behaviour) => Rule::Behaviour(decode_behaviour(behaviour, path)?),
    })
}

/// Writes a rule for a client, or for storage.
pub(crate) fn encode(rule: &Rule) -> proto::Rule {
    use proto::rule::Kind;
    let kind = match rule {
        Rule::All(rules) => Kind::All(proto::All { rules: rules.iter().map(encode).collect() }),
        Rule::Any(rules) => Kind::Any(proto::Any { rules: rules.iter().map(encode).collect() }),
        Rule::Not(operand) => Kind::Not(Box::new(encode(operand))),
        Rule::Has { attribute } => Kind::Has(attribute.clone()),
        Rule::Compare { attribute, operator, value } => Kind::Comparison(proto::Comparison {
            attribute: attribute.clone(),
            operator: encode_operator(*operator).into(),
            value: Some(encode_literal(value)),
        }),
        Rule::In { attribute, values } => Kind::Membership(proto::Membership {
            attribute: attribute.clone(),
            values: values.iter().map(encode_literal).collect(),
        }),
        Rule::Text { attribute, position, text } => Kind::Text(proto::TextMatch {
            attribute: attribute.clone(),
            position: encode_position(*position).into(),
            text: text.clone(),
        }),
        Rule::Contains { attribute, member } => Kind::Contains(proto::SetContains {
            attribute: attribute.clone(),
            member: member.clone(),
        }),
        Rule::Age { attribute, operator, offset } => Kind::Age(proto::AgeComparison {
            attribute: attribute.clone(),
            operator: encode_operator(*operator).into(),
            offset: Some(encode_duration(*offset)),
        }),
        Rule::Behaviour(behaviour) => Kind::Behaviour(encode_behaviour(behaviour)),
    };
    proto::Rule { kind: Some(kind) }
}

/// A moment; `None` if the message names none.
pub(crate) fn moment(time: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    // From 0001-01-01 to 9999-12-31, as the message's definition says.
    (-62_135_596_800..=253_402_300_799)
        .contains(&time.seconds)
        .then(|| DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?))?
}

pub(crate) fn encode_moment(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// A length of time; `None` if the message names none.
pub(crate) fn length(duration: prost_types::Duration) -> Option<TimeDelta> {
    let nanos = TimeDelta::nanoseconds(duration.nanos.into());
    TimeDelta::try_seconds(duration.seconds)?.checked_add(&nanos)
}

pub(crate) fn encode_duration(length: TimeDelta) -> prost_types::Duration {
    prost_types::Duration { seconds: length.num_seconds(), nanos: length.subsec_nanos() }
}

fn decode_many(rules: Vec<proto::Rule>, path: &str) -> Result<Vec<Rule>, RuleError> {
    rules
        .into_iter()
        .enumerate()
        .map(|(index, rule)| decode(rule, &format!("{path}[{index}]")))
        .collect()
}

fn decode_behaviour(behaviour: proto::Behaviour, path: &str) -> Result<Behaviour, RuleError> {
    use proto::behaviour::Aggregate as Told;
    let aggregate = match behaviour.aggregate() {
        Told::Count => Aggregate::Count,
        Told::Sum => Aggregate::Sum(behaviour.property.clone()),
        Told::Unspecified => return Err(unset(&format!("{path}.aggregate"), "an aggregate")),
    };
    let filters = behaviour.r#where.into_iter().enumerate().map(|(index, filter)| {
        let path = format!("{path}.where[{index}]");
        Ok(Filter {
            property: filter.property,
            operator: operator(filter.operator, &path)?,
            value: literal(filter.value, &format!("{path}.value"))?,
        })
    });
    Ok(Behaviour {
        event: behaviour.event,
        filters: filters.collect::<Result<_, _>>()?,
        window: Window {
            from: duration(behaviour.from, &format!("{path}.from"))?,
            to: duration(behaviour.to, &format!("{path}.to"))?.unwrap_or_default(),
        },
        aggregate,
        operator: operator(behaviour.operator, path)?,
        value: behaviour.value,
    })
}

fn encode_behaviour(behaviour: &Behaviour) -> proto::Behaviour {
    use proto::behaviour::Aggregate as Told;
    let (aggregate, property) = match &behaviour.aggregate {
        Aggregate::Count => (Told::Count, String::new()),
        Aggregate::Sum(property) => (Told::Sum, property.clone()),
    };
    let filter = |filter: &Filter| proto::PropertyComparison {
        property: filter.property.clone(),
        operator: encode_operator(filter.operator).into(),
        value: Some(encode_literal(&filter.value)),
    };
    proto::Behaviour {
        event: behaviour.event.clone(),
        r#where: behaviour.filters.iter().map(filter).collect(),
        from: behaviour.window.from.map(encode_duration),
        to: Some(behaviour.window.to).filter(|to| !to.is_zero()).map(encode_duration),
        aggregate: aggregate.into(),
        property,
        operator: encode_operator(behaviour.operator).into(),
        value: behaviour.value,
    }
}

fn literal(value: Option<proto::Value>, path: &str) -> Result<Literal, RuleError> {
    use proto::value::Kind;
    Ok(match value.and_then(|value| value.kind) {
        Some(Kind::Text(text)) => Literal::Text(text),
        Some(Kind::Number(number)) => Literal::Number(number),
        Some(Kind::Flag(flag)) => Literal::Flag(flag),
        Some(Kind::Time(time)) => Literal::Time(
            moment(time)
                .ok_or_else(|| wrong(path, "a time from the year 1 to 9999", "another time"))?,
        ),
        Some(Kind::Texts(_)) => {
            return Err(wrong(path, "a string, a number, a boolean or a time", "a set of strings"));
        }
        None => return Err(unset(path, "a value")),
    })
}

fn encode_literal(literal: &Literal) -> proto::Value {
    use proto::value::Kind;
    let kind = match literal {
        Literal::Text(text) => Kind::Text(text.clone()),
        Literal::Number(number) => Kind::Number(*number),
        Literal::Flag(flag) => Kind::Flag(*flag),
        Literal::Time(time) => Kind::Time(encode_moment(*time)),
    };
    proto::Value { kind: Some(kind) }
}

fn operator(told: i32, path: &str) -> Result<Operator, RuleError> {
    use proto::Operator as Told;
    Ok(match Told::try_from(told) {
        Ok(Told::Equal) => Operator::Equal,
        Ok(Told::NotEqual) => Operator::NotEqual,
        Ok(Told::Less) => Operator::Less,
        Ok(Told::LessOrEqual) => Operator::LessOrEqual,
        Ok(Told::Greater) => Operator::Greater,
        Ok(Told::GreaterOrEqual) => Operator::GreaterOrEqual,
        Ok(Told::Unspecified) => return Err(unset(&format!("{path}.operator"), "an operator")),
        Err(_) => {
            return Err(wrong(&format!("{path}.operator"), "an operator", &told.to_string()));
        }
    })
}

fn encode_operator(operator: Operator) -> proto::Operator {
    use proto::Operator as Told;
    match operator {
        Operator::Equal => Told::Equal,
        Operator::NotEqual => Told::NotEqual,
        Operator::Less => Told::Less,
        Operator::LessOrEqual => Told::LessOrEqual,
        Operator::Greater => Told::Greater,
        Operator::GreaterOrEqual => Told::GreaterOrEqual,
    }
}

fn position(told: i32, path: &str) -> Result<Position, RuleError> {
    use proto::text_match::Position as Told;
    Ok(match Told::try_from(told) {
        Ok(Told::Anywhere) => Position::Anywhere,
        Ok(Told::Start) => Position::Start,
        Ok(Told::End) => Position::End,
        Ok(Told::Unspecified) => return Err(unset(&format!("{path}.position"), "a position")),
        Err(_) => {
            return Err(wrong(&format!("{path}.position"), "a position", &told.to_string()));
        }
    })
}

fn encode_position(position: Position) -> proto::text_match::Position {
    use proto::text_match::Position as Told;
    match position {
        Position::Anywhere => Told::Anywhere,
        Position::Start => Told::Start,
        Position::End => Told::End,
    }
}

fn duration(
    told: Option<prost_types::Duration>,
    path: &str,
) -> Result<Option<TimeDelta>, RuleError> {
    let parse =
        |told| length(told).ok_or_else(|| wrong(path, "a duration", "one beyond all bounds"));
    told.map(parse).transpose()
}

fn unset(path: &str, expected: &str) -> RuleError {
    wrong(path, expected, "nothing")
}

fn wrong(path: &str, expected: &str, found: &str) -> RuleError {
    RuleError {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
        closest: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Rule {
        let age = |attribute: &str, offset| Rule::Age {
            attribute: attribute.to_owned(),
            operator: Operator::Less,
            offset,
        };
        Rule::All(vec![
            Rule::Not(Box::new(Rule::Has { attribute: "phone".to_owned() })),
            Rule::Any(vec![
                Rule::Compare {
                    attribute: "born".to_owned(),
                    operator: Operator::GreaterOrEqual,
                    value: Literal::Time(DateTime::from_timestamp(-5, 7_000).unwrap()),
                },
                Rule::In {
                    attribute: "plan".to_owned(),
                    values: vec![Literal::Text("pro".to_owned()), Literal::Number(1.5)],
                },
                age("seen", -TimeDelta::milliseconds(1_500)),
                age("due", TimeDelta::days(2)),
            ]),
            Rule::Text {
                attribute: "email".to_owned(),
                position: Position::End,
                text: "@acme.com".to_owned(),
            },
            Rule::Contains { attribute: "tags".to_owned(), member: "vip".to_owned() },
            Rule::Behaviour(Behaviour {
                event: "purchase".to_owned(),
                filters: vec![Filter {
                    property: "gift".to_owned(),
                    operator: Operator::NotEqual,
                    value: Literal::Flag(true),
                }],
                window: Window::between(TimeDelta::days(90), TimeDelta::days(30)),
                aggregate: Aggregate::Sum("amount".to_owned()),
                operator: Operator::Greater,
                value: 200.0,
            }),
            Rule::Behaviour(Behaviour {
                event: "login".to_owned(),
                filters: Vec::new(),
                window: Window::EVER,
                aggregate: Aggregate::Count,
                operator: Operator::Equal,
                value: 0.0,
            }),
        ])
    }

    #[test]
    fn every_kind_of_rule_survives_storage() {
        assert_eq!(from_bytes(&to_bytes(&everything())).unwrap(), everything());
    }

    fn check(kind: proto::rule::Kind, path: &str) {
        let rule = proto::Rule { kind: Some(kind) };
        let all = proto::rule::Kind::All(proto::All { rules: vec![rule] });
        let error = decode(proto::Rule { kind: Some(all) }, "rule").unwrap_err();
        assert_eq!(error.path, path, "{error}");
    }

    #[test]
    fn what_is_missing_is_named_by_its_path() {
        use proto::rule::Kind;
        let not = proto::Rule { kind: None };
        check(Kind::Not(Box::new(not)), "rule.all[0].not");
        check(Kind::Comparison(proto::Comparison::default()), "rule.all[0].operator");
        let comparison = proto::Comparison { operator: 1, ..Default::default() };
        check(Kind::Comparison(comparison), "rule.all[0].value");
        check(Kind::Text(proto::TextMatch::default()), "rule.all[0].position");
        let age = proto::AgeComparison { operator: 1, ..Default::default() };
        check(Kind::Age(age), "rule.all[0].offset");
        check(Kind::Behaviour(proto::Behaviour::default()), "rule.all[0].aggregate");
        let filter = proto::PropertyComparison { operator: 99, ..Default::default() };
        let behaviour =
            proto::Behaviour { aggregate: 1, r#where: vec![filter], ..Default::default() };
        check(Kind::Behaviour(behaviour), "rule.all[0].where[0].operator");
    }

    #[test]
    fn times_and_durations_beyond_all_bounds_are_no_times_and_no_durations() {
        let time = |seconds, nanos| moment(prost_types::Timestamp { seconds, nanos });
        assert!(time(0, 999_999_999).is_some());
        assert!(time(i64::MAX, 0).is_none() && time(0, -1).is_none());
        assert!(length(prost_types::Duration { seconds: i64::MAX, nanos: 0 }).is_none());
    }
}
