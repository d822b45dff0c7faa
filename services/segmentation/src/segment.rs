//! A rule with a name, and how far its membership is.

use chrono::{DateTime, Utc};
use cursus_audience::Rule;
use cursus_ids::SegmentName;

use crate::error::Error;

/// A segment as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) display_name: String,
    pub(crate) rule: Rule,
    pub(crate) revision: i64,
    pub(crate) ready_revision: Option<i64>,
    pub(crate) ready_time: Option<DateTime<Utc>>,
    /// Of the revision in force.
    pub(crate) member_count: i64,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
    pub(crate) etag: Etag,
}

/// Which write of a segment somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Etag(pub(crate) i64);

/// A segment to be created.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: SegmentName,
    pub(crate) display_name: DisplayName,
    pub(crate) rule: Rule,
}

/// A change to a segment: what is not named stays.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: SegmentName,
    pub(crate) display_name: Option<DisplayName>,
    pub(crate) rule: Option<Rule>,
    /// Changes only what was read.
    pub(crate) etag: Option<String>,
}

/// How people call it: at most 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DisplayName(String);

impl Segment {
    /// Whether the membership of the revision in force is complete.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready_revision == Some(self.revision)
    }
}

impl DisplayName {
    pub(crate) fn new(text: String) -> Result<Self, Error> {
        Self::of(text, "segment.display_name")
    }

    /// From the field of something else that people call by a name.
    pub(crate) fn of(text: String, field: &str) -> Result<Self, Error> {
        if text.len() > 256 || text.contains(char::is_control) {
            let message = "use at most 256 bytes without control characters";
            return Err(Error::invalid(field, message));
        }
        Ok(Self(text))
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl AsRef<str> for DisplayName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Etag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
