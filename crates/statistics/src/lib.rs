//! The statistics of e-mail experiments: who gets which arm, whether there is a winner yet, and how sure we are.
//!
//! Everything here is pure: no clock, no randomness, no input or output; the same arguments give the same bits. Three
//! parts make the pipeline of an experiment. [`assignment`] puts a contact in an arm by hashing. [`response`] tells how
//! mature a campaign's outcomes are. [`monitor`] turns the looks taken so far into one [`monitor::Verdict`] by a fixed
//! ladder of questions, and [`path`] draws what came of them. Below are the tests and intervals they are made of, for
//! reports to use as well:
//!
//! - looking often: [`group_sequential`] with a deadline, [`anytime`], [`safe_logrank`] and [`confidence_sequence`]
//!   without one, [`strata`] where the shares of the arms change on the way;
//! - rates and means against a control or a holdout: [`effect`], [`fisher`], [`contingency`], [`ratio`], [`cuped`],
//!   [`segment`];
//! - whether they can be trusted: [`sample_ratio`], [`guardrail`], [`multiplicity`];
//! - which arm is best, for display and bandits: [`posterior`], [`bandit`];
//! - how many recipients it takes: [`power`].
//!
//! A formula's source is named where the formula is. Tails of distributions are computed as tails, never as one minus
//! the rest, so that a probability of 1e-30 keeps its digits.

pub mod anytime;
pub mod assignment;
pub mod bandit;
pub mod confidence_sequence;
pub mod contingency;
pub mod cuped;
pub mod effect;
mod error;
pub mod fisher;
pub mod group_sequential;
pub mod guardrail;
pub mod monitor;
pub mod multiplicity;
mod number;
pub mod pairs;
pub mod path;
pub mod posterior;
pub mod power;
mod proportion;
pub mod ratio;
pub mod response;
pub mod safe_logrank;
pub mod sample_ratio;
pub mod segment;
mod special;
pub mod spending;
pub mod strata;

pub use error::Error;
pub use number::{Alpha, Estimate, Fraction, Interval};
pub use proportion::Proportion;
