//! What is asked of the values in a rule, wherever they stand.

use std::collections::HashSet;

use chrono::TimeDelta;

use crate::error::RuleError;
use crate::rule::{Literal, Operator};
use crate::schema::Kind;

/// The values of a list, ready to be searched.
pub(super) enum List {
    Texts(HashSet<String>),
    /// Sorted.
    Numbers(Vec<f64>),
}

/// The values of a list, all of one kind: a string or a number.
pub(super) fn list(kind: Kind, values: &[Literal], path: &str) -> Result<List, RuleError> {
    if values.is_empty() {
        return Err(RuleError::new(format!("{path}.values"), "at least one value", "none"));
    }
    let mut texts = HashSet::new();
    let mut numbers = Vec::new();
    for (index, value) in values.iter().enumerate() {
        comparable(kind, value, &format!("{path}.values[{index}]"))?;
        match value {
            Literal::Text(text) => drop(texts.insert(text.clone())),
            Literal::Number(number) => numbers.push(*number),
            Literal::Flag(_) | Literal::Time(_) => {}
        }
    }
    if kind == Kind::Text {
        return Ok(List::Texts(texts));
    }
    numbers.sort_by(f64::total_cmp);
    Ok(List::Numbers(numbers))
}

/// Refuses a literal that cannot be compared with values of a kind.
pub(super) fn comparable(kind: Kind, literal: &Literal, path: &str) -> Result<(), RuleError> {
    if kind == Kind::TextSet {
        let expected = format!("`in`: {kind} is not compared");
        return Err(RuleError::new(path, expected, literal.kind().to_string()));
    }
    if literal.kind() != kind {
        return Err(RuleError::new(path, kind.to_string(), literal.kind().to_string()));
    }
    well_formed(literal, path)
}

/// The boolean that satisfies a comparison with another.
pub(super) fn wanted(operator: Operator, flag: bool, path: &str) -> Result<bool, RuleError> {
    match operator {
        Operator::Equal => Ok(flag),
        Operator::NotEqual => Ok(!flag),
        _ => {
            let expected = "`==` or `!=`, as booleans have no order";
            Err(RuleError::new(format!("{path}.operator"), expected, format!("`{operator}`")))
        }
    }
}

pub(super) fn named(name: &str, path: &str) -> Result<(), RuleError> {
    if name.is_empty() {
        return Err(RuleError::new(path, "a name", "an empty string"));
    }
    Ok(())
}

pub(super) fn well_formed(literal: &Literal, path: &str) -> Result<(), RuleError> {
    match literal {
        Literal::Number(number) if !number.is_finite() => {
            Err(RuleError::new(path, "a finite number", format!("`{number}`")))
        }
        Literal::Time(time) if time.timestamp_subsec_nanos() % 1_000 != 0 => {
            let expected = "a timestamp in whole microseconds";
            Err(RuleError::new(path, expected, format!("`{time:?}`")))
        }
        _ => Ok(()),
    }
}

/// A length of whole seconds, as microseconds: windows roll to the second.
pub(super) fn seconds(
    length: TimeDelta,
    least: TimeDelta,
    most: TimeDelta,
    path: &str,
) -> Result<i64, RuleError> {
    if length < least || length > most || length.subsec_nanos() != 0 {
        let (least, most) = (least.num_seconds(), most.num_seconds());
        let expected = format!("a whole number of seconds from {least} to {most}");
        return Err(RuleError::new(path, expected, format!("{}s", length.as_seconds_f64())));
    }
    Ok(length.num_seconds() * 1_000_000)
}
