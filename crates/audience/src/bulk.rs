//! Evaluation of a whole block: one pass over a column per test, 64 contacts to a word.

use crate::bitset::Bitset;
use crate::block::{Block, loaded};
use crate::bucket::BUCKET_KEY;
use crate::column::Column;
use crate::crowd::behaved;
use crate::due::Due;
use crate::lanes::{both, compared, lanes, note_later};
use crate::node::{Leaf, Node, NumberTest, TextTest, contains};
use crate::rule::Operator;
use crate::texts::{Codes, Texts};
use crate::times::{Moment, Times};
use crate::window::age_shifts;

/// Up to so many codes are compared one by one, in all lanes at once.
const COMPARED: usize = 4;

/// The evaluation of one plan over one block at one moment.
pub(crate) struct Bulk<'a> {
    block: &'a Block,
    now: i64,
    due: Due,
}

impl<'a> Bulk<'a> {
    pub(crate) fn new(block: &'a Block, now: i64, due: Due) -> Self {
        Self { block, now, due }
    }

    /// When the answers given may change by time alone.
    pub(crate) fn into_due(self) -> Due {
        self.due
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
                let candidates = both(candidates, &column.present);
                times(&column.values, &candidates, (*operator, *time))
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
            Leaf::Behaviour(test) => {
                behaved(test, self.block, candidates, (self.now, &mut self.due))
            }
        }
    }

    fn age(
        &mut self,
        column: &Column<Times>,
        (operator, offset): (Operator, i64),
        candidates: &Bitset,
    ) -> Bitset {
        let candidates = both(candidates, &column.present);
        let (first, second) = age_shifts(operator, offset);
        let shifts = if first == second { &[first][..] } else { &[first, second] };
        for shift in shifts {
            let rolling = (*shift, self.now);
            match &column.values {
                Times::Seconds(times) => note_later(times, &candidates, rolling, &mut self.due),
                Times::Micros(times) => note_later(times, &candidates, rolling, &mut self.due),
            }
        }
        times(&column.values, &candidates, (operator, self.now + offset))
    }
}

/// Compares with a moment, which need not be a whole second where the times are.
fn times(times: &Times, candidates: &Bitset, (operator, other): (Operator, i64)) -> Bitset {
    match times {
        Times::Micros(times) => compared(times, candidates, operator, other),
        Times::Seconds(times) => {
            let floor = i32::floor(other);
            match operator {
                Operator::LessOrEqual | Operator::Greater => {
                    compared(times, candidates, operator, floor)
                }
                // Less than a moment is no later than the microsecond before it.
                Operator::Less => {
                    compared(times, candidates, Operator::LessOrEqual, i32::floor(other - 1))
                }
                Operator::GreaterOrEqual => {
                    compared(times, candidates, Operator::Greater, i32::floor(other - 1))
                }
                _ if floor.micros() == other => compared(times, candidates, operator, floor),
                Operator::Equal => Bitset::new(),
                Operator::NotEqual => candidates.clone(),
            }
        }
    }
}

fn texts(column: &Column<Texts>, test: &TextTest, candidates: &Bitset) -> Bitset {
    let texts = &column.values;
    if let Some(accepted) = test.few_accepted(texts)
        && accepted.len() <= COMPARED
    {
        return match &texts.codes {
            Codes::Bytes(codes) => equal_to_one(codes, &accepted, candidates),
            Codes::Shorts(codes) => equal_to_one(codes, &accepted, candidates),
            Codes::Words(codes) => equal_to_one(codes, &accepted, candidates),
        };
    }
    if (candidates.len() as usize) < texts.dictionary().len() {
        let accepts = |slot: &u16| texts.get((*slot).into()).is_some_and(|it| test.accepts(it));
        return both(candidates, &column.present).iter().filter(accepts).collect();
    }
    let accepted = test.accepted(texts);
    match &texts.codes {
        Codes::Bytes(codes) => lanes(codes, candidates, |code| accepted[usize::from(code)]),
        Codes::Shorts(codes) => lanes(codes, candidates, |code| accepted[usize::from(code)]),
        Codes::Words(codes) => lanes(codes, candidates, |code| accepted[code as usize]),
    }
}

/// The candidates whose code is one of a few.
#[expect(clippy::needless_bitwise_bool, reason = "a branch per value is what takes time")]
fn equal_to_one<T>(codes: &[T], accepted: &[u32], candidates: &Bitset) -> Bitset
where
    T: Copy + PartialEq + TryFrom<u32>,
{
    let accepted: Vec<T> = accepted.iter().filter_map(|code| T::try_from(*code).ok()).collect();
    match *accepted.as_slice() {
        [] => Bitset::new(),
        [one] => lanes(codes, candidates, |code| code == one),
        [one, other] => lanes(codes, candidates, |code| (code == one) | (code == other)),
        [first, second, third, ..] => {
            let last = accepted.get(3).copied().unwrap_or(third);
            let is_one =
                |code| (code == first) | (code == second) | (code == third) | (code == last);
            lanes(codes, candidates, is_one)
        }
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
