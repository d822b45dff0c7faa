//! Layers: experiments of one layer reserve parts of it, so that no unit is in two of their tests.

use serde::{Deserialize, Serialize};

/// A layer is this fine.
pub(crate) const BUCKETS: u32 = 10_000;

/// Neighbouring buckets, both ends included. As JSON a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Range(pub(crate) u32, pub(crate) u32);

impl Range {
    pub(crate) fn contains(self, bucket: u32) -> bool {
        (self.0..=self.1).contains(&bucket)
    }

    fn size(self) -> u32 {
        self.1 + 1 - self.0
    }
}

/// How many buckets a share is: at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checked share is from 0 to 1"
)]
pub(crate) fn size(share: f64) -> u32 {
    ((share * f64::from(BUCKETS)).round() as u32).clamp(1, BUCKETS)
}

/// The bucket of a position from 0 to below 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position is from 0 to below 1"
)]
pub(crate) fn bucket(position: f64) -> u32 {
    ((position * f64::from(BUCKETS)) as u32).min(BUCKETS - 1)
}

/// The first free buckets beside those that are taken; none if there are too few.
pub(crate) fn free(mut taken: Vec<Range>, wanted: u32) -> Option<Vec<Range>> {
    taken.sort_unstable();
    let ends = taken.iter().map(|range| range.0).chain([BUCKETS]);
    let starts = [0].into_iter().chain(taken.iter().map(|range| range.1 + 1));
    let mut missing = wanted;
    let mut found = Vec::new();
    for (start, end) in starts.zip(ends) {
        if missing > 0 && end > start {
            let range = Range(start, (start + missing - 1).min(end - 1));
            missing -= range.size();
            found.push(range);
        }
    }
    (missing == 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_buckets_are_taken_around_those_that_are() {
        assert_eq!(free(vec![], 2_500), Some(vec![Range(0, 2_499)]));
        let taken = vec![Range(3_000, 5_999), Range(0, 999)];
        assert_eq!(free(taken.clone(), 500), Some(vec![Range(1_000, 1_499)]));
        let around = vec![Range(1_000, 2_999), Range(6_000, 6_999)];
        assert_eq!(free(taken.clone(), 3_000), Some(around));
        assert_eq!(free(taken.clone(), 6_000).unwrap().len(), 2);
        assert_eq!(free(taken, 6_001), None);
        assert_eq!(free(vec![Range(0, 9_999)], 1), None);
    }

    #[test]
    fn shares_and_positions_become_buckets() {
        assert_eq!((size(1.0), size(0.25), size(1e-9)), (10_000, 2_500, 1));
        assert_eq!((bucket(0.0), bucket(0.25), bucket(0.999_999_999)), (0, 2_500, 9_999));
        assert!(Range(3, 5).contains(5) && !Range(3, 5).contains(6));
    }
}
