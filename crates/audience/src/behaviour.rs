//! What contacts did: a test of events with its columns at hand, asked of one contact after another.

use crate::block::{Block, loaded};
use crate::events::{Events, Properties};
use crate::node::{AggregateTest, BehaviourTest, NumberTest, PropertyTest, TextTest};
use crate::texts::{Codes, Texts};
use crate::times::Times;
use crate::window::{Answer, ask_sum};

/// A test of events, bound to the columns of a block.
pub(crate) struct Question<'a> {
    test: &'a BehaviourTest,
    events: &'a Events,
    filters: Vec<Filter<'a>>,
    /// What is summed, if anything is.
    amounts: &'a [f64],
    /// The times of one contact's events that pass the filters; kept so that it is allocated once.
    passing: Vec<i64>,
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
            AggregateTest::Sum { property, .. } => loaded(&events.properties.numbers, property),
        };
        Self { test, events, filters, amounts, passing: Vec::new() }
    }

    /// Whether the contact did it, and until when that cannot change by time alone.
    pub(crate) fn ask(&mut self, slot: u16, now: i64) -> Answer {
        let Self { test, events, filters, amounts, passing } = self;
        let range = events.range(slot);
        let span = test.span;
        if let (AggregateTest::Count(count), true) = (&test.aggregate, filters.is_empty()) {
            return match &events.times {
                Times::Seconds(times) => count.ask(span, &times[range], now),
                Times::Micros(times) => count.ask(span, &times[range], now),
            };
        }
        // Events that have left the window never come back, so they are not even filtered.
        let left = match &events.times {
            Times::Seconds(times) => span.left(&times[range.clone()], now),
            Times::Micros(times) => span.left(&times[range.clone()], now),
        };
        let mut recent = (range.start + left..range.end)
            .filter(|index| filters.iter().all(|filter| filter.passes(*index)));
        match &test.aggregate {
            AggregateTest::Count(count) => {
                passing.clear();
                passing.extend(recent.by_ref().map(|index| events.times.get(index)));
                count.ask(span, passing.as_slice(), now)
            }
            AggregateTest::Sum { operator, value, .. } => {
                let summed = recent
                    .filter(|index| !amounts[*index].is_nan())
                    .map(|index| (events.times.get(index), amounts[index]));
                ask_sum((*operator, *value), span, summed, now)
            }
        }
    }
}

/// A test of one property, bound to its column.
enum Filter<'a> {
    Codes { codes: &'a Codes, accepted: Vec<bool> },
    Text { texts: &'a Texts, test: &'a TextTest },
    Number { numbers: &'a [f64], test: &'a NumberTest },
    Flag { flags: &'a [Option<bool>], wanted: bool },
}

impl<'a> Filter<'a> {
    fn direct(test: &'a PropertyTest, properties: &'a Properties) -> Self {
        match test {
            PropertyTest::Text { property, test } => {
                Self::Text { texts: loaded(&properties.texts, property), test }
            }
            PropertyTest::Number { property, test } => {
                Self::Number { numbers: loaded(&properties.numbers, property).as_slice(), test }
            }
            PropertyTest::Flag { property, wanted } => Self::Flag {
                flags: loaded(&properties.flags, property).as_slice(),
                wanted: *wanted,
            },
        }
    }

    fn prepared(test: &'a PropertyTest, properties: &'a Properties) -> Self {
        match Self::direct(test, properties) {
            Self::Text { texts, test } => {
                Self::Codes { codes: &texts.codes, accepted: test.accepted(texts) }
            }
            other => other,
        }
    }

    fn passes(&self, index: usize) -> bool {
        match self {
            Self::Codes { codes, accepted } => accepted[codes.get(index) as usize],
            Self::Text { texts, test } => texts.get(index).is_some_and(|text| test.accepts(text)),
            Self::Number { numbers, test } => {
                !numbers[index].is_nan() && test.accepts(numbers[index])
            }
            Self::Flag { flags, wanted } => flags[index] == Some(*wanted),
        }
    }
}
