//! Evaluation of a whole block: one pass over a column per test, 64 contacts to a word.

use crate::behaviour::Question;
use crate::bitset::Bitset;
use crate::block::{Block, loaded};
use crate::bucket::BUCKET_KEY;
use crate::column::{Column, Texts};
use crate::lanes::{both, compared, earliest, lanes};
use crate::node::{BehaviourTest, Leaf, Node, NumberTest, TextTest, contains};
use crate::rule::Operator;
use crate::window::{NEVER, age_shifts};

/// The evaluation of one plan over one block at one moment.
pub(crate) struct Bulk<'a> {
    block: &'a Block,
    now: i64,
    next: i64,
}

impl<'a> Bulk<'a> {
    pub(crate) fn new(block: &'a Block, now: i64) -> Self {
        Self { block, now, next: NEVER }
    }

    /// The first moment at which an answer given so far may change by time alone.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Which of the candidates the node is true of. Nothing is asked about anyone else.
    pub(crate) fn node(&mut self, node: &Node, candidates: &Bitset) -> Bitset {
        match node {
            Node::All(operands) => self.all(operands.cheapest_first(), candidates),
            Node::Any(operands) => {
                let mut open = candidates.clone();
                let mut found = Bitset::new();
                for operand in operands.cheapest_first() {
                    if open.is_empty() {
                        break;
                    }
                    let hits = self.node(operand, &open);
                    open -= &hits;
                    found |= &hits;
                }
                found
            }
            Node::Not(operand) => {
                let mut rest = candidates.clone();
                rest -= &self.node(operand, candidates);
                rest
            }
            Node::Leaf(leaf) => self.leaf(leaf, candidates),
        }
    }

    /// Which of the candidates all nodes are true of.
    fn all<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n Node>,
        candidates: &Bitset,
    ) -> Bitset {
        let mut running = candidates.clone();
        for node in nodes {
            if running.is_empty() {
                break;
            }
            running = self.node(node, &running);
        }
        running
    }

    fn leaf(&mut self, leaf: &Leaf, candidates: &Bitset) -> Bitset {
        let attributes = &self.block.attributes;
        match leaf {
            Leaf::Has(field) => both(candidates, self.block.present(field)),
            Leaf::Text { attribute, test } => {
                texts(loaded(&attributes.texts, attribute), test, candidates)
            }
            Leaf::Number { attribute, test } => {
                numbers(loaded(&attributes.numbers, attribute), test, candidates)
            }
            Leaf::Flag { attribute, wanted } => {
                let column = loaded(&attributes.flags, attribute);
                let mut found = both(candidates, &column.present);
                if *wanted {
                    found &= &column.values;
                } else {
                    found -= &column.values;
                }
                found
            }
            Leaf::Time { attribute, operator, time } => {
                let column = loaded(&attributes.times, attribute);
                compared(&column.values, &both(candidates, &column.present), *operator, *time)
            }
            Leaf::Age { attribute, operator, offset } => {
                let column = loaded(&attributes.times, attribute);
                self.age(column, (*operator, *offset), candidates)
            }
            Leaf::Contains { attribute, member } => {
                let column = loaded(&attributes.sets, attribute);
                let slots = column.values.get(member.as_str()).map_or(&[][..], Vec::as_slice);
                both(&slots.iter().copied().collect(), candidates)
            }
            Leaf::Bucket(test) => {
                let column = loaded(&attributes.numbers, BUCKET_KEY);
                lanes(&column.values, &both(candidates, &column.present), |key| test.accepts(key))
            }
            Leaf::Behaviour(test) => self.behaviour(test, candidates),
        }
    }

    fn age(
        &mut self,
        column: &Column<Vec<i64>>,
        (operator, offset): (Operator, i64),
        candidates: &Bitset,
    ) -> Bitset {
        let candidates = both(candidates, &column.present);
        let (first, second) = age_shifts(operator, offset);
        for shift in [first, second] {
            self.next = self.next.min(earliest(&column.values, &candidates, shift, self.now));
        }
        compared(&column.values, &candidates, operator, self.now + offset)
    }

    fn behaviour(&mut self, test: &BehaviourTest, candidates: &Bitset) -> Bitset {
        let mut question = Question::to_many(test, self.block);
        let mut found = Bitset::new();
        for slot in candidates.iter() {
            let answer = question.ask(slot, self.now);
            if answer.holds {
                found.insert(slot);
            }
            self.next = self.next.min(answer.next);
        }
        found
    }
}

/// Tests each string of the dictionary once, then looks codes up.
fn texts(column: &Column<Texts>, test: &TextTest, candidates: &Bitset) -> Bitset {
    let candidates = both(candidates, &column.present);
    let Texts { codes, dictionary } = &column.values;
    let accepted: Vec<bool> = dictionary.iter().map(|text| test.accepts(text)).collect();
    let mut codes_found = (0_u32..).zip(&accepted).filter(|(_, accepted)| **accepted);
    match (codes_found.next(), codes_found.next()) {
        (None, _) => Bitset::new(),
        (Some((only, _)), None) => lanes(codes, &candidates, |code| code == only),
        _ => lanes(codes, &candidates, |code| accepted[code as usize]),
    }
}

fn numbers(column: &Column<Vec<f64>>, test: &NumberTest, candidates: &Bitset) -> Bitset {
    let candidates = both(candidates, &column.present);
    match test {
        NumberTest::Compare(operator, value) => {
            compared(&column.values, &candidates, *operator, *value)
        }
        NumberTest::In(values) => {
            lanes(&column.values, &candidates, |number| contains(values, number))
        }
    }
}
