//! The loops over columns: 64 values make a word of bits, without a branch per value.

use crate::bitset::{Bitset, bits};
use crate::due::Due;
use crate::rule::Operator;
use crate::times::Moment;

/// With so few candidates in a word, each is looked at alone.
pub(crate) const FEW: u32 = 8;

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
        if candidates.count_ones() <= FEW {
            for bit in bits(*candidates) {
                *found |= u64::from(test(chunk[usize::from(bit)])) << bit;
            }
        } else {
            *found = word(&chunk.map(|value| u8::from(test(value)))) & candidates;
        }
    }
    found
}

/// The word whose bits are these bytes, each of which is 0 or 1.
pub(crate) fn word(bytes: &[u8; 64]) -> u64 {
    // Moves the lowest bit of byte i of eight to bit 56 + i; no two of the products meet.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = bytes.as_chunks::<8>();
    let gathered = eights.iter().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56);
    gathered.rev().fold(0, |word, byte| word << 8 | byte)
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

/// Notes the candidates' moments, each shifted, that are after now.
#[expect(clippy::needless_bitwise_bool, reason = "a branch per value is what takes time")]
pub(crate) fn note_later<T: Moment>(
    values: &[T],
    candidates: &Bitset,
    (shift, now): (i64, i64),
    due: &mut Due,
) {
    let (chunks, _) = values.as_chunks::<64>();
    let reached = T::floor(now - shift);
    for ((first, candidates), chunk) in
        (0..=u16::MAX).step_by(64).zip(candidates.words()).zip(chunks)
    {
        if *candidates == 0 {
            continue;
        }
        // Once an early moment is known, few words have one that is earlier.
        let last = T::floor(due.bound().saturating_sub(shift + 1));
        let matters = |some, value: &T| some | ((*value > reached) & (*value <= last));
        if !chunk.iter().fold(false, matters) {
            continue;
        }
        for bit in bits(*candidates) {
            let value = chunk[usize::from(bit)];
            if value > reached {
                due.note(first + bit, value.micros() + shift);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_word_has_the_bits_of_its_bytes(bits: u64) {
            let bytes = std::array::from_fn(|index| u8::from(bits >> index & 1 == 1));
            prop_assert_eq!(word(&bytes), bits);
        }
    }
}
