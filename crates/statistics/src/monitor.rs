//! From the looks taken so far to one verdict: go on, promote an arm, or hold and ask a person.
//!
//! An experiment freezes its [`Design`] when it starts. From time to time somebody counts what every arm has done and
//! stores the counts as a [`Look`]; [`assess`] is given all of them, the last being the present. It remembers nothing in
//! between, so the same looks give the same verdict, to the bit, on every replica; and a verdict can be recomputed years
//! later from what was stored.
//!
//! It climbs a ladder, and the first rung that holds decides:
//!
//! 1. the arms did not get the numbers they should have: hold;
//! 2. the look is too early or too small to judge: continue;
//! 3. the leader beats every other arm at the boundary: promote it, unless it merely answers sooner (continue) or harms
//!    (hold);
//! 4. the deadline is still ahead: continue;
//! 5. the leader beats the control but not every variant: promote it, naming the tie;
//! 6. nothing is significant: what the design says, never called significant.
//!
//! Every promotion is a recommendation that somebody approves. A test without a deadline stays on the first four rungs
//! until it is decided or somebody ends it.
//!
//! [`replay`] answers what was decided at each look, for audits and pictures.

mod course;
mod design;
mod evidence;
mod ladder;
mod readings;
#[cfg(test)]
mod tests;
mod trial;
mod verdict;

pub use design::{Design, Method, TimingGuard, WhenInconclusive};
pub use evidence::{ArmCounts, Evidence, GuardrailCounts, Look, Sending};
pub use ladder::{assess, replay};
pub use verdict::{
    Action, Admission, AgainstControl, ArmReading, Decision, GuardrailReading, Reason, SampleRatio,
    Statistic, Test, Verdict,
};
