//! What is known of who is in a segment without asking: which revision is read, and which version of each block.

use std::collections::BTreeMap;

use cursus_audience::Bitset;
use cursus_ids::SegmentName;
use xxhash_rust::xxh3::xxh3_64;

use crate::drift::Drift;

/// A revision of a segment, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: SegmentName,
    pub(crate) revision: i64,
}

/// The members of one block at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Grows with every change.
    pub(crate) number: i64,
    pub(crate) digest: i64,
}

/// The members of one block as they are stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) members: Bitset,
    /// What of them is not stored whole.
    pub(crate) drift: Drift,
    pub(crate) version: Version,
}

/// Which containers are read for a segment. A block that has none has no members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) revision: i64,
    pub(crate) versions: BTreeMap<i32, Version>,
}

impl Served {
    pub(crate) fn of(revision: i64) -> Self {
        Self { revision, versions: BTreeMap::new() }
    }

    /// Takes in a version of a block, unless a later one is known.
    pub(crate) fn hear(&mut self, block: i32, version: Version) {
        let known = self.versions.entry(block).or_insert(version);
        if known.number < version.number {
            *known = version;
        }
    }

    /// Whether it was read from the database later than another, or at the same time.
    pub(crate) fn is_as_new_as(&self, other: &Self) -> bool {
        let newest = |served: &Self| {
            (served.revision, served.versions.values().map(|version| version.number).max())
        };
        newest(self) >= newest(other)
    }
}

/// Tells apart members that differ, so that a name made of it never stands for two sets.
pub(crate) fn digest(members: &Bitset) -> i64 {
    xxh3_64(&members.to_redis_bytes()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(revision: i64, versions: &[(i32, i64)]) -> Served {
        let version =
            |(block, number): &(i32, i64)| (*block, Version { number: *number, digest: 0 });
        Served { revision, versions: versions.iter().map(version).collect() }
    }

    #[test]
    fn a_later_revision_or_version_is_newer() {
        let old = served(1, &[(0, 5), (1, 9)]);
        assert!(served(2, &[]).is_as_new_as(&old));
        assert!(served(1, &[(0, 10), (1, 9)]).is_as_new_as(&old));
        assert!(old.is_as_new_as(&old.clone()));
        assert!(!served(1, &[(0, 5), (1, 8)]).is_as_new_as(&old));
    }
}
