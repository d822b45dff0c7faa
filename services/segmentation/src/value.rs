//! A value of an attribute or of a property of an event.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use cursus_audience as audience;
use cursus_audience::Kind;

/// Longest text of a value, and the most members of a set of them.
pub(crate) const LONGEST_TEXT: usize = 1_024;
pub(crate) const MOST_TEXTS: usize = 64;

/// A value as it is written and read. Texts hold no NUL, numbers are finite and times are in whole microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Flag(bool),
    Time(DateTime<Utc>),
    Texts(BTreeSet<String>),
}

impl Value {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
            Self::Flag(_) => Kind::Flag,
            Self::Time(_) => Kind::Time,
            Self::Texts(_) => Kind::TextSet,
        }
    }
}

/// Whether a text can be kept.
pub(crate) fn is_fit(text: &str) -> bool {
    text.len() <= LONGEST_TEXT && !text.contains('\0')
}

impl From<audience::Value<'_>> for Value {
    fn from(value: audience::Value<'_>) -> Self {
        match value {
            audience::Value::Text(text) => Self::Text(text.to_owned()),
            audience::Value::Number(number) => Self::Number(number),
            audience::Value::Flag(flag) => Self::Flag(flag),
            // What is stored was a time once, so it is one still.
            audience::Value::Time(micros) => {
                Self::Time(DateTime::from_timestamp_micros(micros).unwrap_or_default())
            }
            audience::Value::Texts(texts) => {
                Self::Texts(texts.into_iter().map(str::to_owned).collect())
            }
        }
    }
}
