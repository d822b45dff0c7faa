//! When which block of a partition is due by time alone. Pure.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use crate::block::BlockName;

/// The blocks of one partition that are due some time.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    moments: HashMap<BlockName, DateTime<Utc>>,
    order: BTreeSet<(DateTime<Utc>, BlockName)>,
}

impl Schedule {
    pub(crate) fn new(scheduled: Vec<(BlockName, DateTime<Utc>)>) -> Self {
        let mut schedule = Self::default();
        for (block, moment) in scheduled {
            schedule.set(block, Some(moment));
        }
        schedule
    }

    pub(crate) fn set(&mut self, block: BlockName, moment: Option<DateTime<Utc>>) {
        if let Some(before) = self.moments.remove(&block) {
            self.order.remove(&(before, block.clone()));
        }
        if let Some(moment) = moment {
            self.moments.insert(block.clone(), moment);
            self.order.insert((moment, block));
        }
    }

    /// The first moment at which a block is due.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.order.first().map(|(moment, _)| *moment)
    }

    /// Up to `limit` blocks that are due, the longest ones first.
    pub(crate) fn due(&self, now: DateTime<Utc>, limit: usize) -> Vec<BlockName> {
        let due = self.order.iter().take_while(|(moment, _)| *moment <= now);
        due.take(limit).map(|(_, block)| block.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_in_the_order_in_which_they_are_due() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let block = |index| BlockName::new("acme".parse().unwrap(), index);
        let mut schedule = Schedule::new(vec![(block(1), at(20)), (block(2), at(10))]);
        schedule.set(block(3), Some(at(30)));
        assert_eq!(schedule.next(), Some(at(10)));
        assert_eq!(schedule.due(at(9), 9), []);
        assert_eq!(schedule.due(at(30), 9), [block(2), block(1), block(3)]);
        assert_eq!(schedule.due(at(30), 2), [block(2), block(1)]);
        schedule.set(block(2), Some(at(25)));
        schedule.set(block(1), None);
        assert_eq!(schedule.due(at(30), 9), [block(2), block(3)]);
    }
}
