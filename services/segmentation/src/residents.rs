//! The blocks that stay in memory between evaluations, within a bound for the whole process.
//!
//! A block in here is what Postgres says as of the last evaluation that was committed under a claim, except for changes
//! that are still waiting in `block_changes`. It is taken out to be evaluated and put back after the commit, so one
//! whose evaluation fails, is dropped or may or may not have been committed is simply gone and is read again. What was
//! put in under a claim goes with the claim: whoever claims the partition next begins afresh.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::block::BlockName;
use crate::metrics;
use crate::resident::Resident;

/// The memory of this process for blocks. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Residents {
    blocks: Arc<Mutex<Blocks>>,
    most_bytes: usize,
}

/// The right to keep blocks here as long as a claim is held.
#[derive(Debug)]
pub(crate) struct Tenancy {
    residents: Residents,
    claim: u64,
}

#[derive(Debug, Default)]
struct Blocks {
    kept: HashMap<(u64, BlockName), Kept>,
    bytes: usize,
    /// Counts claims, and uses.
    claims: u64,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    resident: Box<Resident>,
    bytes: usize,
    used: u64,
}

impl Residents {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { blocks: Arc::default(), most_bytes }
    }

    /// For a claim that was just made.
    pub(crate) fn enter(&self) -> Tenancy {
        let mut blocks = self.lock();
        blocks.claims += 1;
        Tenancy { residents: self.clone(), claim: blocks.claims }
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        // Blocks are whole at any moment, whoever panicked.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenancy {
    /// Whether a block is in here.
    pub(crate) fn has(&self, block: &BlockName) -> bool {
        self.residents.lock().kept.contains_key(&(self.claim, block.clone()))
    }

    /// Takes a block out.
    pub(crate) fn take(&self, block: &BlockName) -> Option<Box<Resident>> {
        let mut blocks = self.residents.lock();
        let kept = blocks.kept.remove(&(self.claim, block.clone()))?;
        blocks.bytes -= kept.bytes;
        Some(kept.resident)
    }

    /// Puts a block back whose evaluation was committed. Those that were used longest ago make room.
    pub(crate) fn put(&self, block: BlockName, resident: Box<Resident>) {
        let bytes = resident.bytes();
        let mut blocks = self.residents.lock();
        blocks.uses += 1;
        let used = blocks.uses;
        blocks.kept.insert((self.claim, block), Kept { resident, bytes, used });
        blocks.bytes += bytes;
        while blocks.bytes > self.residents.most_bytes && blocks.forget_oldest() {}
        metrics::resident(blocks.kept.len(), blocks.bytes);
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        let mut blocks = self.residents.lock();
        let Blocks { kept, bytes, .. } = &mut *blocks;
        kept.retain(|(claim, _), kept| {
            let stays = *claim != self.claim;
            *bytes -= if stays { 0 } else { kept.bytes };
            stays
        });
        metrics::resident(blocks.kept.len(), blocks.bytes);
    }
}

impl Blocks {
    fn forget_oldest(&mut self) -> bool {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
        let Some(name) = oldest.map(|(name, _)| name.clone()) else { return false };
        if let Some(kept) = self.kept.remove(&name) {
            self.bytes -= kept.bytes;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(index: i32) -> BlockName {
        BlockName::new("acme".parse().unwrap(), index)
    }

    fn resident() -> Box<Resident> {
        Box::new(Resident::of_nobody())
    }

    #[test]
    fn the_blocks_used_longest_ago_make_room() {
        let residents = Residents::new(resident().bytes() * 2);
        let tenancy = residents.enter();
        for index in 0..2 {
            tenancy.put(block(index), resident());
        }
        let used = tenancy.take(&block(0)).unwrap();
        tenancy.put(block(0), used);
        tenancy.put(block(2), resident());
        assert!(tenancy.take(&block(1)).is_none());
        assert!(tenancy.take(&block(0)).is_some());
        assert!(tenancy.take(&block(2)).is_some());
        assert_eq!(residents.lock().bytes, 0);
    }

    #[test]
    fn what_is_larger_than_all_room_is_not_kept() {
        let residents = Residents::new(1);
        let tenancy = residents.enter();
        tenancy.put(block(0), resident());
        assert!(tenancy.take(&block(0)).is_none());
    }

    #[test]
    fn blocks_go_with_their_claim_and_are_of_no_use_to_another() {
        let residents = Residents::new(usize::MAX);
        let first = residents.enter();
        first.put(block(0), resident());
        let second = residents.enter();
        assert!(second.take(&block(0)).is_none());
        second.put(block(0), resident());
        drop(first);
        assert_eq!(residents.lock().kept.len(), 1);
        assert!(second.take(&block(0)).is_some());
    }
}
