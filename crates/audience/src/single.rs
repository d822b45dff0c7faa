//! Evaluation of one contact, without touching the others: what a change of its data costs.

use crate::behaviour::Question;
use crate::block::{Block, loaded};
use crate::bucket::BUCKET_KEY;
use crate::node::{Leaf, Node};
use crate::window::{NEVER, age_moments, ask_age};

/// The evaluation of one plan for one contact at one moment.
///
/// It asks the same questions in the same order as [`Bulk`](crate::bulk::Bulk) asks about this contact, so both
/// find the same answer and the same next moment.
pub(crate) struct Single<'a> {
    block: &'a Block,
    slot: u16,
    now: i64,
    next: i64,
}

impl<'a> Single<'a> {
    pub(crate) fn new(block: &'a Block, slot: u16, now: i64) -> Self {
        Self { block, slot, now, next: NEVER }
    }

    /// The first moment at which an answer given so far may change by time alone.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Whether the node is true of the contact.
    pub(crate) fn node(&mut self, node: &Node) -> bool {
        match node {
            Node::All(operands) => operands.cheapest_first().all(|operand| self.node(operand)),
            Node::Any(operands) => operands.cheapest_first().any(|operand| self.node(operand)),
            Node::Not(operand) => !self.node(operand),
            Node::Leaf(leaf) => self.leaf(leaf),
        }
    }

    /// All moments, past and future, at which the answer of a leaf may change.
    pub(crate) fn moments(&self, leaf: &Leaf, moments: &mut Vec<i64>) {
        match leaf {
            Leaf::Age { attribute, operator, offset } => {
                let column = loaded(&self.block.attributes.times, attribute);
                if column.present.contains(self.slot) {
                    let time = column.values.get(self.slot.into());
                    moments.extend(age_moments(time, *operator, *offset));
                }
            }
            Leaf::Behaviour(test) => {
                Question::to_one(test, self.block).moments(self.slot, moments);
            }
            _ => {}
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> bool {
        let (slot, index) = (self.slot, usize::from(self.slot));
        let attributes = &self.block.attributes;
        match leaf {
            Leaf::Has(field) => self.block.present(field).contains(slot),
            Leaf::Text { attribute, test } => {
                let column = loaded(&attributes.texts, attribute);
                column.present.contains(slot) && test.accepts(column.values.text(index))
            }
            Leaf::Number { attribute, test } => {
                let column = loaded(&attributes.numbers, attribute);
                column.present.contains(slot) && test.accepts(column.values[index])
            }
            Leaf::Flag { attribute, wanted } => {
                let column = loaded(&attributes.flags, attribute);
                column.present.contains(slot) && column.values.contains(slot) == *wanted
            }
            Leaf::Time { attribute, operator, time } => {
                let column = loaded(&attributes.times, attribute);
                column.present.contains(slot) && operator.holds(&column.values.get(index), time)
            }
            Leaf::Age { attribute, operator, offset } => {
                let column = loaded(&attributes.times, attribute);
                if !column.present.contains(slot) {
                    return false;
                }
                let time = column.values.get(index);
                let answer = ask_age(time, *operator, *offset, self.now);
                self.next = self.next.min(answer.next);
                answer.holds
            }
            Leaf::Contains { attribute, member } => {
                let column = loaded(&attributes.sets, attribute);
                let slots = column.values.get(member.as_str());
                slots.is_some_and(|slots| slots.binary_search(&slot).is_ok())
            }
            Leaf::Bucket(test) => {
                let column = loaded(&attributes.numbers, BUCKET_KEY);
                column.present.contains(slot) && test.accepts(column.values[index])
            }
            Leaf::Behaviour(test) => {
                let answer = Question::to_one(test, self.block).ask(slot, self.now);
                self.next = self.next.min(answer.next);
                answer.holds
            }
        }
    }
}
