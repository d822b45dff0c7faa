//! What happened to a message, as other services learn it. A fact's id is made of what it says, so the same fact always
//! has the same id.

use chrono::{DateTime, Utc};
use cursus_ids::BroadcastName;

use crate::actor::Actor;
use crate::message::Key;

/// A fact about a message.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    pub(crate) time: DateTime<Utc>,
    pub(crate) about: About,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    HeldOut,
    Accepted,
    Failed { reason: String },
    Ambiguous,
    Opened { actor: Actor },
    Clicked { actor: Actor, link_number: u16, url: String },
    Unsubscribed,
}

/// Which message, and what one must know of it to count the fact.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) broadcast: BroadcastName,
    pub(crate) key: Key,
    pub(crate) contact_id: String,
    pub(crate) experiment: String,
    pub(crate) arm: String,
    pub(crate) released: bool,
    /// The names of the segments that the contact was labelled with.
    pub(crate) segments: Vec<String>,
    /// Of who is held out or was sent it: whether machines opened earlier messages to the contact.
    pub(crate) privacy_proxy: bool,
}

impl Outcome {
    pub(crate) fn id(&self) -> String {
        let message = self.about.key.uuid();
        let what = self.kind.as_str();
        match &self.kind {
            Kind::Opened { actor } => format!("{message}-{what}-{}", actor.as_str()),
            Kind::Clicked { actor, link_number, .. } => {
                format!("{message}-{what}-{link_number}-{}", actor.as_str())
            }
            _ => format!("{message}-{what}"),
        }
    }
}

impl Kind {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::HeldOut => "held-out",
            Self::Accepted => "accepted",
            Self::Failed { .. } => "failed",
            Self::Ambiguous => "ambiguous",
            Self::Opened { .. } => "opened",
            Self::Clicked { .. } => "clicked",
            Self::Unsubscribed => "unsubscribed",
        }
    }
}

/// The labels whose bit is set.
pub(crate) fn labelled(labels: &[String], bits: i64) -> Vec<String> {
    labels.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, l)| l.clone()).collect()
}

/// A bit for each label. Indexes that no broadcast can have are passed over.
pub(crate) fn label_bits(indexes: &[i32]) -> i64 {
    indexes.iter().filter(|n| (0..32).contains(*n)).fold(0, |bits, n| bits | 1 << n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn labels_survive_the_way_through_bits(chosen in prop::collection::btree_set(0..32_i32, 0..32)) {
            let labels: Vec<String> = (0..32).map(|n| n.to_string()).collect();
            let bits = label_bits(&chosen.iter().copied().collect::<Vec<_>>());
            let expected: Vec<String> = chosen.iter().map(ToString::to_string).collect();
            prop_assert_eq!(labelled(&labels, bits), expected);
        }
    }

    #[test]
    fn facts_that_differ_have_ids_that_differ() {
        let clicked = |actor, link_number| Kind::Clicked { actor, link_number, url: String::new() };
        let kinds = [
            Kind::Accepted,
            Kind::Opened { actor: Actor::Human },
            Kind::Opened { actor: Actor::Machine },
            clicked(Actor::Human, 1),
            clicked(Actor::Human, 11),
            clicked(Actor::Machine, 1),
        ];
        let broadcast: BroadcastName = "workspaces/acme/broadcasts/b".parse().unwrap();
        let about = About {
            key: Key::new(&broadcast, &"ada".parse().unwrap()),
            broadcast,
            contact_id: "ada".to_owned(),
            experiment: String::new(),
            arm: "a".to_owned(),
            released: false,
            segments: Vec::new(),
            privacy_proxy: false,
        };
        let time = DateTime::UNIX_EPOCH;
        let ids: std::collections::BTreeSet<String> = kinds
            .into_iter()
            .map(|kind| Outcome { kind, time, about: about.clone() }.id())
            .collect();
        assert_eq!(ids.len(), 6);
    }
}
