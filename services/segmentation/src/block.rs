//! Blocks of contacts, by name: 65,536 consecutive contacts of one workspace.

use std::collections::BTreeMap;
use std::ops::Range;

use cursus_audience::{Bitset, SLOTS};
use cursus_ids::WorkspaceId;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Error;
use crate::transition::Cause;

/// Background work on blocks is divided into this many parts. More replicas than this have nothing to evaluate. It can
/// only change together with the `partition` columns.
pub(crate) const PARTITIONS: u16 = 16;

/// Beyond this many, evaluating the whole block costs less than picking its contacts out one by one.
pub(crate) const MOST_SLOTS: usize = 4_096;

/// Which block of which workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockName {
    pub(crate) workspace: WorkspaceId,
    pub(crate) index: i32,
}

/// One thing that happened to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which row it is.
    pub(crate) id: i64,
    pub(crate) cause: Cause,
    /// How long ago it was, in microseconds.
    pub(crate) age: i64,
    /// Whom it happened to; `None` is anybody.
    pub(crate) slots: Option<Vec<u16>>,
    /// Which attributes and events it is about; `None` is all.
    pub(crate) names: Option<Vec<String>>,
    /// Of an event that happened: each time, in microseconds, with the slot of whom it happened to. Nothing if that is not
    /// known.
    pub(crate) times: Vec<(u16, i64)>,
}

/// Events of one name in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) block: BlockName,
    /// To whom; `None` is anybody.
    pub(crate) slots: Option<Vec<u16>>,
    /// Whom each happened to, and when in microseconds.
    pub(crate) times: Vec<(u16, i64)>,
}

impl BlockName {
    pub(crate) fn new(workspace: WorkspaceId, index: i32) -> Self {
        Self { workspace, index }
    }

    /// Whose work it is. The same in every release and on every machine.
    pub(crate) fn partition(&self) -> i16 {
        let hash = xxh3_64(format!("{}/{}", self.workspace, self.index).as_bytes());
        i16::try_from(hash % u64::from(PARTITIONS)).expect("partitions are few")
    }

    /// The ordinals of its contacts, of whom the workspace has so many.
    pub(crate) fn ordinals(&self, contact_count: i32) -> Range<i32> {
        let first = self.index.saturating_mul(1 << 16);
        first..contact_count.min(first.saturating_add(1 << 16)).max(first)
    }

    pub(crate) fn ordinal(&self, slot: u16) -> i32 {
        self.index.saturating_mul(1 << 16) | i32::from(slot)
    }
}

/// Every block of a workspace with so many contacts.
pub(crate) fn all(workspace: &WorkspaceId, contact_count: i32) -> impl Iterator<Item = BlockName> {
    let blocks = usize::try_from(contact_count).unwrap_or(0).div_ceil(SLOTS);
    let blocks = i32::try_from(blocks).expect("fewer blocks than contacts");
    (0..blocks).map(|index| BlockName::new(workspace.clone(), index))
}

/// Where a contact is: the block and the slot.
pub(crate) fn position(ordinal: i32) -> (i32, u16) {
    (ordinal >> 16, u16::try_from(ordinal & 0xffff).expect("sixteen bits"))
}

/// The blocks in which contacts changed, each with whom, unless those are most of it.
pub(crate) fn changed(
    workspace: &WorkspaceId,
    ordinals: impl IntoIterator<Item = i32>,
) -> Vec<(BlockName, Option<Vec<u16>>)> {
    let mut blocks: BTreeMap<i32, Vec<u16>> = BTreeMap::new();
    for ordinal in ordinals {
        let (block, slot) = position(ordinal);
        blocks.entry(block).or_default().push(slot);
    }
    let name = |index| BlockName::new(workspace.clone(), index);
    blocks.into_iter().map(|(index, slots)| (name(index), few(slots))).collect()
}

/// The blocks in which something happened to contacts, each with whom, unless those are most of it, and when.
pub(crate) fn happened(
    workspace: &WorkspaceId,
    events: impl IntoIterator<Item = (i32, i64)>,
) -> Vec<Happened> {
    let mut blocks: BTreeMap<i32, Vec<(u16, i64)>> = BTreeMap::new();
    for (ordinal, time) in events {
        let (block, slot) = position(ordinal);
        blocks.entry(block).or_default().push((slot, time));
    }
    let happened = |(index, times): (i32, Vec<(u16, i64)>)| Happened {
        block: BlockName::new(workspace.clone(), index),
        slots: few(times.iter().map(|(slot, _)| *slot).collect()),
        times,
    };
    blocks.into_iter().map(happened).collect()
}

