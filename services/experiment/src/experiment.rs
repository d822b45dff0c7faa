//! What an experiment is, and which step may follow which.

use chrono::{DateTime, Utc};
use cursus_ids::{ApprovalName, ExperimentName};
use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::error::Error;
use crate::verdict::Verdict;

/// How the background work is divided.
pub(crate) const PARTITIONS: u16 = 4;

/// Arms that are compared on the same units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Experiment {
    pub(crate) name: ExperimentName,
    pub(crate) display_name: String,
    pub(crate) design: Design,
    pub(crate) state: State,
    pub(crate) imported_count: i64,
    /// Over what was imported.
    pub(crate) assignments_digest: Vec<u8>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) start_time: Option<DateTime<Utc>>,
    pub(crate) exposure_end_time: Option<DateTime<Utc>>,
    pub(crate) deadline: Option<DateTime<Utc>>,
    pub(crate) decision: Option<Decision>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum State {
    Draft,
    Running,
    Maturing,
    Decidable,
    Decided,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) arm: Option<usize>,
    pub(crate) verdict: Verdict,
    pub(crate) approval: Option<ApprovalName>,
    pub(crate) decide_time: DateTime<Utc>,
}

impl State {
    pub(crate) const ALL: [Self; 5] =
        [Self::Draft, Self::Running, Self::Maturing, Self::Decidable, Self::Decided];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Running => "RUNNING",
            Self::Maturing => "MATURING",
            Self::Decidable => "DECIDABLE",
            Self::Decided => "DECIDED",
        }
    }
}

impl Experiment {
    pub(crate) fn digest(&self) -> Vec<u8> {
        self.design.digest(&self.assignments_digest)
    }

    pub(crate) fn may_import(&self) -> Result<(), Error> {
        if self.state == State::Draft { Ok(()) } else { Err(Error::NotDraft) }
    }

    pub(crate) fn has_started(&self) -> Result<(), Error> {
        if self.state == State::Draft { Err(Error::NotStarted) } else { Ok(()) }
    }

    /// Freezes it. Again, with the digest it was started with, it stays as it is.
    pub(crate) fn start(&mut self, digest: &[u8], now: DateTime<Utc>) -> Result<(), Error> {
        if self.digest() != digest {
            return Err(Error::DigestMismatch);
        }
        if self.state == State::Draft {
            self.state = State::Running;
            self.start_time = Some(now);
        }
        Ok(())
    }

    /// Begins the decision window; it begins once.
    pub(crate) fn close(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        self.has_started()?;
        if self.state == State::Running {
            self.state = State::Maturing;
            self.exposure_end_time = Some(now);
            self.deadline = Some(now + self.design.decision_window());
        }
        Ok(())
    }

    /// Whether a decision may be recorded: `false` if just this one was already.
    pub(crate) fn may_decide(&self, arm: Option<usize>) -> Result<bool, Error> {
        match (self.state, &self.decision) {
            (State::Draft, _) => Err(Error::NotStarted),
            (State::Running, _) => Err(Error::NotClosed),
            (_, Some(decision)) if decision.arm != arm => Err(Error::Decided),
            (_, decision) => Ok(decision.is_none()),
        }
    }
}
