//! What was done to an experiment, by whom and when. Entries are only ever added, in the transaction that does it.

use chrono::{DateTime, Utc};
use cursus_ids::ApprovalName;
use serde::{Deserialize, Serialize};

use crate::verdict::Action;

/// Who takes looks and divides units anew.
pub(crate) const MONITOR: &str = "monitor";

/// Something that was done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) number: i64,
    pub(crate) kind: Kind,
    pub(crate) actor: String,
    pub(crate) time: DateTime<Utc>,
    pub(crate) detail: Detail,
}

/// What.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Created,
    Started,
    ExposureClosed,
    LookTaken,
    Decided,
    Overridden,
    Stopped,
    Extended,
    Reclassified,
    Reallocated,
}

/// What there is to know about it; each kind has its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arm: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<ApprovalName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) look_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcomes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allocation: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) shares: Vec<f64>,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Created,
        Self::Started,
        Self::ExposureClosed,
        Self::LookTaken,
        Self::Decided,
        Self::Overridden,
        Self::Stopped,
        Self::Extended,
        Self::Reclassified,
        Self::Reallocated,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Started => "STARTED",
            Self::ExposureClosed => "EXPOSURE_CLOSED",
            Self::LookTaken => "LOOK_TAKEN",
            Self::Decided => "DECIDED",
            Self::Overridden => "OVERRIDDEN",
            Self::Stopped => "STOPPED",
            Self::Extended => "EXTENDED",
            Self::Reclassified => "RECLASSIFIED",
            Self::Reallocated => "REALLOCATED",
        }
    }
}
