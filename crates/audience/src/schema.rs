//! What a workspace knows about its contacts: the names a rule may use and the kinds of their values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What kind of value an attribute, or a property of an event, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Text,
    Number,
    Flag,
    Time,
    TextSet,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Flag => "a boolean",
            Self::Time => "a timestamp",
            Self::TextSet => "a set of strings",
        })
    }
}

/// The attributes of a workspace and the names of the events seen in it.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    attributes: BTreeMap<String, Kind>,
    events: BTreeSet<String>,
}

impl Schema {
    /// While no event name is listed, a rule may use any.
    pub fn new(
        attributes: impl IntoIterator<Item = (String, Kind)>,
        events: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { attributes: attributes.into_iter().collect(), events: events.into_iter().collect() }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<Kind> {
        self.attributes.get(name).copied()
    }

    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().map(String::as_str)
    }

    pub(crate) fn allows_event(&self, name: &str) -> bool {
        self.events.is_empty() || self.events.contains(name)
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(String::as_str)
    }
}
