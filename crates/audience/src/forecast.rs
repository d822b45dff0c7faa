//! When an answer about one contact changes, and when it last did, if nothing happens but that time passes.

use crate::block::{Block, loaded};
use crate::mentions::Reach;
use crate::node::{Leaf, Node};
use crate::schema::DEALS;
use crate::single::Single;
use crate::window::next_change;

/// How many looks at events and at attributes are spent on finding moments: some tens of milliseconds.
///
/// A clause may have as many moments as its contact has events, and look at all of them at each. So a thousand events
/// are followed to their end, and of a million only some moments are looked at.
const MOST_LOOKS: usize = 5_000_000;

/// Until when an answer stays as it is, if nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At this moment it is another one; before, it is not.
    Moment(i64),
    /// For ever.
    Never,
    /// At least up to this moment. There are so many before it at which it could have changed, and did not, that no
    /// later one was looked at.
    NotBefore(i64),
}

/// Looks ahead and back from a moment in the life of one contact.
pub(crate) struct Forecast<'a> {
    block: &'a Block,
    slot: u16,
    now: i64,
    looks: usize,
}

impl<'a> Forecast<'a> {
    pub(crate) fn new(block: &'a Block, slot: u16, now: i64) -> Self {
        Self { block, slot, now, looks: MOST_LOOKS }
    }

    /// Whether the node is true of the contact now, and how long that stays.
    pub(crate) fn ahead(&mut self, node: &Node) -> (bool, Until) {
        let looks = self.looks_of(node);
        let (holds, mut next) = self.ask(node, self.now);
        loop {
            let Some(moment) = next_change(next) else { return (holds, Until::Never) };
            if !self.afford(looks) {
                return (holds, Until::NotBefore(moment));
            }
            let (then, after) = self.ask(node, moment);
            if then != holds {
                return (holds, Until::Moment(moment));
            }
            next = after;
        }
    }

    /// The moment at which the node's answer became what it is now; `None` if it has always been that, as far as can
    /// be told, or if it cannot be told.
    pub(crate) fn back(&mut self, node: &Node, holds: bool) -> Option<i64> {
        if !self.is_history(node) {
            return None;
        }
        let mut moments = Vec::new();
        self.moments(node, &mut moments);
        moments.retain(|moment| *moment <= self.now);
        moments.sort_unstable_by(|left, right| right.cmp(left));
        moments.dedup();
        let looks = self.looks_of(node);
        // Between two neighbours nothing changes, so it is enough to look just before each.
        moments
            .into_iter()
            .map_while(|moment| self.afford(looks).then(|| (moment, self.ask(node, moment - 1).0)))
            .find(|(_, before)| *before != holds)
            .map(|(moment, _)| moment)
    }

    fn ask(&self, node: &Node, at: i64) -> (bool, i64) {
        let mut single = Single::new(self.block, self.slot, at);
        let holds = single.node(node);
        (holds, single.next())
    }

    fn afford(&mut self, looks: usize) -> bool {
        let left = self.looks.checked_sub(looks);
        self.looks = left.unwrap_or(self.looks);
        left.is_some()
    }

    /// What it costs at most to ask about the node.
    fn looks_of(&self, node: &Node) -> usize {
        match node {
            Node::All(operands) | Node::Any(operands) => {
                1 + operands
                    .as_written()
                    .iter()
                    .map(|operand| self.looks_of(operand))
                    .sum::<usize>()
            }
            Node::Not(operand) => 1 + self.looks_of(operand),
            Node::Leaf(Leaf::Behaviour(test)) if !test.is_plain() => {
                1 + loaded(&self.block.events, &test.event).range(self.slot).len()
            }
            Node::Leaf(_) => 1,
        }
    }

    /// Whether what is loaded tells what the answer was in the past. Of attributes and deals it is not known since
    /// when they are as they are, save that those compared with now are taken to have been so, as they say of
    /// themselves which moment they mean; of events, all of the past has to be loaded.
    fn is_history(&self, node: &Node) -> bool {
        let is_loaded = |event: &String| {
            let mention = self.block.mentions().events.get(event);
            mention.is_some_and(|mention| mention.reach == Reach::Ever)
        };
        match node {
            Node::All(operands) | Node::Any(operands) => {
                operands.as_written().iter().all(|operand| self.is_history(operand))
            }
            Node::Not(operand) => self.is_history(operand),
            Node::Leaf(Leaf::Age { .. } | Leaf::Bucket(_)) => true,
            Node::Leaf(Leaf::Behaviour(test)) => {
                test.event != DEALS
                    && is_loaded(&test.event)
                    && test.order.as_ref().is_none_or(|order| is_loaded(&order.event))
            }
            Node::Leaf(_) => false,
        }
    }

    /// All moments at which the answer may change.
    fn moments(&self, node: &Node, moments: &mut Vec<i64>) {
        match node {
            Node::All(operands) | Node::Any(operands) => {
                operands.as_written().iter().for_each(|operand| self.moments(operand, moments));
            }
            Node::Not(operand) => self.moments(operand, moments),
            Node::Leaf(leaf) => {
                Single::new(self.block, self.slot, self.now).moments(leaf, moments);
            }
        }
    }
}
