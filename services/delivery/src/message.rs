//! One row of the ledger: who it is for, where it is, and where it may go from there.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use cursus_ids::{BroadcastName, ContactId, MessageId, MessageName};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How many parts the sending is divided into: the most replicas that can share it.
pub(crate) const PARTITIONS: u16 = 16;

/// Where a message is. `can_become` is the whole of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Holdout,
    Held,
    Queued,
    Leased,
    Committing,
    Accepted,
    Suppressed,
    Failed,
    Ambiguous,
    Cancelled,
}

/// What identifies a message: derived from workspace, broadcast and contact and from nothing else, so that planning a
/// contact twice is planning it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(Uuid);

/// A row as shown.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) key: Key,
    pub(crate) contact: ContactId,
    pub(crate) arm: String,
    pub(crate) released: bool,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) last_reply: String,
    pub(crate) attempt_count: i32,
    pub(crate) update_time: DateTime<Utc>,
}

impl State {
    pub(crate) const ALL: [Self; 10] = [
        Self::Holdout,
        Self::Held,
        Self::Queued,
        Self::Leased,
        Self::Committing,
        Self::Accepted,
        Self::Suppressed,
        Self::Failed,
        Self::Ambiguous,
        Self::Cancelled,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Holdout => "holdout",
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Committing => "committing",
            Self::Accepted => "accepted",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
            Self::Ambiguous => "ambiguous",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing can happen to it any more.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Held | Self::Queued | Self::Leased | Self::Committing)
    }

    /// Whether it is still to be handed over.
    pub(crate) fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Leased | Self::Committing)
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is not a state of a message"))
    }
}

impl Key {
    /// The first five bytes tell the broadcast, so that its messages lie together; the others tell the contact. 82 bits
    /// of hash keep ten million contacts of one broadcast apart.
    pub(crate) fn new(broadcast: &BroadcastName, contact: &ContactId) -> Self {
        let mut bytes = [0; 16];
        bytes[..5].copy_from_slice(&prefix(broadcast));
        let hash = Sha256::new()
            .chain_update(b"cursus send key\0")
            .chain_update(broadcast.to_string())
            .chain_update(b"\0")
            .chain_update(contact.as_ref())
            .finalize();
        bytes[5..].copy_from_slice(&hash[..11]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The lowest and the highest key that a message of the broadcast can have.
    pub(crate) fn range(broadcast: &BroadcastName) -> (Self, Self) {
        let (mut low, mut high) = ([0; 16], [0xff; 16]);
        low[..5].copy_from_slice(&prefix(broadcast));
        high[..5].copy_from_slice(&prefix(broadcast));
        (Self(Uuid::from_bytes(low)), Self(Uuid::from_bytes(high)))
    }

    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }

    /// Which part of the sending it belongs to.
    pub(crate) fn partition(self) -> i16 {
        i16::from(self.0.as_bytes()[15]) % PARTITIONS.cast_signed()
    }

    pub(crate) fn name(self, broadcast: &BroadcastName) -> MessageName {
        let id: MessageId = self.0.to_string().parse().expect("a UUID is an id");
        MessageName { broadcast: broadcast.clone(), id }
    }
}

impl From<Uuid> for Key {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

fn prefix(broadcast: &BroadcastName) -> [u8; 5] {
    let hash = Sha256::new()
        .chain_update(b"cursus broadcast\0")
        .chain_update(broadcast.to_string())
        .finalize();
    std::array::from_fn(|n| hash[n])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn broadcast(id: &str) -> BroadcastName {
        format!("workspaces/acme/broadcasts/{id}").parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_key_depends_on_broadcast_and_contact_and_lies_in_the_broadcasts_range(
            one in "[a-z0-9][a-z0-9._-]{0,20}",
            other in "[a-z0-9][a-z0-9._-]{0,20}",
            mailing in "[a-z0-9]{1,20}",
        ) {
            let broadcast = broadcast(&mailing);
            let (first, second) = (one.parse().unwrap(), other.parse().unwrap());
            let key = Key::new(&broadcast, &first);
            prop_assert_eq!(key, Key::new(&broadcast, &first));
            prop_assert_eq!(one == other, key == Key::new(&broadcast, &second));
            let (low, high) = Key::range(&broadcast);
            prop_assert!(low <= key && key <= high);
            prop_assert!((0..PARTITIONS.cast_signed()).contains(&key.partition()));
        }
    }

    #[test]
    fn a_key_never_changes_between_releases() {
        let key = Key::new(&broadcast("spring"), &"ada".parse().unwrap());
        assert_eq!(key.uuid().to_string(), "b9417671-89f3-8945-8e8b-90bbe4f1fc5a");
        assert_eq!(key.uuid().get_version_num(), 8);
    }

    #[test]
    fn states_survive_the_way_through_the_database() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("sent".parse::<State>().is_err());
    }

    #[test]
    fn what_waits_is_not_final() {
        for state in State::ALL {
            assert!(!(state.is_waiting() && state.is_final()), "{state:?}");
        }
    }
}
