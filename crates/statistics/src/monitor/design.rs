//! What an experiment fixes before its first mail and never changes after it.

use crate::assignment::Weights;
use crate::error::Error;
use crate::number::{Alpha, Fraction};

/// The rules an experiment is judged by. Arms are numbered by their place in `weights`.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    pub weights: Weights,
    /// The incumbent, if one arm is; without it all arms are peers.
    pub control: Option<usize>,
    /// The false alarms accepted over all looks together, two-sided.
    pub alpha: Alpha,
    /// No verdict before this share of the expected answers is in: early answers tell speed, not rate.
    pub maturity_gate: Fraction,
    pub minimum_sent_per_arm: u64,
    /// Over all arms.
    pub minimum_events: u64,
    pub timing_guard: TimingGuard,
    pub when_inconclusive: WhenInconclusive,
    /// How improbable the numbers of recipients may be before nothing else is believed.
    pub sample_ratio_alarm: Alpha,
}

impl Design {
    /// The defaults, measured in simulations of maturing e-mail campaigns.
    pub fn standard(weights: Weights) -> Self {
        Self {
            weights,
            control: None,
            alpha: Alpha::FIVE_PERCENT,
            maturity_gate: Fraction::saturating(0.8),
            minimum_sent_per_arm: 100,
            minimum_events: 20,
            timing_guard: TimingGuard::On,
            when_inconclusive: WhenInconclusive::PosteriorBest,
            sample_ratio_alarm: Alpha::ONE_PER_MILLE,
        }
    }

    pub fn arms(&self) -> usize {
        self.weights.arms()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let arms = self.arms();
        if arms < 2 {
            return Err(Error::TooFewArms(arms));
        }
        match self.control {
            Some(arm) if arm >= arms => Err(Error::NoSuchArm { arm, arms }),
            _ => Ok(()),
        }
    }
}

/// Whether a lead counts before the deadline when the leader's answers simply come sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimingGuard {
    On,
    Off,
}

/// What to do at the deadline when nothing is significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenInconclusive {
    /// Recommend the arm that gives away least, labelled as not significant. Right for peers.
    PosteriorBest,
    /// Keep the control. Without one this is [`Human`](Self::Human).
    Control,
    /// Leave it to a person.
    Human,
}
