//! What an experiment is, and which step may follow which.

use chrono::{DateTime, Utc};
use cursus_ids::{ApprovalName, ExperimentName};
use serde::{Deserialize, Serialize};

use crate::design::{Design, LONGEST_WINDOW};
use crate::error::Error;
use crate::layers::Range;
use crate::sizing::Expectation;
use crate::verdict::{Action, Stage, Verdict};

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
    pub(crate) stop: Option<Stop>,
    pub(crate) expectation: Option<Expectation>,
    /// What is reserved of its layer.
    pub(crate) buckets: Vec<Range>,
}

/// Who does something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) actor: String,
    pub(crate) now: DateTime<Utc>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum State {
    Draft,
    Running,
    Maturing,
    Decidable,
    Decided,
    Stopped,
}

/// Why it was ended without a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) reason: String,
    pub(crate) actor: String,
    pub(crate) time: DateTime<Utc>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) arm: Option<usize>,
    pub(crate) verdict: Verdict,
    pub(crate) approval: Option<ApprovalName>,
    pub(crate) decide_time: DateTime<Utc>,
    /// Unknown of decisions that were recorded before it was kept.
    #[serde(default)]
    pub(crate) actor: String,
    /// Why, if it was by hand.
    #[serde(default)]
    pub(crate) override_reason: Option<String>,
}

impl Decision {
    /// Whether the data showed that the arm is the best. Whoever decides by hand need not look at them.
    pub(crate) fn is_significant(&self) -> bool {
        let is_shown = self.verdict.action == Action::Promote && self.verdict.arm == self.arm;
        is_shown && self.arm.is_some() && self.override_reason.is_none()
    }
}

impl State {
    pub(crate) const ALL: [Self; 6] =
        [Self::Draft, Self::Running, Self::Maturing, Self::Decidable, Self::Decided, Self::Stopped];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Running => "RUNNING",
            Self::Maturing => "MATURING",
            Self::Decidable => "DECIDABLE",
            Self::Decided => "DECIDED",
            Self::Stopped => "STOPPED",
        }
    }
}

impl Experiment {
    pub(crate) fn digest(&self) -> Vec<u8> {
        self.design.digest(&self.assignments_digest)
    }

    pub(crate) fn may_import(&self) -> Result<(), Error> {
        if self.design.bandit.is_some() {
            return Err(Error::Bandit);
        }
        if self.state == State::Draft { Ok(()) } else { Err(Error::NotDraft) }
    }

    pub(crate) fn has_started(&self) -> Result<(), Error> {
        if self.state == State::Draft { Err(Error::NotStarted) } else { Ok(()) }
    }

    /// Whether units are told one by one.
    pub(crate) fn takes_facts(&self) -> Result<(), Error> {
        if self.design.aggregated { Err(Error::Aggregated) } else { Ok(()) }
    }

    /// Whether counts are told.
    pub(crate) fn takes_aggregates(&self) -> Result<(), Error> {
        self.has_started()?;
        if self.design.aggregated { Ok(()) } else { Err(Error::NotAggregated) }
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
    ///
    /// That no arm is chosen fits whatever was stopped or decided by hand: whoever runs a campaign has nothing to send.
    pub(crate) fn may_decide(&self, arm: Option<usize>) -> Result<bool, Error> {
        let is_by_hand = self.decision.as_ref().is_some_and(|it| it.override_reason.is_some());
        if arm.is_none() && (self.state == State::Stopped || is_by_hand) {
            return Ok(false);
        }
        self.is_decidable()?;
        match &self.decision {
            Some(decision) if decision.arm != arm => Err(Error::Decided),
            decision => Ok(decision.is_none()),
        }
    }

    /// Whether it may be decided by hand: `false` if just so it was already. That no arm was chosen may be changed, as
    /// nothing was sent; a choice may not.
    pub(crate) fn may_override(&self, arm: Option<usize>) -> Result<bool, Error> {
        self.is_decidable()?;
        match &self.decision {
            Some(decision) if decision.arm == arm => Ok(false),
            Some(decision) if decision.arm.is_some() => Err(Error::Decided),
            _ => Ok(true),
        }
    }

    fn is_decidable(&self) -> Result<(), Error> {
        match self.state {
            State::Draft => Err(Error::NotStarted),
            State::Running if !self.design.is_open_ended() => Err(Error::NotClosed),
            State::Stopped => Err(Error::Stopped),
            _ => Ok(()),
        }
    }

    /// Ends it without a decision: `false` if it was ended already.
    pub(crate) fn stop(&mut self, reason: String, by: &By) -> Result<bool, Error> {
        match self.state {
            State::Draft => return Err(Error::NotStarted),
            State::Decided => return Err(Error::Decided),
            State::Stopped => return Ok(false),
            _ => self.state = State::Stopped,
        }
        self.stop = Some(Stop { reason, actor: by.actor.clone(), time: by.now });
        Ok(true)
    }

    /// Moves the deadline. From the deadline on all of the error is spent, whether or not the look was taken.
    pub(crate) fn extend(
        &mut self,
        deadline: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.has_started()?;
        if self.design.is_open_ended() {
            return Err(Error::NoDeadline);
        }
        let (present, last) = match (self.state, self.deadline, self.exposure_end_time) {
            (State::Stopped, ..) => return Err(Error::Stopped),
            (State::Decided, ..) => return Err(Error::Decided),
            (State::Maturing, Some(deadline), Some(end)) if now < deadline => {
                (deadline, end + LONGEST_WINDOW)
            }
            (State::Maturing | State::Decidable, ..) => return Err(Error::AlphaSpent),
            _ => return Err(Error::NotClosed),
        };
        if deadline <= present {
            return Err(Error::invalid("deadline", "it must be later than the present one"));
        }
        if deadline > last {
            let why = "it must be within 366 days of the last exposure";
            return Err(Error::invalid("deadline", why));
        }
        self.deadline = Some(deadline);
        Ok(())
    }

    /// When units stopped taking part: they were all exposed, or it was decided or stopped.
    pub(crate) fn end_time(&self) -> Option<DateTime<Utc>> {
        let decided = self.decision.as_ref().map(|decision| decision.decide_time);
        let stopped = self.stop.as_ref().map(|stop| stop.time);
        [self.exposure_end_time, decided, stopped].into_iter().flatten().min()
    }

    pub(crate) fn stage(&self) -> Stage {
        if self.exposure_end_time.is_some() { Stage::Maturing } else { Stage::Exposing }
    }
}
