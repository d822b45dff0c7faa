//! How much a rule may ask for.

use chrono::TimeDelta;

/// Bounds on a rule, so that checking, storing and evaluating one costs a bounded amount.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes of the tree, filters of events included, and the rules of segments that it refers to.
    pub nodes: usize,
    /// Levels of the tree, with those of segments. Reading, checking and evaluating recurse this deep.
    pub depth: usize,
    /// Operands of one conjunction or disjunction, and filters of one behaviour.
    pub operands: usize,
    /// Values of one list.
    pub list: usize,
    /// Bytes of one string, names included.
    pub string: usize,
    /// Bytes of a rule's text; and of the strings in the rules of all segments that one refers to.
    pub text: usize,
    /// How far back a window of events reaches.
    pub window: TimeDelta,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 500,
            depth: 16,
            operands: 64,
            list: 10_000,
            string: 1_024,
            text: 1 << 20,
            window: TimeDelta::days(1_096),
        }
    }
}
