//! A segment's rule as a typed tree: what people write, store and approve. [`Plan`](crate::Plan) is what runs.

mod text;

use chrono::{DateTime, TimeDelta, Utc};

use crate::schema::Kind;

/// A condition on one contact. A comparison with a missing value is false; `Has` asks whether there is one.
///
/// `Display` writes it in the syntax of CEL. That, like `clone` and `drop`, recurses as deep as the rule is:
/// whoever decodes one bounds its depth, and [`Plan::compile`](crate::Plan::compile) checks it.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// True if every operand is; empty is true.
    All(Vec<Self>),
    /// True if at least one operand is; empty is false.
    Any(Vec<Self>),
    /// True if the operand is not.
    Not(Box<Self>),
    /// The contact has a value for this attribute; an empty set is a value.
    Has { attribute: String },
    /// `contact.plan == "pro"`
    Compare { attribute: String, operator: Operator, value: Literal },
    /// `contact.country in ["DE", "FR"]`, for strings and numbers.
    In { attribute: String, values: Vec<Literal> },
    /// `contact.email.endsWith("@acme.com")`; case matters.
    Text { attribute: String, position: Position, text: String },
    /// `"vip" in contact.tags`
    Contains { attribute: String, member: String },
    /// `contact.last_activity_at < now - duration("30d")`: the offset is added to now.
    Age { attribute: String, operator: Operator, offset: TimeDelta },
    /// What the contact did.
    Behaviour(Behaviour),
}

/// `events("purchase").where(e, e.amount >= 50.0).within("90d").sum("amount") >= 200.0`
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    pub event: String,
    /// Only events that satisfy all of these are counted.
    pub filters: Vec<Filter>,
    pub window: Window,
    pub aggregate: Aggregate,
    pub operator: Operator,
    /// What the aggregate is compared with; a whole number for a count.
    pub value: f64,
}

/// A comparison of one property of an event with a string, a number or a boolean.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    pub property: String,
    pub operator: Operator,
    pub value: Literal,
}

/// Which part of the past counts, as it rolls along with now: events with `now - from < time <= now - to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How long ago it begins; `None` is before the first event.
    pub from: Option<TimeDelta>,
    /// How long ago it ends; zero is now.
    pub to: TimeDelta,
}

impl Window {
    /// All of the past.
    pub const EVER: Self = Self { from: None, to: TimeDelta::zero() };

    /// The last `duration`, up to now.
    pub fn within(duration: TimeDelta) -> Self {
        Self { from: Some(duration), to: TimeDelta::zero() }
    }

    /// From `from` ago to `to` ago.
    pub fn between(from: TimeDelta, to: TimeDelta) -> Self {
        Self { from: Some(from), to }
    }
}

/// What is computed over the events in a window. Over no events, both are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    /// The sum of a number property; events without one add nothing.
    Sum(String),
}

/// How two values are compared. Strings are ordered by their bytes; booleans have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    pub(crate) fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// Where in a string another one is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Anywhere,
    Start,
    End,
}

/// A value written in a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Text(String),
    /// Finite.
    Number(f64),
    Flag(bool),
    /// In whole microseconds.
    Time(DateTime<Utc>),
}

impl Literal {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
            Self::Flag(_) => Kind::Flag,
            Self::Time(_) => Kind::Time,
        }
    }
}
