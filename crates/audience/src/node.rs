//! The compiled form of a rule: every name, kind and length settled, in the order in which it is cheapest to ask.

use std::collections::HashSet;

use crate::mentions::Field;
use crate::rule::{Operator, Position};
use crate::schema::Kind;
use crate::texts::Texts;
use crate::window::Span;

#[derive(Debug)]
pub(crate) enum Node {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Leaf(Leaf),
}

#[derive(Debug)]
pub(crate) enum Leaf {
    Has(Field),
    Text { attribute: String, test: TextTest },
    Number { attribute: String, test: NumberTest },
    Flag { attribute: String, wanted: bool },
    Time { attribute: String, operator: Operator, time: i64 },
    Age { attribute: String, operator: Operator, offset: i64 },
    Contains { attribute: String, member: String },
    Behaviour(BehaviourTest),
}

#[derive(Debug)]
pub(crate) struct BehaviourTest {
    pub(crate) event: String,
    pub(crate) filters: Vec<PropertyTest>,
    pub(crate) span: Span,
    pub(crate) aggregate: AggregateTest,
}

#[derive(Debug)]
pub(crate) enum AggregateTest {
    Count(CountTest),
    Sum { property: String, operator: Operator, value: f64 },
}

/// A count of at least `low` and less than `high`, or, if inverted, any other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountTest {
    pub(crate) low: usize,
    pub(crate) high: Option<usize>,
    pub(crate) inverted: bool,
}

#[derive(Debug)]
pub(crate) enum PropertyTest {
    Text { property: String, test: TextTest },
    Number { property: String, test: NumberTest },
    Flag { property: String, wanted: bool },
}

#[derive(Debug)]
pub(crate) enum TextTest {
    Compare(Operator, String),
    In(HashSet<String>),
    Match(Position, String),
}

#[derive(Debug)]
pub(crate) enum NumberTest {
    Compare(Operator, f64),
    /// Sorted.
    In(Vec<f64>),
}

impl Node {
    /// Sorts operands so that what is cheap, and may make the rest needless, is asked first.
    pub(crate) fn sort_cheapest_first(&mut self) {
        match self {
            Self::All(operands) | Self::Any(operands) => {
                operands.iter_mut().for_each(Self::sort_cheapest_first);
                operands.sort_by_cached_key(Self::cost);
            }
            Self::Not(operand) => operand.sort_cheapest_first(),
            Self::Leaf(_) => {}
        }
    }

    /// Roughly, nanoseconds for 64 contacts.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::All(operands) | Self::Any(operands) => operands.iter().map(Self::cost).sum(),
            Self::Not(operand) => operand.cost(),
            Self::Leaf(leaf) => leaf.cost(),
        }
    }
}

impl Leaf {
    fn cost(&self) -> u32 {
        match self {
            Self::Has(_) | Self::Flag { .. } => 1,
            Self::Contains { .. } => 5,
            Self::Text { test: TextTest::Compare(..) | TextTest::In(_), .. } => 10,
            Self::Number { test: NumberTest::Compare(..), .. } | Self::Time { .. } => 20,
            Self::Age { .. } => 40,
            Self::Text { test: TextTest::Match(..), .. } => 100,
            Self::Number { test: NumberTest::In(_), .. } => 200,
            Self::Behaviour(test) => match (&test.aggregate, test.filters.len()) {
                (AggregateTest::Count(_), 0) if test.span.to == 0 => 100,
                (AggregateTest::Count(_), 0) => 200,
                (_, filters) => 300 + 50 * u32::try_from(filters).unwrap_or(u32::MAX / 4_000),
            },
        }
    }
}

impl CountTest {
    pub(crate) fn new(operator: Operator, count: usize) -> Self {
        let (low, high) = match operator {
            Operator::Equal | Operator::NotEqual => (count, Some(count + 1)),
            Operator::Less => (0, Some(count)),
            Operator::LessOrEqual => (0, Some(count + 1)),
            Operator::Greater => (count + 1, None),
            Operator::GreaterOrEqual => (count, None),
        };
        Self { low, high, inverted: operator == Operator::NotEqual }
    }
}

impl PropertyTest {
    pub(crate) fn field(&self) -> Field {
        let (name, kind) = match self {
            Self::Text { property, .. } => (property, Kind::Text),
            Self::Number { property, .. } => (property, Kind::Number),
            Self::Flag { property, .. } => (property, Kind::Flag),
        };
        Field { name: name.clone(), kind }
    }
}

impl TextTest {
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Compare(operator, value) => operator.holds(text, value.as_str()),
            Self::In(values) => values.contains(text),
            Self::Match(Position::Anywhere, part) => text.contains(part.as_str()),
            Self::Match(Position::Start, part) => text.starts_with(part.as_str()),
            Self::Match(Position::End, part) => text.ends_with(part.as_str()),
        }
    }
}

impl TextTest {
    /// By the codes of a column: whether the string is accepted. No string never is.
    pub(crate) fn accepted(&self, texts: &Texts) -> Vec<bool> {
        std::iter::once(false).chain(texts.dictionary().map(|text| self.accepts(text))).collect()
    }

    /// The codes that are accepted, if looking them up is less work than looking at each of a dictionary.
    pub(crate) fn few_accepted(&self, texts: &Texts) -> Option<Vec<u32>> {
        match self {
            Self::Compare(Operator::Equal, text) => Some(texts.find(text).into_iter().collect()),
            Self::In(values) if values.len() < texts.dictionary().len() => {
                Some(values.iter().filter_map(|text| texts.find(text)).collect())
            }
            _ => None,
        }
    }
}

impl NumberTest {
    pub(crate) fn accepts(&self, number: f64) -> bool {
        match self {
            Self::Compare(operator, value) => operator.holds(&number, value),
            Self::In(values) => contains(values, number),
        }
    }
}

/// Whether one of the sorted values is equal to the number.
pub(crate) fn contains(sorted: &[f64], number: f64) -> bool {
    let index = sorted.partition_point(|value| *value < number);
    sorted.get(index).is_some_and(|value| Operator::Equal.holds(value, &number))
}
