//! How the members of a block differ from those that were last stored whole: a change of a few contacts is written as a
//! few bytes, not as eight thousand.

use std::collections::BTreeSet;

use cursus_audience::Bitset;

use crate::block::{pack_slots, unpack_slots};
use crate::error::Error;

/// With more than these it is time to store all members. A row stays short enough not to be split.
const MOST: usize = 256;

/// The slots that are members now and were not, or were and are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drift {
    turned: BTreeSet<u16>,
    is_to_end: bool,
}

/// In which form members are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    /// As the drift from what is stored whole, packed.
    Beside(Vec<u8>),
}

impl Drift {
    /// Reads what [`pack`](Self::pack) wrote.
    pub(crate) fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Self { turned: unpack_slots(bytes)?.into_iter().collect(), is_to_end: false })
    }

    /// Turns a slot round.
    pub(crate) fn turn(&mut self, slot: u16) {
        if !self.turned.remove(&slot) {
            self.turned.insert(slot);
        }
    }

    /// Whether what is stored whole is wrong about a slot.
    pub(crate) fn contains(&self, slot: u16) -> bool {
        self.turned.contains(&slot)
    }

    /// Has all members be stored next, so that nothing tells what was.
    pub(crate) fn end(&mut self) {
        self.is_to_end = true;
    }

    /// How members are to be stored now. What is stored whole is where it starts anew.
    pub(crate) fn pack(&mut self) -> Form {
        if self.is_to_end || self.turned.len() > MOST {
            *self = Self::default();
            return Form::Whole;
        }
        Form::Beside(pack_slots(&self.turned.iter().copied().collect::<Vec<_>>()))
    }

    /// Makes of what was stored whole what the members are now.
    pub(crate) fn apply(&self, members: &mut Bitset) {
        for slot in &self.turned {
            if members.contains(*slot) {
                members.remove(*slot);
            } else {
                members.insert(*slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_what_was_stored_and_who_turned_since() {
        let stored: Bitset = [1, 5, 9].into_iter().collect();
        let mut drift = Drift::default();
        for slot in [5, 7, 9, 9] {
            drift.turn(slot);
        }
        let Form::Beside(packed) = drift.pack() else { panic!("few turned") };
        let read = Drift::unpack(&packed).unwrap();
        assert_eq!(read, drift);
        let mut members = stored.clone();
        read.apply(&mut members);
        assert_eq!(members.iter().collect::<Vec<_>>(), [1, 7, 9]);
    }

    #[test]
    fn when_many_turned_or_nothing_may_tell_what_was_all_are_stored() {
        let mut drift = Drift::default();
        for slot in 0..256 {
            drift.turn(slot);
        }
        assert!(matches!(drift.pack(), Form::Beside(_)));
        drift.turn(300);
        assert_eq!(drift.pack(), Form::Whole);
        assert_eq!(drift.pack(), Form::Beside(Vec::new()), "it starts anew");
        drift.turn(3);
        drift.end();
        assert_eq!(drift.pack(), Form::Whole);
        assert!(!drift.contains(3));
    }
}