/// The slots in order, each once, if they are few.
pub(crate) fn few(mut slots: Vec<u16>) -> Option<Vec<u16>> {
    slots.sort_unstable();
    slots.dedup();
    if slots.len() <= MOST_SLOTS { Some(slots) } else { None }
}

/// Packs slots that are in order: two bytes each, or the bits of the whole block where that is shorter.
pub(crate) fn pack_slots(slots: &[u16]) -> Vec<u8> {
    if slots.len() < BITS / 2 {
        return slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
    }
    slots.iter().copied().collect::<Bitset>().to_redis_bytes()
}

/// Reads what [`pack_slots`] wrote; the length tells the two forms apart.
pub(crate) fn unpack_slots(bytes: &[u8]) -> Result<Vec<u16>, Error> {
    if bytes.len() == BITS {
        return Ok(Bitset::from_redis_bytes(bytes)?.iter().collect());
    }
    let (pairs, rest) = bytes.as_chunks();
    if !rest.is_empty() || bytes.len() > BITS {
        return Err(Error::Corrupt("set of slots"));
    }
    Ok(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
}

/// How many bytes the bits of a block are.
const BITS: usize = SLOTS / 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn acme(index: i32) -> BlockName {
        BlockName::new("acme".parse().unwrap(), index)
    }

    #[test]
    fn a_contact_has_one_block_and_one_slot() {
        for (ordinal, block, slot) in
            [(0, 0, 0), (65_535, 0, 65_535), (65_536, 1, 0), (200_000, 3, 3_392)]
        {
            assert_eq!(position(ordinal), (block, slot));
            assert_eq!(acme(block).ordinal(slot), ordinal);
        }
    }

    #[test]
    fn the_last_block_ends_with_the_last_contact() {
        assert_eq!(acme(0).ordinals(10), 0..10);
        assert_eq!(acme(1).ordinals(70_000), 65_536..70_000);
        assert_eq!(acme(1).ordinals(10), 65_536..65_536);
        let count = |contacts| all(&acme(0).workspace, contacts).count();
        assert_eq!([count(0), count(1), count(65_536), count(65_537)], [0, 1, 1, 2]);
    }

    #[test]
    fn the_partition_of_a_block_never_changes() {
        let partitions: Vec<i16> = (0..8).map(|index| acme(index).partition()).collect();
        assert_eq!(partitions, [3, 12, 3, 13, 7, 12, 0, 1]);
    }

    #[test]
    fn slots_survive_the_way_through_storage_few_and_many() {
        for count in [0, 1, 4_095, 4_096, 65_536] {
            let slots: Vec<u16> = (0..=u16::MAX).rev().take(count).collect();
            let slots: Vec<u16> = slots.into_iter().rev().collect();
            let packed = pack_slots(&slots);
            assert!(packed.len() <= BITS);
            assert_eq!(unpack_slots(&packed).unwrap(), slots);
        }
        assert!(unpack_slots(&[1]).is_err());
        assert!(unpack_slots(&[0; BITS + 2]).is_err());
    }

    #[test]
    fn changes_are_told_by_block_and_a_block_that_changed_mostly_as_a_whole() {
        let workspace = acme(0).workspace;
        let few = changed(&workspace, [65_537, 3, 3, 1]);
        assert_eq!(few, [(acme(0), Some(vec![1, 3])), (acme(1), Some(vec![1]))]);
        let most = changed(&workspace, 0..5_000);
        assert_eq!(most, [(acme(0), None)]);
    }

    #[test]
    fn what_happened_is_told_by_block_with_every_moment() {
        let happened = happened(&acme(0).workspace, [(65_537, 9), (3, 8), (3, 7)]);
        let told: Vec<_> =
            happened.into_iter().map(|it| (it.block.index, it.slots, it.times)).collect();
        assert_eq!(
            told,
            [(0, Some(vec![3]), vec![(3, 8), (3, 7)]), (1, Some(vec![1]), vec![(1, 9)])]
        );
    }
}
