//! The statistics of e-mail experiments: who gets which arm, whether there is a winner yet, and how sure we are.
//!
//! Everything here is pure: no clock, no randomness, no input or output; the same arguments give the same bits. Three
//! parts make the pipeline of an experiment. [`assignment`] puts a contact in an arm by hashing. [`response`] tells how
//! mature a campaign's outcomes are. [`monitor`] turns the looks taken so far into one [`monitor::Verdict`] by a fixed
//! ladder of questions. Below them are the tests and intervals they are made of, for reports to use as well: [`effect`]
//! for rates and means against a control or a holdout, [`group_sequential`] for boundaries that may be looked at often,
//! [`sample_ratio`], [`guardrail`], [`multiplicity`], [`posterior`], [`power`] and [`segment`].
//!
//! A formula's source is named where the formula is. Tails of distributions are computed as tails, never as one minus
//! the rest, so that a probability of 1e-30 keeps its digits.

pub mod assignment;
pub mod contingency;
pub mod effect;
mod error;
pub mod group_sequential;
pub mod guardrail;
pub mod monitor;
pub mod multiplicity;
mod number;
pub mod posterior;
pub mod power;
mod proportion;
pub mod response;
pub mod sample_ratio;
pub mod segment;
mod special;
pub mod spending;

pub use error::Error;
pub use number::{Alpha, Estimate, Fraction, Interval};
pub use proportion::Proportion;
