//! A set of a block's contacts, one bit per slot, and the forms in which Postgres and Redis keep it.

use std::fmt;
use std::io;
use std::ops::{BitAndAssign, BitOrAssign, SubAssign};

use roaring::RoaringBitmap;

/// How many contacts a block holds at most; their slots are all of `u16`.
pub const SLOTS: usize = 65_536;

const WORDS: usize = SLOTS / 64;
const BYTES: usize = SLOTS / 8;

/// A set of slots: 8 KiB, whatever it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitset {
    words: Box<[u64; WORDS]>,
}

/// Why stored bytes are not a set of slots.
#[derive(Debug, thiserror::Error)]
pub enum MalformedBits {
    #[error("not a roaring bitmap")]
    Roaring(#[source] io::Error),
    #[error("`{0}` is not a slot of a block")]
    OutOfRange(u32),
    #[error("{0} bytes more than the bitmap needs")]
    Excess(usize),
}

impl Default for Bitset {
    fn default() -> Self {
        Self { words: Box::new([0; WORDS]) }
    }
}

impl Bitset {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn insert(&mut self, slot: u16) {
        self.words[usize::from(slot >> 6)] |= 1 << (slot & 63);
    }

    pub fn remove(&mut self, slot: u16) {
        self.words[usize::from(slot >> 6)] &= !(1 << (slot & 63));
    }

    pub fn contains(&self, slot: u16) -> bool {
        self.words[usize::from(slot >> 6)] >> (slot & 63) & 1 == 1
    }

    /// Has each slot in the set iff the place it has in a patch is in the other.
    pub(crate) fn replace(&mut self, slots: &[u16], patch: &Self) {
        for (place, slot) in (0..=u16::MAX).zip(slots) {
            if patch.contains(place) {
                self.insert(*slot);
            } else {
                self.remove(*slot);
            }
        }
    }

    /// How many slots are in the set.
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        let words = (0..=u16::MAX).step_by(64).zip(self.words.iter());
        words.flat_map(|(first, word)| bits(*word).map(move |bit| first + bit))
    }

    /// The bits, slot 0 in the lowest bit of the first word.
    pub fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u64; WORDS] {
        &mut self.words
    }

    /// The portable serialization of a roaring bitmap of the slots.
    #[expect(clippy::missing_panics_doc, reason = "writing to memory cannot fail")]
    pub fn to_roaring_bytes(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut bitmap = RoaringBitmap::from_lsb0_bytes(0, &bytes);
        bitmap.optimize();
        let mut out = Vec::with_capacity(bitmap.serialized_size());
        bitmap.serialize_into(&mut out).expect("writing to memory cannot fail");
        out
    }

    /// Reads what [`to_roaring_bytes`](Self::to_roaring_bytes) wrote, and nothing else.
    pub fn from_roaring_bytes(mut bytes: &[u8]) -> Result<Self, MalformedBits> {
        let bitmap = RoaringBitmap::deserialize_from(&mut bytes).map_err(MalformedBits::Roaring)?;
        if !bytes.is_empty() {
            return Err(MalformedBits::Excess(bytes.len()));
        }
        bitmap
            .iter()
            .map(|slot| u16::try_from(slot).map_err(|_| MalformedBits::OutOfRange(slot)))
            .collect()
    }

    /// The 8 KiB string in which Redis answers `GETBIT key slot`: slot 0 is the highest bit of the first byte.
    pub fn to_redis_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.reverse_bits().to_be_bytes()).collect()
    }

    /// Reads a Redis bit string; Redis leaves out zero bytes at the end of what `SETBIT` grew.
    pub fn from_redis_bytes(bytes: &[u8]) -> Result<Self, MalformedBits> {
        if bytes.len() > BYTES {
            return Err(MalformedBits::Excess(bytes.len() - BYTES));
        }
        let mut bits = Self::new();
        for (word, chunk) in bits.words.iter_mut().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_be_bytes(eight).reverse_bits();
        }
        Ok(bits)
    }
}

/// The places of the bits of a word that are set, in ascending order.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            #[expect(clippy::cast_possible_truncation, reason = "it is at most 63")]
            let bit = word.trailing_zeros() as u16;
            word &= word - 1;
            bit
        })
    })
}

impl FromIterator<u16> for Bitset {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut bits = Self::new();
        for slot in slots {
            bits.insert(slot);
        }
        bits
    }
}

