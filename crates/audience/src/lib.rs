//! Who belongs to an audience: the segment language and its columnar evaluation.
//!
//! A [`Rule`] is checked against a workspace's [`Schema`] and becomes a [`Plan`]. The plan says what it
//! [mentions](Plan::mentions), a [`BlockBuilder`] loads those columns for up to 65,536 contacts, and the plan
//! [evaluates](Plan::evaluate) the [`Block`] into a [`Bitset`] together with the first moment at which time
//! alone could change an answer. A plan also [explains](Plan::explain) its answer about one contact, and finds the
//! moment at which that [really changes](Plan::deadline).
//!
//! A rule is a tree, and text in the syntax of CEL: [`RuleText`] reads it and shows in it what is wrong. The rules of
//! other segments take the place of references to them when a plan is made. Everything here is a pure function of its
//! arguments: no clock, no I/O.
//!
//! Moments are `i64` microseconds since 1970 in UTC, held to within 36,000 years of it.

mod behaviour;
mod bitset;
mod block;
mod bucket;
mod builder;
mod bulk;
mod closest;
mod column;
mod compile;
mod crowd;
mod due;
mod error;
mod events;
mod explain;
mod forecast;
mod lanes;
mod limits;
mod mentions;
mod node;
mod parse;
mod patch;
mod plan;
mod rule;
mod schema;
mod shape;
mod single;
mod texts;
mod times;
mod window;

pub use bitset::{Bitset, MalformedBits, SLOTS};
pub use block::Block;
pub use bucket::{BUCKET_KEY, bucket_key};
pub use builder::{BlockBuilder, Value};
pub use error::{Place, RuleError, TextError};
pub use explain::{Counted, Evidence, Explanation};
pub use forecast::Until;
pub use limits::Limits;
pub use mentions::{EventMention, Field, Mentions, Reach};
pub use parse::RuleText;
pub use patch::Patch;
pub use plan::{ClauseCount, Membership, Outlook, Plan};
pub use rule::{
    ACCOUNT, Aggregate, Behaviour, Deals, Filter, Literal, Operator, Order, Position, Rule,
    SUBSCRIPTIONS, Sequel, Window,
};
pub use schema::{DEALS, Kind, Schema};
