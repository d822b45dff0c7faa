//! What a plan reads, so that a loader fetches that and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::schema::Kind;

/// The attributes and events that plans read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    pub attributes: BTreeSet<Field>,
    pub events: BTreeMap<String, EventMention>,
}

/// An attribute, or a property of an event, read as a kind of value: a value of another kind is as good as missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
}

/// What is read of the events of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventMention {
    pub properties: BTreeSet<Field>,
    pub reach: Reach,
}

/// How far back events are read: those of the last while, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    Last(TimeDelta),
    Ever,
}

impl Default for Reach {
    fn default() -> Self {
        Self::Last(TimeDelta::zero())
    }
}

impl Mentions {
    /// Adds what another plan reads.
    pub fn merge(&mut self, other: &Self) {
        self.attributes.extend(other.attributes.iter().cloned());
        for (name, theirs) in &other.events {
            self.events.entry(name.clone()).or_default().merge(theirs);
        }
    }

    /// What has to be loaded so that a block loaded for this answers whatever reads `other` as well, once it has
    /// [absorbed](crate::Block::absorb) it. Events of which more is read are loaded again, with all that is read.
    #[must_use]
    pub fn missing(&self, other: &Self) -> Self {
        let attributes = other.attributes.difference(&self.attributes).cloned().collect();
        let mut missing = Self { attributes, events: BTreeMap::new() };
        for (name, theirs) in &other.events {
            let ours = self.events.get(name);
            if !ours.is_some_and(|ours| ours.covers(theirs)) {
                let mut both = theirs.clone();
                if let Some(ours) = ours {
                    both.merge(ours);
                }
                missing.events.insert(name.clone(), both);
            }
        }
        missing
    }

    /// The part about the events of one name.
    pub(crate) fn of_event(&self, name: &str) -> Self {
        let events = self.events.get(name).map(|event| (name.to_owned(), event.clone()));
        Self { attributes: BTreeSet::new(), events: events.into_iter().collect() }
    }

    /// Whether more is read of some event than when it was.
    pub(crate) fn has_properties(&self) -> bool {
        self.events.values().any(|event| !event.properties.is_empty())
    }

    /// Drops what `other` does not read.
    pub(crate) fn keep(&mut self, other: &Self) {
        self.attributes.retain(|field| other.attributes.contains(field));
        self.events.retain(|name, _| other.events.contains_key(name));
        for (name, ours) in &mut self.events {
            let theirs = &other.events[name];
            ours.properties.retain(|field| theirs.properties.contains(field));
            ours.reach = ours.reach.min(theirs.reach);
        }
    }

    /// The same, with all events that ever were: what an explanation needs to say since when something is so.
    #[must_use]
    pub fn with_all_of_the_past(mut self) -> Self {
        self.events.values_mut().for_each(|event| event.reach = Reach::Ever);
        self
    }

    /// Whether a block loaded for this answers whatever reads `other`.
    pub fn covers(&self, other: &Self) -> bool {
        other.attributes.is_subset(&self.attributes)
            && other
                .events
                .iter()
                .all(|(name, theirs)| self.events.get(name).is_some_and(|ours| ours.covers(theirs)))
    }
}

impl EventMention {
    fn merge(&mut self, other: &Self) {
        self.properties.extend(other.properties.iter().cloned());
        self.reach = self.reach.max(other.reach);
    }

    fn covers(&self, other: &Self) -> bool {
        other.properties.is_subset(&self.properties) && other.reach <= self.reach
    }
}
