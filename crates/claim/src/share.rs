//! How many partitions a replica should own, and which it tries first. Pure.

use crate::Partition;

/// Where one replica stands among those alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) rank: usize,
    pub(crate) replicas: usize,
}

impl Standing {
    /// The shares of all replicas differ by at most one and add up to all partitions, so nobody waits for another to
    /// take more than its share.
    pub(crate) fn share(self, partitions: u16) -> usize {
        let partitions = usize::from(partitions);
        partitions / self.replicas + usize::from(self.rank < partitions % self.replicas)
    }

    /// Every partition once, beginning where no other replica begins, so that replicas starting together seldom reach
    /// for the same one.
    pub(crate) fn preference(self, partitions: u16) -> impl Iterator<Item = Partition> {
        let first = self.rank * usize::from(partitions) / self.replicas;
        (0..partitions).cycle().skip(first).take(usize::from(partitions)).map(Partition)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn standings(replicas: usize) -> impl Iterator<Item = Standing> {
        (0..replicas).map(move |rank| Standing { rank, replicas })
    }

    #[test]
    fn shares_are_even_and_cover_every_partition() {
        for partitions in 0..40_u16 {
            for replicas in 1..12 {
                let shares: Vec<_> = standings(replicas).map(|s| s.share(partitions)).collect();
                assert_eq!(shares.iter().sum::<usize>(), usize::from(partitions));
                assert!(shares[0] - shares[replicas - 1] <= 1, "{shares:?}");
            }
        }
    }

    #[test]
    fn a_replica_considers_every_partition_once() {
        for standing in standings(5) {
            let considered: Vec<_> = standing.preference(12).collect();
            assert_eq!(considered.len(), 12);
            assert_eq!(considered.iter().collect::<BTreeSet<_>>().len(), 12);
        }
    }

    #[test]
    fn replicas_begin_in_different_places() {
        let starts: BTreeSet<_> = standings(5).map(|s| s.preference(12).next()).collect();
        assert_eq!(starts.len(), 5);
    }
}
