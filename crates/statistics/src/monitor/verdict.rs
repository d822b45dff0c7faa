//! What the ladder answers, with everything needed to explain it.

use std::fmt;

use crate::contingency::ChiSquare;
use crate::guardrail::Harm;
use crate::number::{Estimate, Fraction, Interval};
use crate::posterior::Posterior;

/// The judgement of one look.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub action: Action,
    pub reason: Reason,
    /// The arm the action is about: the one to promote, or the one a guardrail held back.
    pub winner: Option<usize>,
    pub admission: Admission,
    /// The test at this look; none unless the look was admitted and the sample ratio believed.
    pub test: Option<Test>,
    /// At the deadline, when a variant leads a declared control: every variant against it.
    pub against_control: Vec<AgainstControl>,
    /// Arms the leader has not beaten.
    pub tied_with: Vec<usize>,
    pub sample_ratio: SampleRatio,
    pub guardrails: Vec<GuardrailReading>,
    /// The arm that differences and lifts are measured from: the control, or else the first.
    pub baseline: usize,
    pub arms: Vec<ArmReading>,
}

/// The bare judgement of one look, as it was when the look was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub spending_time: Fraction,
    pub action: Action,
    pub reason: Reason,
    pub winner: Option<usize>,
    pub admission: Admission,
    /// None unless the look was admitted and the sample ratio believed.
    pub statistic: Option<Statistic>,
}

/// How far the leader is ahead, and how far it must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistic {
    pub information: f64,
    /// Infinite when the look spends nothing.
    pub boundary: f64,
    pub leader: usize,
    /// The leader's z against the arm it beats least.
    pub smallest_z: f64,
}

/// What should happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Continue,
    Promote,
    Hold,
    /// Promote the arm that gives away least, and say that it is not significant.
    PromoteNotSignificant,
    PromoteControl,
}

impl Action {
    pub fn code(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Promote => "PROMOTE",
            Self::Hold => "HOLD",
            Self::PromoteNotSignificant => "PROMOTE_NOT_SIGNIFICANT",
            Self::PromoteControl => "PROMOTE_CONTROL",
        }
    }
}

/// Why. Displays as the code that reports and audits store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    SampleRatioMismatch,
    ImmatureOrTooFewEvents,
    /// The leader's answers come sooner or later than others', so its lead may be speed.
    TimingShift,
    /// The named guardrail was broken by the arm that would have been promoted.
    Guardrail(String),
    SignificantBest,
    NotSignificantYet,
    BeatsControlTiedWithVariant,
    InconclusiveAtDeadline,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self {
            Self::SampleRatioMismatch => "SRM",
            Self::ImmatureOrTooFewEvents => "IMMATURE_OR_TOO_FEW_EVENTS",
            Self::TimingShift => "TIMING_SHIFT",
            Self::Guardrail(name) => return write!(f, "GUARDRAIL:{name}"),
            Self::SignificantBest => "SIGNIFICANT_BEST",
            Self::NotSignificantYet => "NOT_SIGNIFICANT_YET",
            Self::BeatsControlTiedWithVariant => "BEATS_CONTROL_TIED_WITH_VARIANT",
            Self::InconclusiveAtDeadline => "INCONCLUSIVE_AT_DEADLINE",
        };
        f.write_str(code)
    }
}

/// Whether the present look takes part in the test. Only admitted looks spend error probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    Immature,
    TooFewSent,
    TooFewEvents,
    /// Less than 1 % more than the last admitted look, whose verdict therefore still stands.
    LittleNewInformation,
}

/// The test at an admitted look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// 1 for the first admitted look.
    pub number: usize,
    pub information: f64,
    pub spending_time: Fraction,
    /// Of the error probability; all of it when the test is open-ended.
    pub alpha_spent: f64,
    /// What the leader's smallest z must reach; infinite when this look spends nothing.
    pub boundary: f64,
    pub leader: usize,
    /// The leader's z against the arm it beats least.
    pub smallest_z: f64,
    /// The smallest error probability at which the leader would have been declared best by now.
    pub sequential_p: f64,
    /// The difference in timing that makes the lead most suspicious.
    pub timing_z: f64,
}

/// One variant against the control, allowing for all looks and for all variants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgainstControl {
    pub arm: usize,
    pub sequential_p: f64,
    pub holm_p: f64,
}

/// Whether the arms received the numbers they should have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// On the present counts; decides once sending is complete.
    pub chi_square: ChiSquare,
    /// The strongest evidence at any look; decides while sending is in progress.
    pub ln_evidence: f64,
    /// Nothing can be concluded.
    pub is_broken: bool,
    /// Below one in a hundred: worth a warning.
    pub is_suspicious: bool,
}

/// One guardrail over all arms.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardrailReading {
    pub name: String,
    /// By arm. Against the control, or against all other arms together where there is none; none for the control
    /// itself and for arms nothing was sent to.
    pub harm: Vec<Option<Harm>>,
    /// By arm: whether promoting it is blocked.
    pub blocks: Vec<bool>,
}

/// One arm, for display. Fields are none where there is nothing to divide by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ArmReading {
    /// With its Wilson interval, valid for this look alone.
    pub rate: Option<Estimate>,
    /// Minus the baseline's rate, with its repeated confidence interval, valid at all looks.
    pub difference: Option<Estimate>,
    /// Relative to the baseline, on the same terms.
    pub lift: Option<Estimate>,
    pub posterior: Option<Posterior>,
    pub credible: Option<Interval>,
}
