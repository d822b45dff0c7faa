//! A segment's rule as a typed tree: what people write, store and approve. [`Plan`](crate::Plan) is what runs.

mod text;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::schema::Kind;

/// A condition on one contact. A comparison with a missing value is false; `Has` asks whether there is one.
///
/// An attribute whose name begins with [`ACCOUNT`] is one of the contact's account, and written as such:
/// `account.industry`. To everything but the text it is an attribute like any other.
///
/// `Display` writes it in the syntax of CEL, which [`parse`](Self::parse) reads. Writing, like `clone` and `drop`,
/// recurses as deep as the rule is: whoever decodes one bounds its depth, and
/// [`Plan::compile`](crate::Plan::compile) checks it.
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
    /// The deals of the contact.
    Deals(Deals),
    /// `in_segment("vip")`: the rule of another segment of the workspace.
    InSegment { segment: String },
    /// `subscribed("newsletter")`: the set of strings [`SUBSCRIPTIONS`] contains the topic.
    Subscribed { topic: String },
    /// `bucket("holdout-2026", 0, 10)`: of a hundred equal parts into which the salt divides all contacts, this one
    /// is in one of those from `from` up to but without `to`. Always the same, whatever else is known of a contact.
    Bucket { salt: String, from: u8, to: u8 },
}

impl Rule {
    /// The segments whose rules it needs, as it is written; those have references of their own.
    pub fn references(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![self];
        while let Some(rule) = open.pop() {
            match rule {
                Self::All(operands) | Self::Any(operands) => open.extend(operands),
                Self::Not(operand) => open.push(operand),
                Self::InSegment { segment } => {
                    found.insert(segment.as_str());
                }
                _ => {}
            }
        }
        found
    }
}

/// What the names of an account's attributes begin with.
pub const ACCOUNT: &str = "account.";

/// The attribute in which the topics are to which a contact has subscribed.
pub const SUBSCRIPTIONS: &str = "subscriptions";

/// `events("purchase").where(e, e.amount >= 50.0).within("90d").sum("amount") >= 200.0`
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    pub event: String,
    /// Only events that satisfy all of these are counted.
    pub filters: Vec<Filter>,
    /// Only events within it are counted.
    pub window: Window,
    /// Only events after which another one came, or did not, are counted.
    pub order: Option<Order>,
    pub aggregate: Aggregate,
    pub operator: Operator,
    /// What the aggregate is compared with; a whole number for a count.
    pub value: f64,
}

/// What came, or did not come, after an event, whatever window and filters ask of the event itself.
///
/// Let the event be at `t`, and `p` the first event of the other name with `t < p <= t + within`. One at the very
/// moment of the event comes with it and not after it.
///
/// - `FollowedBy` counts the event from `p` on, for ever; never if there is no `p`.
/// - `NotFollowedBy` counts the event from `t + within` on, for ever, if there is no `p`, and never if there is one:
///   as long as one may yet come, it is not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub sequel: Sequel,
    /// The other event; it may have the same name.
    pub event: String,
    pub within: TimeDelta,
}

/// Whether something has to come after an event, or must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequel {
    FollowedBy,
    NotFollowedBy,
}

/// `deals.where(d, d.stage == "won").sum("amount") >= 50000.0`, over all deals of the contact, whenever they were
/// made; `deals.exists(d, d.stage == "negotiation")` is a count of at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Deals {
    /// Only deals that satisfy all of these are counted.
    pub filters: Vec<Filter>,
    pub aggregate: Aggregate,
    pub operator: Operator,
    /// What the aggregate is compared with; a whole number for a count.
    pub value: f64,
}

/// A condition on one property of an event or of a deal. Whatever it asks, it is false if the property is missing or
/// has a value of another kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// `has(e.coupon)`
    Has { property: String },
    /// `e.amount >= 50.0`
    Compare { property: String, operator: Operator, value: Literal },
    /// `e.actor in ["human", "unknown"]`, for strings and numbers.
    In { property: String, values: Vec<Literal> },
    /// `e.url.startsWith("https://")`; case matters.
    Text { property: String, position: Position, text: String },
    /// `d.close_time < now + duration("14d")`: the offset is added to now.
    Age { property: String, operator: Operator, offset: TimeDelta },
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

/// What is computed over the events in a window, or over deals. Those without the property, or with one that is not
/// a number, are as good as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// How many there are.
    Count,
    /// The sum; of none it is zero.
    Sum(String),
    /// The least; of none there is none, and every comparison is false.
    Min(String),
    /// The greatest; of none there is none.
    Max(String),
    /// The mean; of none there is none.
    Average(String),
}

impl Aggregate {
    /// Its name in the text, and the property it reads.
    pub(crate) fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Count => ("count", None),
            Self::Sum(property) => ("sum", Some(property)),
            Self::Min(property) => ("min", Some(property)),
            Self::Max(property) => ("max", Some(property)),
            Self::Average(property) => ("avg", Some(property)),
        }
    }
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

impl Filter {
    pub(crate) fn property(&self) -> &str {
        match self {
            Self::Has { property }
            | Self::Compare { property, .. }
            | Self::In { property, .. }
            | Self::Text { property, .. }
            | Self::Age { property, .. } => property,
        }
    }
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
