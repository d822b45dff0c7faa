//! The loops over columns: 64 values make a word of bits, without a branch per value.

use crate::bitset::Bitset;
use crate::rule::Operator;
use crate::window::NEVER;

/// The slots that are in both sets.
pub(crate) fn both(left: &Bitset, right: &Bitset) -> Bitset {
    let mut found = left.clone();
    found &= right;
    found
}

/// The candidates whose value passes the test. Words without candidates are skipped.
pub(crate) fn lanes<T: Copy>(
    values: &[T],
    candidates: &Bitset,
    test: impl Fn(T) -> bool,
) -> Bitset {
    let mut found = Bitset::new();
    let (chunks, _) = values.as_chunks::<64>();
    let words = found.words_mut().iter_mut().zip(candidates.words());
    for ((found, candidates), chunk) in words.zip(chunks) {
        if *candidates == 0 {
            continue;
        }
        let mut word = 0;
        for (bit, value) in chunk.iter().enumerate() {
            word |= u64::from(test(*value)) << bit;
        }
        *found = word & candidates;
    }
    found
}

/// The candidates whose value compares with another. The operator is chosen here, outside the loop.
pub(crate) fn compared<T: Copy + PartialOrd>(
    values: &[T],
    candidates: &Bitset,
    operator: Operator,
    other: T,
) -> Bitset {
    match operator {
        Operator::Equal => lanes(values, candidates, |value| value == other),
        Operator::NotEqual => lanes(values, candidates, |value| value != other),
        Operator::Less => lanes(values, candidates, |value| value < other),
        Operator::LessOrEqual => lanes(values, candidates, |value| value <= other),
        Operator::Greater => lanes(values, candidates, |value| value > other),
        Operator::GreaterOrEqual => lanes(values, candidates, |value| value >= other),
    }
}

/// The earliest of the candidates' values, each shifted, that is after now.
pub(crate) fn earliest(values: &[i64], candidates: &Bitset, shift: i64, now: i64) -> i64 {
    let (chunks, _) = values.as_chunks::<64>();
    let mut earliest = NEVER;
    for (candidates, chunk) in candidates.words().iter().zip(chunks) {
        if *candidates == 0 {
            continue;
        }
        for (bit, value) in chunk.iter().enumerate() {
            let moment = value + shift;
            let counts = candidates >> bit & 1 == 1 && moment > now;
            earliest = earliest.min(if counts { moment } else { NEVER });
        }
    }
    earliest
}
