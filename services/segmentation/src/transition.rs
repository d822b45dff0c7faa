//! What a change of membership is: who entered or left which segment, when, and what brought it about.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_audience::Bitset;
use cursus_ids::{ContactName, SegmentName};

use crate::error::Error;
use crate::store::segments::Revision;

/// What brought it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cause {
    ContactErased,
    ContactMerged,
    ContactCreated,
    Event,
    Attribute,
    Time,
    RuleChanged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Entered,
    Left,
}

/// Contacts of one block who entered or left one segment at one moment and by one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crossing {
    pub(crate) revision: Revision,
    pub(crate) cause: Cause,
    pub(crate) time: DateTime<Utc>,
    /// Slots in order, as in `left`.
    pub(crate) entered: Vec<u16>,
    pub(crate) left: Vec<u16>,
}

/// The crossings of one segment in a block while it is evaluated, together by moment and cause.
#[derive(Debug, Default)]
pub(crate) struct Crossings(BTreeMap<(DateTime<Utc>, Cause), Crossed>);

/// The slots that entered and those that left.
type Crossed = (Vec<u16>, Vec<u16>);

/// One contact's, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) contact: ContactName,
    pub(crate) segment: SegmentName,
    pub(crate) revision: i64,
    pub(crate) direction: Direction,
    pub(crate) cause: Cause,
    pub(crate) time: DateTime<Utc>,
    pub(crate) record_time: DateTime<Utc>,
}

impl Cause {
    const ALL: [Self; 7] = [
        Self::ContactErased,
        Self::ContactMerged,
        Self::ContactCreated,
        Self::Event,
        Self::Attribute,
        Self::Time,
        Self::RuleChanged,
    ];

    /// As it is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ContactErased => "contact_erased",
            Self::ContactMerged => "contact_merged",
            Self::ContactCreated => "contact_created",
            Self::Event => "event",
            Self::Attribute => "attribute",
            Self::Time => "time",
            Self::RuleChanged => "rule_changed",
        }
    }

    pub(crate) fn stored(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text).ok_or(Error::Corrupt("cause"))
    }
}

impl Crossing {
    /// How many contacts.
    pub(crate) fn len(&self) -> usize {
        self.entered.len() + self.left.len()
    }

    /// Each contact's slot and which way it went, in the order in which they are told.
    pub(crate) fn each(&self) -> impl Iterator<Item = (u16, Direction)> {
        let entered = self.entered.iter().map(|slot| (*slot, Direction::Entered));
        entered.chain(self.left.iter().map(|slot| (*slot, Direction::Left)))
    }

    /// Which way a contact went, if it is one of them.
    pub(crate) fn of(&self, slot: u16) -> Option<Direction> {
        if self.entered.binary_search(&slot).is_ok() {
            Some(Direction::Entered)
        } else {
            self.left.binary_search(&slot).is_ok().then_some(Direction::Left)
        }
    }
}

impl Crossings {
    /// Adds one contact's; those of one moment and cause in the order of their slots.
    pub(crate) fn add(
        &mut self,
        slot: u16,
        direction: Direction,
        (time, cause): (DateTime<Utc>, Cause),
    ) {
        let (entered, left) = self.0.entry((time, cause)).or_default();
        match direction {
            Direction::Entered => entered.push(slot),
            Direction::Left => left.push(slot),
        }
    }

    /// In the order of their moments.
    pub(crate) fn of(self, revision: &Revision) -> impl Iterator<Item = Crossing> {
        self.0.into_iter().map(|((time, cause), (mut entered, mut left))| {
            entered.sort_unstable();
            left.sort_unstable();
            Crossing { revision: revision.clone(), cause, time, entered, left }
        })
    }
}

/// Who is in one set and not in the other, both ways: who entered, and who left.
pub(crate) fn difference(before: &Bitset, after: &Bitset) -> (Vec<u16>, Vec<u16>) {
    let mut entered = after.clone();
    entered -= before;
    let mut left = before.clone();
    left -= after;
    (entered.iter().collect(), left.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_cause_survives_the_way_through_storage() {
        for cause in Cause::ALL {
            assert_eq!(Cause::stored(cause.as_str()).unwrap(), cause);
        }
        assert!(Cause::stored("whim").is_err());
    }

    #[test]
    fn the_difference_of_two_sets_goes_both_ways() {
        let bits = |slots: &[u16]| slots.iter().copied().collect::<Bitset>();
        let (entered, left) = difference(&bits(&[1, 2, 3]), &bits(&[2, 4, 65_535]));
        assert_eq!((entered, left), (vec![4, 65_535], vec![1, 3]));
    }

    #[test]
    fn contacts_that_cross_together_are_told_together_and_moments_in_order() {
        let mut crossings = Crossings::default();
        crossings.add(9, Direction::Left, (at(5), Cause::Time));
        crossings.add(3, Direction::Entered, (at(7), Cause::Event));
        crossings.add(7, Direction::Left, (at(5), Cause::Time));
        crossings.add(1, Direction::Entered, (at(5), Cause::Time));
        let revision = Revision { segment: "vip".parse().unwrap(), number: 2 };
        let crossings: Vec<Crossing> = crossings.of(&revision).collect();
        assert_eq!(crossings.len(), 2);
        assert_eq!((&crossings[0].entered[..], &crossings[0].left[..]), (&[1][..], &[7, 9][..]));
        assert_eq!(crossings[0].of(7), Some(Direction::Left));
        assert_eq!(crossings[0].of(1), Some(Direction::Entered));
        assert_eq!(crossings[0].of(2), None);
        let each: Vec<_> = crossings[0].each().map(|(slot, _)| slot).collect();
        assert_eq!(each, [1, 7, 9]);
        assert_eq!((crossings[1].time, crossings[1].len()), (at(7), 1));
    }
}