impl BitAndAssign<&Self> for Bitset {
    fn bitand_assign(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(other.words.iter()) {
            *word &= other;
        }
    }
}

impl BitOrAssign<&Self> for Bitset {
    fn bitor_assign(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(other.words.iter()) {
            *word |= other;
        }
    }
}

/// Removes the slots of the other set.
impl SubAssign<&Self> for Bitset {
    fn sub_assign(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(other.words.iter()) {
            *word &= !other;
        }
    }
}

impl fmt::Debug for Bitset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_survives_every_form(slots in btree_set(any::<u16>(), 0..300)) {
            let bits: Bitset = slots.iter().copied().collect();
            prop_assert_eq!(bits.iter().collect::<BTreeSet<_>>(), slots.clone());
            prop_assert_eq!(bits.len() as usize, slots.len());
            prop_assert_eq!(bits.is_empty(), slots.is_empty());
            prop_assert_eq!(&Bitset::from_roaring_bytes(&bits.to_roaring_bytes()).unwrap(), &bits);
            prop_assert_eq!(&Bitset::from_redis_bytes(&bits.to_redis_bytes()).unwrap(), &bits);
        }

        #[test]
        fn redis_would_find_each_slot_where_getbit_looks(slots in btree_set(any::<u16>(), 0..300), other: u16) {
            let bytes = slots.iter().copied().collect::<Bitset>().to_redis_bytes();
            let getbit = |n: u16| bytes[usize::from(n / 8)] >> (7 - n % 8) & 1 == 1;
            prop_assert!(slots.iter().all(|slot| getbit(*slot)));
            prop_assert_eq!(getbit(other), slots.contains(&other));
        }

        #[test]
        fn operators_are_those_of_sets(
            left in btree_set(0_u16..200, 0..100),
            right in btree_set(0_u16..200, 0..100),
        ) {
            let check = |operate: fn(&mut Bitset, &Bitset), expected: BTreeSet<u16>| {
                let mut bits: Bitset = left.iter().copied().collect();
                operate(&mut bits, &right.iter().copied().collect());
                assert_eq!(bits.iter().collect::<BTreeSet<_>>(), expected);
            };
            check(|a, b| *a &= b, &left & &right);
            check(|a, b| *a |= b, &left | &right);
            check(|a, b| *a -= b, &left - &right);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Bitset::from_roaring_bytes(&bytes);
            prop_assert!(Bitset::from_redis_bytes(&bytes).is_ok());
        }
    }

    #[test]
    fn a_removed_slot_is_gone() {
        let mut bits: Bitset = [0, 63, 64, u16::MAX].into_iter().collect();
        bits.remove(64);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, u16::MAX]);
        assert!(!bits.contains(64));
    }

    #[test]
    fn a_full_block_is_small_as_roaring_and_8_kib_as_redis() {
        let full: Bitset = (0..=u16::MAX).collect();
        assert_eq!(full.len() as usize, SLOTS);
        assert!(full.to_roaring_bytes().len() < 64);
        assert_eq!(full.to_redis_bytes(), [0xff; BYTES]);
    }

    #[test]
    fn a_bitmap_of_more_than_a_block_is_refused() {
        let mut bytes = Vec::new();
        RoaringBitmap::from_iter([5, 65_536]).serialize_into(&mut bytes).unwrap();
        assert!(matches!(
            Bitset::from_roaring_bytes(&bytes),
            Err(MalformedBits::OutOfRange(65_536))
        ));
    }

    #[test]
    fn bytes_after_the_bitmap_are_refused() {
        let mut bytes = Bitset::from_iter([1, 2]).to_roaring_bytes();
        bytes.push(0);
        assert!(matches!(Bitset::from_roaring_bytes(&bytes), Err(MalformedBits::Excess(1))));
        assert!(matches!(Bitset::from_redis_bytes(&[0; BYTES + 2]), Err(MalformedBits::Excess(2))));
    }

    #[test]
    fn cut_off_bytes_are_refused() {
        let bytes = Bitset::from_iter([1, 2]).to_roaring_bytes();
        assert!(matches!(
            Bitset::from_roaring_bytes(&bytes[..bytes.len() - 1]),
            Err(MalformedBits::Roaring(_))
        ));
    }
}
