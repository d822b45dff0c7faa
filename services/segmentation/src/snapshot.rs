//! An audience as it was at one moment.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_ids::{ContactId, SegmentId, SnapshotName};

use crate::error::Error;

/// The most labels, and the most segments included or excluded.
const MOST_SEGMENTS: usize = 32;
const LONGEST_RETENTION: TimeDelta = TimeDelta::days(3_660);
const USUAL_RETENTION: TimeDelta = TimeDelta::days(90);

/// A snapshot to be taken.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: SnapshotName,
    pub(crate) include: Vec<SegmentId>,
    pub(crate) exclude: Vec<SegmentId>,
    pub(crate) labels: Vec<SegmentId>,
    pub(crate) retention: TimeDelta,
}

/// A snapshot as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) name: SnapshotName,
    pub(crate) include: Vec<SegmentId>,
    pub(crate) exclude: Vec<SegmentId>,
    pub(crate) labels: Vec<SegmentId>,
    pub(crate) member_count: i64,
    /// In the order of the labels.
    pub(crate) label_counts: Vec<i64>,
    /// In the order include, exclude, labels.
    pub(crate) revisions: Vec<i64>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) expire_time: DateTime<Utc>,
}

/// A contact in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) contact: ContactId,
    pub(crate) email: String,
    /// Indexes into the snapshot's labels.
    pub(crate) labels: Vec<usize>,
}

impl Draft {
    pub(crate) fn check(self) -> Result<Self, Error> {
        if self.include.is_empty() {
            return Err(Error::invalid("snapshot.audience.include", "name at least one segment"));
        }
        for (field, segments) in [
            ("snapshot.audience.include", &self.include),
            ("snapshot.audience.exclude", &self.exclude),
            ("snapshot.labels", &self.labels),
        ] {
            if segments.len() > MOST_SEGMENTS {
                return Err(Error::invalid(field, "name at most 32 segments"));
            }
            if segments.iter().collect::<BTreeSet<_>>().len() < segments.len() {
                return Err(Error::invalid(field, "name each segment once"));
            }
        }
        if self.retention <= TimeDelta::zero() || self.retention > LONGEST_RETENTION {
            return Err(Error::invalid(
                "snapshot.retention",
                "use more than zero and at most ten years",
            ));
        }
        Ok(self)
    }

    pub(crate) fn usual_retention() -> TimeDelta {
        USUAL_RETENTION
    }

    /// Every segment named, in the order in which revisions are told.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentId> {
        self.include.iter().chain(&self.exclude).chain(&self.labels)
    }
}
