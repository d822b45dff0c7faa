//! Tests of properties, each bound to the columns that it reads.

use crate::block::loaded;
use crate::events::{NO_TIME, Properties};
use crate::node::{NumberTest, PropertyTest, TextTest};
use crate::rule::Operator;
use crate::schema::Kind;
use crate::texts::{Codes, NO_TEXT, Texts};
use crate::window::{Answer, age_moments, ask_age};

/// A test of one property of events.
pub(super) enum Filter<'a> {
    Has(Vec<Presence<'a>>),
    Codes { codes: &'a Codes, accepted: Vec<bool> },
    Text { texts: &'a Texts, test: &'a TextTest },
    Number { numbers: &'a [f64], test: &'a NumberTest },
    Flag { flags: &'a [Option<bool>], wanted: bool },
    Time { times: &'a [i64], operator: Operator, time: i64 },
    Age { times: &'a [i64], operator: Operator, offset: i64 },
}

/// The column of one kind, to ask where it has a value.
pub(super) enum Presence<'a> {
    Texts(&'a Codes),
    Numbers(&'a [f64]),
    Flags(&'a [Option<bool>]),
    Times(&'a [i64]),
    Sets(&'a [bool]),
}

impl<'a> Filter<'a> {
    /// Ready at once.
    pub(super) fn direct(test: &'a PropertyTest, properties: &'a Properties) -> Self {
        match test {
            PropertyTest::Has { property, kinds } => {
                let of = |kind: &Kind| Presence::of(*kind, property, properties);
                Self::Has(kinds.iter().map(of).collect())
            }
            PropertyTest::Text { property, test } => {
                Self::Text { texts: loaded(&properties.texts, property), test }
            }
            PropertyTest::Number { property, test } => {
                let numbers = loaded(&properties.numbers, property).as_slice();
                Self::Number { numbers, test }
            }
            PropertyTest::Flag { property, wanted } => {
                let flags = loaded(&properties.flags, property).as_slice();
                Self::Flag { flags, wanted: *wanted }
            }
            PropertyTest::Time { property, operator, time } => {
                let times = loaded(&properties.times, property);
                Self::Time { times, operator: *operator, time: *time }
            }
            PropertyTest::Age { property, operator, offset } => {
                let times = loaded(&properties.times, property);
                Self::Age { times, operator: *operator, offset: *offset }
            }
        }
    }

    /// Prepared for many events: each string of a dictionary is tested once.
    pub(super) fn prepared(test: &'a PropertyTest, properties: &'a Properties) -> Self {
        match Self::direct(test, properties) {
            Self::Text { texts, test } => {
                Self::Codes { codes: &texts.codes, accepted: test.accepted(texts) }
            }
            other => other,
        }
    }

    /// Whether an event passes, and until when that cannot change.
    pub(super) fn ask(&self, index: usize, now: i64) -> Answer {
        match self {
            Self::Age { times, operator, offset } if times[index] != NO_TIME => {
                ask_age(times[index], *operator, *offset, now)
            }
            _ => Answer::always(self.passes(index, now)),
        }
    }

    /// The moments at which that changes.
    pub(super) fn moments(&self, index: usize) -> impl Iterator<Item = i64> + use<> {
        let moments = match self {
            Self::Age { times, operator, offset } if times[index] != NO_TIME => {
                Some(age_moments(times[index], *operator, *offset))
            }
            _ => None,
        };
        moments.into_iter().flatten()
    }

    /// Whether an event passes now.
    pub(super) fn passes(&self, index: usize, now: i64) -> bool {
        match self {
            Self::Has(presences) => presences.iter().any(|presence| presence.has(index)),
            Self::Codes { codes, accepted } => accepted[codes.get(index) as usize],
            Self::Text { texts, test } => texts.get(index).is_some_and(|text| test.accepts(text)),
            Self::Number { numbers, test } => {
                !numbers[index].is_nan() && test.accepts(numbers[index])
            }
            Self::Flag { flags, wanted } => flags[index] == Some(*wanted),
            Self::Time { times, operator, time } => {
                times[index] != NO_TIME && operator.holds(&times[index], time)
            }
            Self::Age { times, operator, offset } => {
                times[index] != NO_TIME && operator.holds(&times[index], &(now + offset))
            }
        }
    }
}

impl<'a> Presence<'a> {
    fn of(kind: Kind, property: &str, properties: &'a Properties) -> Self {
        match kind {
            Kind::Text => Self::Texts(&loaded(&properties.texts, property).codes),
            Kind::Number => Self::Numbers(loaded(&properties.numbers, property).as_slice()),
            Kind::Flag => Self::Flags(loaded(&properties.flags, property).as_slice()),
            Kind::Time => Self::Times(loaded(&properties.times, property).as_slice()),
            Kind::TextSet => Self::Sets(loaded(&properties.sets, property).as_slice()),
        }
    }

    fn has(&self, index: usize) -> bool {
        match self {
            Self::Texts(codes) => codes.get(index) != NO_TEXT,
            Self::Numbers(numbers) => !numbers[index].is_nan(),
            Self::Flags(flags) => flags[index].is_some(),
            Self::Times(times) => times[index] != NO_TIME,
            Self::Sets(sets) => sets[index],
        }
    }
}
