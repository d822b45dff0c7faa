//! What a workspace knows about its contacts: the names a rule may use and the kinds of their values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::rule::Rule;

/// The name under which a loader adds each deal of a contact, as if it were an event with the deal's properties.
/// The event's time means nothing. No event of a contact has this name.
pub const DEALS: &str = "$deals";

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

/// The attributes of a workspace, the events seen in it, its deals and its segments.
///
/// The reserved attributes [`SUBSCRIPTIONS`](crate::SUBSCRIPTIONS) and [`BUCKET_KEY`](crate::BUCKET_KEY) are
/// attributes like any other: a rule may ask for what they are for once they are listed, which is how a loader
/// promises to load them.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    attributes: BTreeMap<String, Kind>,
    events: BTreeSet<String>,
    properties: BTreeMap<String, BTreeMap<String, Kind>>,
    deals: BTreeMap<String, Kind>,
    segments: BTreeMap<String, Arc<Rule>>,
}

impl Schema {
    /// While no event name is listed, a rule may use any.
    pub fn new(
        attributes: impl IntoIterator<Item = (String, Kind)>,
        events: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            attributes: attributes.into_iter().collect(),
            events: events.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Says which properties an event has. Of events of which it is not said, a rule may use any.
    #[must_use]
    pub fn with_properties(
        mut self,
        event: impl Into<String>,
        properties: impl IntoIterator<Item = (String, Kind)>,
    ) -> Self {
        self.properties.entry(event.into()).or_default().extend(properties);
        self
    }

    /// Says which properties deals have. While there is none, there are no deals.
    #[must_use]
    pub fn with_deals(mut self, properties: impl IntoIterator<Item = (String, Kind)>) -> Self {
        self.deals.extend(properties);
        self
    }

    /// Adds the segments to which a rule may refer, by their ids.
    #[must_use]
    pub fn with_segments(mut self, rules: impl IntoIterator<Item = (String, Rule)>) -> Self {
        self.segments.extend(rules.into_iter().map(|(id, rule)| (id, Arc::new(rule))));
        self
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

    /// The properties of an event, if it is known which those are.
    pub(crate) fn properties(&self, event: &str) -> Option<&BTreeMap<String, Kind>> {
        if event == DEALS { Some(&self.deals) } else { self.properties.get(event) }
    }

    pub(crate) fn segment(&self, id: &str) -> Option<(&str, &Arc<Rule>)> {
        self.segments.get_key_value(id).map(|(id, rule)| (id.as_str(), rule))
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.segments.keys().map(String::as_str)
    }
}
