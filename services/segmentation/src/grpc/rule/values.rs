//! Literals, operators, moments and lengths of time in the contract and in the engine.

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::segmentation as proto;
use cursus_audience::{Literal, Operator, Position, RuleError};

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

pub(super) fn decode_literals(
    values: Vec<proto::Value>,
    path: &str,
) -> Result<Vec<Literal>, RuleError> {
    values
        .into_iter()
        .enumerate()
        .map(|(index, value)| decode_literal(Some(value), &format!("{path}.values[{index}]")))
        .collect()
}

pub(super) fn decode_literal(
    value: Option<proto::Value>,
    path: &str,
) -> Result<Literal, RuleError> {
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

pub(super) fn encode_literal(literal: &Literal) -> proto::Value {
    use proto::value::Kind;
    let kind = match literal {
        Literal::Text(text) => Kind::Text(text.clone()),
        Literal::Number(number) => Kind::Number(*number),
        Literal::Flag(flag) => Kind::Flag(*flag),
        Literal::Time(time) => Kind::Time(encode_moment(*time)),
    };
    proto::Value { kind: Some(kind) }
}

pub(super) fn operator(told: i32, path: &str) -> Result<Operator, RuleError> {
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

pub(super) fn encode_operator(operator: Operator) -> proto::Operator {
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

pub(super) fn position(told: i32, path: &str) -> Result<Position, RuleError> {
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

pub(super) fn encode_position(position: Position) -> proto::text_match::Position {
    use proto::text_match::Position as Told;
    match position {
        Position::Anywhere => Told::Anywhere,
        Position::Start => Told::Start,
        Position::End => Told::End,
    }
}

pub(super) fn duration(
    told: Option<prost_types::Duration>,
    path: &str,
) -> Result<Option<TimeDelta>, RuleError> {
    let parse =
        |told| length(told).ok_or_else(|| wrong(path, "a duration", "one beyond all bounds"));
    told.map(parse).transpose()
}

/// What is added to the present moment.
pub(super) fn offset(
    told: Option<prost_types::Duration>,
    path: &str,
) -> Result<TimeDelta, RuleError> {
    let path = format!("{path}.offset");
    duration(told, &path)?.ok_or_else(|| unset(&path, "a duration"))
}

/// One end of a range of the hundred parts of a bucket.
pub(super) fn part(told: i32, path: &str) -> Result<u8, RuleError> {
    u8::try_from(told).map_err(|_| wrong(path, "a whole number from 0 to 100", &told.to_string()))
}

pub(super) fn unset(path: &str, expected: &str) -> RuleError {
    wrong(path, expected, "nothing")
}

pub(super) fn wrong(path: &str, expected: &str, found: &str) -> RuleError {
    RuleError {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
        closest: None,
    }
}
