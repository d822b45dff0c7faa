//! Which segments deserve to exist: how much they overlap, whether they behave differently, and which to merge.
//!
//! Contacts are counted by the set of segments they are in ([`Cells`]). Any union of segments, and what one has that
//! another has not, is a sum over cells; so everything else follows without looking at contacts again: [`readings`],
//! [`overlaps`], the tests in [`judgement`] and the proposal in [`portfolio`].

pub(crate) mod judgement;
pub(crate) mod portfolio;

use std::collections::BTreeMap;

use cursus_statistics::effect::Sample;
use cursus_statistics::{Alpha, Estimate, Interval, Proportion};

/// How many segments are compared at once: their sets are bits of 16.
pub(crate) const MOST_SEGMENTS: usize = 16;

/// A set of segments; the first is the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Set(u16);

/// What is counted for every contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whether it happened.
    Happened,
    /// A sum over what happened.
    Amount,
}

/// What some contacts did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) responders: u64,
    pub(crate) total: f64,
    pub(crate) squares: f64,
}

/// So many contacts, and what they did by outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) contacts: u64,
    pub(crate) outcomes: Vec<Sums>,
}

/// Contacts by the set of segments they are in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cells {
    segments: usize,
    kinds: Vec<Kind>,
    by_set: BTreeMap<Set, Tally>,
}

/// One outcome of some contacts: the share or the mean, with an interval where the data support one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) responders: u64,
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<Interval>,
}

/// How much two segments are the same people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Overlap {
    pub(crate) both: u64,
    /// Both by either; 0 when both are empty.
    pub(crate) jaccard: f64,
}

impl Set {
    pub(crate) fn of(segment: usize) -> Self {
        Self(1 << segment)
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The segments, lowest first.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..MOST_SEGMENTS).filter(move |segment| self.meets(Self::of(*segment)))
    }
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.responders += other.responders;
        self.total += other.total;
        self.squares += other.squares;
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.contacts += other.contacts;
        self.outcomes.iter_mut().zip(&other.outcomes).for_each(|(ours, theirs)| ours.add(*theirs));
    }
}

impl Cells {
    pub(crate) fn new(segments: usize, kinds: Vec<Kind>) -> Self {
        Self { segments, kinds, by_set: BTreeMap::new() }
    }

    /// Counts a contact: `None` for an outcome that did not happen, and otherwise its amount.
    pub(crate) fn count(&mut self, set: Set, did: &[Option<f64>]) {
        let outcomes = self.kinds.len();
        let tally = self
            .by_set
            .entry(set)
            .or_insert_with(|| Tally { contacts: 0, outcomes: vec![Sums::default(); outcomes] });
        tally.contacts += 1;
        for (sums, amount) in tally.outcomes.iter_mut().zip(did) {
            if let Some(amount) = amount {
                sums.add(Sums { responders: 1, total: *amount, squares: amount * amount });
            }
        }
    }

    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Everybody.
    pub(crate) fn contacts(&self) -> u64 {
        self.by_set.values().map(|tally| tally.contacts).sum()
    }

    /// Those in any segment of a set.
    pub(crate) fn union(&self, set: Set) -> Tally {
        self.sum(|cell| cell.meets(set))
    }

    /// Those in any segment of a set and in none of another.
    pub(crate) fn only(&self, set: Set, not: Set) -> Tally {
        self.sum(|cell| cell.meets(set) && !cell.meets(not))
    }

    pub(crate) fn overlap(&self, first: Set, second: Set) -> Overlap {
        let both = self.sum(|cell| cell.meets(first) && cell.meets(second)).contacts;
        let either = self.union(first.union(second)).contacts;
        Overlap { both, jaccard: if either == 0 { 0.0 } else { real(both) / real(either) } }
    }

    fn sum(&self, chosen: impl Fn(Set) -> bool) -> Tally {
        let nobody = Tally { contacts: 0, outcomes: vec![Sums::default(); self.kinds.len()] };
        self.by_set.iter().filter(|(set, _)| chosen(**set)).fold(nobody, |mut sum, (_, tally)| {
            sum.add(tally);
            sum
        })
    }
}

/// What some contacts did, outcome by outcome.
pub(crate) fn readings(tally: &Tally, kinds: &[Kind]) -> Vec<Reading> {
    let reading = |(sums, kind): (&Sums, &Kind)| {
        let known = match kind {
            Kind::Happened => Proportion::new(sums.responders, tally.contacts)
                .ok()
                .map(|share| share.estimate(Alpha::FIVE_PERCENT)),
            Kind::Amount => sample(tally.contacts, sums).map(|sample| mean(&sample)),
        };
        let value = known.map(|known| known.value);
        // One contact has an amount, though nothing says how well it stands for others.
        let alone = (tally.contacts == 1 && *kind == Kind::Amount).then_some(sums.total);
        Reading {
            responders: sums.responders,
            value: value.or(alone),
            interval: known.map(|known| known.interval),
        }
    };
    tally.outcomes.iter().zip(kinds).map(reading).collect()
}

fn sample(contacts: u64, sums: &Sums) -> Option<Sample> {
    Sample::from_sums(contacts, sums.total, sums.squares).ok()
}

fn mean(sample: &Sample) -> Estimate {
    sample.estimate(Alpha::FIVE_PERCENT)
}

#[expect(clippy::cast_precision_loss, reason = "counts of contacts are far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Cells {
        let mut cells = Cells::new(2, vec![Kind::Happened, Kind::Amount]);
        let (first, second) = (Set::of(0), Set::of(1));
        cells.count(first, &[Some(1.0), Some(10.0)]);
        cells.count(first.union(second), &[None, Some(30.0)]);
        cells.count(second, &[None, None]);
        cells.count(Set::default(), &[Some(1.0), None]);
        cells
    }

    #[test]
    fn unions_and_remainders_are_sums_of_cells() {
        let cells = cells();
        assert_eq!(cells.contacts(), 4);
        let first = cells.union(Set::of(0));
        assert_eq!((first.contacts, first.outcomes[1].total), (2, 40.0));
        assert_eq!(cells.union(Set::of(0).union(Set::of(1))).contacts, 3);
        assert_eq!(cells.only(Set::of(0), Set::of(1)).outcomes[0].responders, 1);
    }

    #[test]
    fn overlap_is_both_by_either_and_nothing_overlaps_nothing() {
        let overlap = cells().overlap(Set::of(0), Set::of(1));
        assert_eq!(overlap, Overlap { both: 1, jaccard: 1.0 / 3.0 });
        let nothing = Cells::new(2, Vec::new()).overlap(Set::of(0), Set::of(1));
        assert_eq!(nothing, Overlap { both: 0, jaccard: 0.0 });
    }

    #[test]
    fn nobody_has_no_share_and_one_contact_no_interval() {
        let cells = cells();
        let nobody = readings(&cells.only(Set::of(0), Set::of(0)), cells.kinds());
        assert!(nobody.iter().all(|reading| reading.value.is_none()));
        let one = readings(&cells.only(Set::of(0), Set::of(1)), cells.kinds());
        assert_eq!((one[1].value, one[1].interval), (Some(10.0), None));
    }
}
