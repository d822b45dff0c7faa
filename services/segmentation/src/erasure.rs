//! The erasure of a contact: its receipt, how it is known whose it was without keeping who, and in what order what is left
//! of the contact is erased.

use std::fmt;

use chrono::{DateTime, Utc};
use cursus_ids::{ErasureName, WorkspaceId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// A receipt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Erasure {
    pub(crate) workspace: WorkspaceId,
    pub(crate) id: Uuid,
    pub(crate) requested_by: String,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) complete_time: Option<DateTime<Utc>>,
    pub(crate) contact_hash: Vec<u8>,
    pub(crate) counts: Counts,
}

/// What was found beside the contact itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) aliases: i64,
    pub(crate) events: i64,
    pub(crate) facts: i64,
    pub(crate) snapshots: i64,
    pub(crate) answers: i64,
}

/// What is erased next, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Events and their ids.
    Events,
    /// Nothing yet: those who may still write about the contact are waited for.
    Settling,
    /// What could be watched.
    Facts,
    Snapshots,
    /// What is kept for requests that are repeated.
    Answers,
    /// Nothing: it is waited until evaluation has taken the contact out of every segment.
    Segments,
}

/// An erasure that is not complete.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) workspace: WorkspaceId,
    pub(crate) id: Uuid,
    pub(crate) ordinal: i32,
    /// Every id that stood for the contact.
    pub(crate) contact_ids: Vec<String>,
    pub(crate) stage: Stage,
    /// The transaction by which everybody must have ended who may still write about the contact.
    pub(crate) horizon: Option<i64>,
    /// How far the facts are searched.
    pub(crate) fact_cursor: String,
}

/// With what the ids of a workspace are hashed, so that they mean nothing elsewhere.
pub(crate) struct Salt(Vec<u8>);

impl Erasure {
    pub(crate) fn name(&self) -> String {
        format!("{}/erasures/{}", self.workspace.name(), self.id)
    }
}

/// The number of an erasure, if the name has one.
pub(crate) fn number(name: &ErasureName) -> Option<Uuid> {
    name.id.as_ref().parse().ok()
}

impl Stage {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Settling => "settling",
            Self::Facts => "facts",
            Self::Snapshots => "snapshots",
            Self::Answers => "answers",
            Self::Segments => "segments",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let stages = [
            Self::Events,
            Self::Settling,
            Self::Facts,
            Self::Snapshots,
            Self::Answers,
            Self::Segments,
        ];
        stages.into_iter().find(|stage| stage.as_str() == name)
    }
}

impl Salt {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn hash(&self, id: &str) -> Vec<u8> {
        let keyed = Hmac::<Sha256>::new_from_slice(&self.0);
        let mut keyed = keyed.expect("a key of any length will do");
        keyed.update(id.as_bytes());
        keyed.finalize().into_bytes().to_vec()
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_by_its_hash_in_its_own_workspace_only() {
        let (ours, theirs) = (Salt::new(vec![1; 32]), Salt::new(vec![2; 32]));
        assert_eq!(ours.hash("ana"), ours.hash("ana"));
        assert_ne!(ours.hash("ana"), ours.hash("ben"));
        assert_ne!(ours.hash("ana"), theirs.hash("ana"));
        assert_eq!(ours.hash("ana").len(), 32);
        assert!(!format!("{ours:?}").contains('1'));
    }

    #[test]
    fn a_stage_survives_the_way_through_storage() {
        for name in ["events", "settling", "facts", "snapshots", "answers", "segments"] {
            assert_eq!(Stage::named(name).map(Stage::as_str), Some(name));
        }
        assert_eq!(Stage::named("done"), None);
    }
}
