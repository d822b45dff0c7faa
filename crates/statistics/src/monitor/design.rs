//! What an experiment fixes before its first mail and never changes after it.

use super::evidence::Look;
use crate::anytime::NormalMixture;
use crate::assignment::Weights;
use crate::error::Error;
use crate::number::{Alpha, Fraction};
use crate::spending::Spending;

/// The rules an experiment is judged by. Arms are numbered by their place in `weights`.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    pub weights: Weights,
    pub method: Method,
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
    /// The defaults of a campaign, measured in simulations of maturing outcomes.
    pub fn standard(weights: Weights) -> Self {
        Self {
            weights,
            method: Method::GroupSequential(Spending::OBrienFleming),
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

    /// The same for who cannot wait: verdicts from half of the answers on. As valid, and more at the mercy of arms that
    /// are answered sooner.
    pub fn fast(weights: Weights) -> Self {
        Self { maturity_gate: Fraction::HALF, ..Self::standard(weights) }
    }

    /// The defaults of an automation that has no deadline. Count only contacts whose outcome is settled, and let it run
    /// whole weeks: the gate is a week when a look's time is its share of a week.
    pub fn open_ended(weights: Weights, mixture: NormalMixture) -> Self {
        Self {
            method: Method::Anytime(mixture),
            maturity_gate: Fraction::ONE,
            ..Self::standard(weights)
        }
    }

    pub fn arms(&self) -> usize {
        self.weights.arms()
    }

    /// Whether nothing comes after this look.
    pub(super) fn ends_at(&self, look: &Look) -> bool {
        matches!(self.method, Method::GroupSequential(_)) && look.is_mature()
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

/// What a lead is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// A boundary that spends the error probability until the deadline. The most powerful where there is one.
    GroupSequential(Spending),
    /// Evidence that is valid at any time, for tests without a deadline: none of their looks is final.
    Anytime(NormalMixture),
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
