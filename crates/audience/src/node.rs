//! The compiled form of a rule: every name, kind and length settled, in the order in which it is cheapest to ask.

use std::collections::HashSet;

use crate::bucket::BucketTest;
use crate::mentions::Field;
use crate::rule::{Operator, Position, Sequel};
use crate::schema::Kind;
use crate::texts::Texts;
use crate::window::Span;

#[derive(Debug)]
pub(crate) enum Node {
    All(Operands),
    Any(Operands),
    Not(Box<Self>),
    Leaf(Leaf),
}

/// As they are written, and the order in which to ask them.
#[derive(Debug)]
pub(crate) struct Operands {
    written: Vec<Node>,
    order: Vec<usize>,
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
    Bucket(BucketTest),
    Behaviour(BehaviourTest),
}

#[derive(Debug)]
pub(crate) struct BehaviourTest {
    pub(crate) event: String,
    pub(crate) filters: Vec<PropertyTest>,
    pub(crate) span: Span,
    pub(crate) order: Option<OrderTest>,
    pub(crate) aggregate: AggregateTest,
}

#[derive(Debug)]
pub(crate) struct OrderTest {
    pub(crate) sequel: Sequel,
    pub(crate) event: String,
    pub(crate) within: i64,
}

#[derive(Debug)]
pub(crate) enum AggregateTest {
    Count(CountTest),
    Number { reduction: Reduction, property: String, operator: Operator, value: f64 },
}

/// How many numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Sum,
    Min,
    Max,
    Average,
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
    /// There is a value of one of these kinds.
    Has {
        property: String,
        kinds: Vec<Kind>,
    },
    Text {
        property: String,
        test: TextTest,
    },
    Number {
        property: String,
        test: NumberTest,
    },
    Flag {
        property: String,
        wanted: bool,
    },
    Time {
        property: String,
        operator: Operator,
        time: i64,
    },
    Age {
        property: String,
        operator: Operator,
        offset: i64,
    },
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
    /// Roughly, nanoseconds for 64 contacts.
    fn cost(&self) -> u32 {
        match self {
            Self::All(operands) | Self::Any(operands) => {
                operands.written.iter().map(Self::cost).fold(0, u32::saturating_add)
            }
            Self::Not(operand) => operand.cost(),
            Self::Leaf(leaf) => leaf.cost(),
        }
    }
}

impl Operands {
    pub(crate) fn new(written: Vec<Node>) -> Self {
        let mut order: Vec<usize> = (0..written.len()).collect();
        order.sort_by_cached_key(|index| written[*index].cost());
        Self { written, order }
    }

    pub(crate) fn as_written(&self) -> &[Node] {
        &self.written
    }

    /// So that what is cheap, and may make the rest needless, is asked first.
    pub(crate) fn cheapest_first(&self) -> impl Iterator<Item = &Node> {
        self.order.iter().map(|index| &self.written[*index])
    }
}

impl Leaf {
    fn cost(&self) -> u32 {
        match self {
            Self::Has(_) | Self::Flag { .. } => 1,
            Self::Contains { .. } => 5,
            Self::Text { test: TextTest::Compare(..) | TextTest::In(_), .. } => 10,
            Self::Number { test: NumberTest::Compare(..), .. } | Self::Time { .. } => 20,
            Self::Age { .. } | Self::Bucket(_) => 40,
            Self::Text { test: TextTest::Match(..), .. } => 100,
            Self::Number { test: NumberTest::In(_), .. } => 200,
            Self::Behaviour(test) => test.cost(),
        }
    }
}

impl BehaviourTest {
    /// Whether it is only asked how many events there are, so that their times answer it.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.aggregate, AggregateTest::Count(_))
            && self.filters.is_empty()
            && self.order.is_none()
    }

    /// Whether an event may come to be counted, or cease to, otherwise than by entering or leaving the window.
    pub(crate) fn is_timed(&self) -> bool {
        self.order.is_some()
            || self.filters.iter().any(|filter| matches!(filter, PropertyTest::Age { .. }))
    }

    fn cost(&self) -> u32 {
        if self.is_plain() {
            return if self.span.to == 0 { 100 } else { 200 };
        }
        let filters = u32::try_from(self.filters.len()).unwrap_or(u32::MAX);
        let timed = if self.is_timed() { 600_u32 } else { 300 };
        timed.saturating_add(filters.saturating_mul(50))
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
    /// What it reads.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let field = |name: &String, kind| Field { name: name.clone(), kind };
        match self {
            Self::Has { property, kinds } => {
                kinds.iter().map(|kind| field(property, *kind)).collect()
            }
            Self::Text { property, .. } => vec![field(property, Kind::Text)],
            Self::Number { property, .. } => vec![field(property, Kind::Number)],
            Self::Flag { property, .. } => vec![field(property, Kind::Flag)],
            Self::Time { property, .. } | Self::Age { property, .. } => {
                vec![field(property, Kind::Time)]
            }
        }
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
