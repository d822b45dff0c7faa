//! A rule with a name, and how far its membership is.

use chrono::{DateTime, Utc};
use cursus_audience::{Limits, Rule, RuleError, RuleText};
use cursus_ids::SegmentName;

use crate::error::Error;
use crate::store::segments::Revision;

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
    pub(crate) rule: Written,
}

/// A rule as somebody wrote it: as a tree, or as text in which faults are shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) rule: Rule,
    text: Option<String>,
}

/// A change to a segment: what is not named stays.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: SegmentName,
    pub(crate) display_name: Option<DisplayName>,
    pub(crate) rule: Option<Written>,
    /// Changes only what was read.
    pub(crate) etag: Option<String>,
}

impl Segment {
    /// The revision of the rule in force.
    pub(crate) fn in_force(&self) -> Revision {
        Revision { segment: self.name.id.clone(), number: self.revision }
    }
}

impl Written {
    pub(crate) fn as_tree(rule: Rule) -> Self {
        Self { rule, text: None }
    }

    pub(crate) fn as_text(text: String) -> Result<Self, Error> {
        let rule = Rule::parse(&text, &Limits::default())?;
        Ok(Self { rule, text: Some(text) })
    }

    /// Tells a fault of the rule as whoever wrote it sees it.
    pub(crate) fn blame(&self, error: Error) -> Error {
        let located = |error: &RuleError| {
            let text = RuleText::parse(self.text.as_deref()?, &Limits::default()).ok()?;
            Some(text.locate(error))
        };
        match &error {
            Error::Rule(fault) => located(fault).map_or(error, Error::RuleText),
            _ => error,
        }
    }
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
