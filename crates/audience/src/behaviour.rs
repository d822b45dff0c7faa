//! What contacts did: a test of events with its columns at hand, asked of one contact after another.

mod filter;
mod tally;

use std::ops::Range;

use crate::block::{Block, loaded};
use crate::events::{Events, Properties};
use crate::node::{AggregateTest, BehaviourTest, PropertyTest};
use crate::times::Times;
use crate::window::{Answer, Lives, NEVER};

use filter::Filter;
pub(crate) use tally::Tally;

/// A test of events, bound to the columns of a block.
pub(crate) struct Question<'a> {
    test: &'a BehaviourTest,
    events: &'a Events,
    filters: Vec<Filter<'a>>,
    /// What an aggregate other than the count reads.
    amounts: &'a [f64],
    /// Those that have to, or must not, follow.
    others: Option<&'a Events>,
    /// The times of one contact's events that pass the filters; kept so that it is allocated once.
    passing: Vec<i64>,
    lives: Lives,
}

impl<'a> Question<'a> {
    /// Prepared once for many contacts: each string of a dictionary is tested once.
    pub(crate) fn to_many(test: &'a BehaviourTest, block: &'a Block) -> Self {
        Self::new(test, block, Filter::prepared)
    }

    /// Ready at once, for few contacts.
    pub(crate) fn to_one(test: &'a BehaviourTest, block: &'a Block) -> Self {
        Self::new(test, block, Filter::direct)
    }

    fn new(
        test: &'a BehaviourTest,
        block: &'a Block,
        bind: fn(&'a PropertyTest, &'a Properties) -> Filter<'a>,
    ) -> Self {
        let events = loaded(&block.events, &test.event);
        let filters = test.filters.iter().map(|test| bind(test, &events.properties)).collect();
        let amounts = match &test.aggregate {
            AggregateTest::Count(_) => &[][..],
            AggregateTest::Number { property, .. } => loaded(&events.properties.numbers, property),
        };
        let others = test.order.as_ref().map(|order| loaded(&block.events, &order.event));
        let (passing, lives) = (Vec::new(), Lives::default());
        Self { test, events, filters, amounts, others, passing, lives }
    }

    /// Whether the contact did it, and until when that cannot change by time alone.
    pub(crate) fn ask(&mut self, slot: u16, now: i64) -> Answer {
        let range = self.events.range(slot);
        if let (AggregateTest::Count(count), true) = (&self.test.aggregate, self.test.is_plain()) {
            return match &self.events.times {
                Times::Seconds(times) => count.ask(self.test.span, &times[range], now),
                Times::Micros(times) => count.ask(self.test.span, &times[range], now),
            };
        }
        // Events that have left the window never come back, so they are not even filtered.
        let left = match &self.events.times {
            Times::Seconds(times) => self.test.span.left(&times[range.clone()], now),
            Times::Micros(times) => self.test.span.left(&times[range.clone()], now),
        };
        let recent = range.start + left..range.end;
        if self.test.is_timed() {
            self.ask_lives(slot, recent, now)
        } else {
            self.ask_passing(recent, now)
        }
    }

    /// If only the window moves: the first event that has not entered it is the next to do so.
    fn ask_passing(&mut self, recent: Range<usize>, now: i64) -> Answer {
        let Self { test, events, filters, amounts, passing, .. } = self;
        let span = test.span;
        let mut counted =
            recent.filter(|index| filters.iter().all(|filter| filter.passes(*index, now)));
        match &test.aggregate {
            AggregateTest::Count(count) => {
                passing.clear();
                passing.extend(counted.by_ref().map(|index| events.times.get(index)));
                count.ask(span, passing.as_slice(), now)
            }
            AggregateTest::Number { reduction, operator, value, .. } => {
                let mut tally = Tally::default();
                let mut next = NEVER;
                for index in counted.filter(|index| !amounts[*index].is_nan()) {
                    let time = events.times.get(index);
                    if time > now - span.to {
                        next = next.min(time + span.to);
                        break;
                    }
                    tally.add(amounts[index]);
                    next = next.min(time + span.from);
                }
                Answer { holds: tally.compares(*reduction, *operator, *value), next }
            }
        }
    }

    /// If each event has moments of its own: all of them are looked at.
    fn ask_lives(&mut self, slot: u16, recent: Range<usize>, now: i64) -> Answer {
        match &self.test.aggregate {
            AggregateTest::Count(count) => {
                self.lives.clear();
                for index in recent {
                    let life = self.life(slot, index, now);
                    self.lives.add(life);
                }
                count.ask_lives(&mut self.lives)
            }
            AggregateTest::Number { reduction, operator, value, .. } => {
                let mut tally = Tally::default();
                let mut next = NEVER;
                for index in recent.filter(|index| !self.amounts[*index].is_nan()) {
                    let life = self.life(slot, index, now);
                    if life.holds {
                        tally.add(self.amounts[index]);
                    }
                    next = next.min(life.next);
                }
                Answer { holds: tally.compares(*reduction, *operator, *value), next }
            }
        }
    }

    /// The times of the contact's events that are counted, ascending, and what is read of each.
    pub(crate) fn counted(&self, slot: u16, now: i64) -> Vec<(i64, f64)> {
        let amount = |index: usize| self.amounts.get(index).copied().unwrap_or_default();
        let counts = |index: &usize| !amount(*index).is_nan() && self.life(slot, *index, now).holds;
        let counted = self.events.range(slot).filter(counts);
        counted.map(|index| (self.events.times.get(index), amount(index))).collect()
    }

    /// All moments at which an event of the contact may begin or cease to be counted.
    pub(crate) fn moments(&self, slot: u16, moments: &mut Vec<i64>) {
        let span = self.test.span;
        for index in self.events.range(slot) {
            let time = self.events.times.get(index);
            moments.extend([time + span.to, time + span.from]);
            moments.extend(self.filters.iter().flat_map(|filter| filter.moments(index)));
            moments.extend(self.test.order.as_ref().map(|order| time + order.within));
        }
        if let Some(others) = self.others {
            moments.extend(others.range(slot).map(|index| others.times.get(index)));
        }
    }

    /// Whether an event of the contact is counted.
    fn life(&self, slot: u16, index: usize, now: i64) -> Answer {
        let time = self.events.times.get(index);
        let mut life = self.test.span.ask(time, now);
        for filter in &self.filters {
            life = life.and(filter.ask(index, now));
        }
        if let (Some(order), Some(others)) = (&self.test.order, self.others) {
            let range = others.range(slot);
            life = life.and(match &others.times {
                Times::Seconds(times) => order.ask(time, &times[range], now),
                Times::Micros(times) => order.ask(time, &times[range], now),
            });
        }
        life
    }
}
