//! Who belongs to an audience: the segment language and its columnar evaluation.
//!
//! A [`Rule`] is checked against a workspace's [`Schema`] and becomes a [`Plan`]. The plan says what it
//! [mentions](Plan::mentions), a [`BlockBuilder`] loads those columns for up to 65,536 contacts, and the plan
//! [evaluates](Plan::evaluate) the [`Block`] into a [`Bitset`] together with the first moment at which time
//! alone could change an answer. Everything here is a pure function of its arguments: no clock, no I/O.
//!
//! Moments are `i64` microseconds since 1970 in UTC, held to within 36,000 years of it.

mod behaviour;
mod bitset;
mod block;
mod builder;
mod bulk;
mod closest;
mod column;
mod compile;
mod crowd;
mod due;
mod error;
mod events;
mod lanes;
mod limits;
mod mentions;
mod node;
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
pub use builder::{BlockBuilder, Value};
pub use error::RuleError;
pub use limits::Limits;
pub use mentions::{EventMention, Field, Mentions, Reach};
pub use patch::Patch;
pub use plan::{ClauseCount, Membership, Outlook, Plan};
pub use rule::{Aggregate, Behaviour, Filter, Literal, Operator, Position, Rule, Window};
pub use schema::{Kind, Schema};
