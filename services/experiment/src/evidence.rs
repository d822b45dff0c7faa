//! Who was exposed, and what they did: facts, kept as they were told.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_ids::{ContactId, ContactName, ExperimentName};

/// More than any order is worth. Bounded so that sums stay exact.
const MOST_MONEY: f64 = 1e9;

/// A unit that was exposed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exposure {
    pub(crate) experiment: ExperimentName,
    pub(crate) unit: ContactId,
    /// The arm's id; empty for the holdout.
    pub(crate) arm: String,
    pub(crate) time: DateTime<Utc>,
    /// Names, each once.
    pub(crate) segments: Vec<String>,
    pub(crate) released: bool,
    /// Whether it was known before that a privacy proxy opens the unit's mail.
    pub(crate) privacy_proxy: bool,
}

/// Something a unit did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Who told it; ids are unique for each.
    pub(crate) source: String,
    pub(crate) id: String,
    pub(crate) unit: ContactName,
    pub(crate) name: String,
    /// The only experiment it counts for, if it does not count for all.
    pub(crate) experiment: Option<ExperimentName>,
    pub(crate) time: DateTime<Utc>,
    pub(crate) actor: Actor,
    /// Money in millionths, by property.
    pub(crate) micros: BTreeMap<String, i64>,
}

/// Who did something. Only what persons did counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    Human,
    Machine,
    Suspect,
    Unknown,
}

impl Actor {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Human => "HUMAN",
            Self::Machine => "MACHINE",
            Self::Suspect => "SUSPECT",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A new word on who did what was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) source: String,
    pub(crate) outcome_id: String,
    pub(crate) actor: Actor,
    pub(crate) time: DateTime<Utc>,
}

/// An amount in millionths, which add up exactly in any order; nothing if it is not a sane amount.
pub(crate) fn micros(amount: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "bounded far below 2^63 and rounded")]
    (amount.abs() <= MOST_MONEY).then(|| (amount * 1e6).round() as i64)
}

/// One exposure for each unit, the earliest. Postgres refuses to change a row twice in one statement.
pub(crate) fn earliest(exposures: Vec<Exposure>) -> Vec<Exposure> {
    let mut kept: BTreeMap<(ExperimentName, ContactId), Exposure> = BTreeMap::new();
    for exposure in exposures {
        let key = (exposure.experiment.clone(), exposure.unit.clone());
        let is_first = kept
            .get(&key)
            .is_none_or(|it| (exposure.time, exposure.released) < (it.time, it.released));
        if is_first {
            kept.insert(key, exposure);
        }
    }
    kept.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_become_exact_or_nothing() {
        assert_eq!(micros(19.99), Some(19_990_000));
        assert_eq!(micros(-0.1), Some(-100_000));
        for bad in [f64::NAN, f64::INFINITY, 1.1e9] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }
}
