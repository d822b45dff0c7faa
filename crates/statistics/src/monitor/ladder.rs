//! The ladder itself.

use super::design::{Design, TimingGuard, WhenInconclusive};
use super::evidence::{Admitted, Evidence, GuardrailCounts, Look, Sending, admit};
use super::verdict::{
    Action, Admission, AgainstControl, ArmReading, GuardrailReading, Reason, SampleRatio, Test,
    Verdict,
};
use crate::effect::Comparison;
use crate::error::Error;
use crate::group_sequential::Schedule;
use crate::guardrail;
use crate::multiplicity;
use crate::number::Alpha;
use crate::posterior::{self, Standing};
use crate::proportion::Proportion;
use crate::sample_ratio;
use crate::spending::Spending;

const SPENDING: Spending = Spending::OBrienFleming;
/// Below this the sample ratio deserves a warning.
const SUSPICION: f64 = 0.01;

/// Judges the present look in the light of those before it.
pub fn assess(design: &Design, evidence: &Evidence<'_>) -> Result<Verdict, Error> {
    design.check()?;
    let present = evidence.check(design)?;
    let sample_ratio = balance(design, evidence)?;
    let (looks, admission) = admit(design, evidence.looks);
    let judged = admission == Admission::Admitted && !sample_ratio.is_broken;
    let trial = if judged { Trial::new(design, &looks)? } else { None };
    let rates = rates(present);
    let standing = rates.as_deref().map(posterior::standing);
    let guardrails = guardrails(design, present, evidence.guardrails)?;
    let against_control = match &trial {
        Some(trial) if present.is_final() => trial.against_control()?,
        _ => Vec::new(),
    };
    let step = Step {
        design,
        present,
        trial: trial.as_ref(),
        guardrails: &guardrails,
        against_control: &against_control,
        best: standing.as_ref().and_then(Standing::best),
    };
    let (action, reason, winner) =
        if sample_ratio.is_broken { hold(Reason::SampleRatioMismatch) } else { step.climb() };
    let boundary = trial.as_ref().map(|trial| trial.test.boundary);
    Ok(Verdict {
        action,
        reason,
        winner,
        admission,
        tied_with: trial.as_ref().map(Trial::tied).unwrap_or_default(),
        test: trial.as_ref().map(|trial| trial.test),
        against_control,
        sample_ratio,
        guardrails,
        baseline: design.control.unwrap_or(0),
        arms: readings(design, present, boundary, standing.as_ref()),
    })
}

type Rung = (Action, Reason, Option<usize>);

fn hold(reason: Reason) -> Rung {
    (Action::Hold, reason, None)
}

/// What the rungs below the first look at.
struct Step<'a> {
    design: &'a Design,
    present: &'a Look,
    trial: Option<&'a Trial<'a>>,
    guardrails: &'a [GuardrailReading],
    against_control: &'a [AgainstControl],
    best: Option<usize>,
}

impl Step<'_> {
    fn climb(&self) -> Rung {
        let Some(trial) = self.trial else {
            // At the deadline nothing more will come, so too little to judge is inconclusive rather than early.
            return if self.present.is_final() {
                self.inconclusive()
            } else {
                (Action::Continue, Reason::ImmatureOrTooFewEvents, None)
            };
        };
        let test = trial.test;
        if test.smallest_z >= test.boundary {
            if trial.is_timing_suspicious() {
                return (Action::Continue, Reason::TimingShift, None);
            }
            return self.promote(Action::Promote, Reason::SignificantBest, test.leader);
        }
        if !self.present.is_final() {
            return (Action::Continue, Reason::NotSignificantYet, None);
        }
        let beats_control = self
            .against_control
            .iter()
            .any(|variant| variant.arm == test.leader && variant.holm_p <= self.design.alpha.get());
        if beats_control {
            return self.promote(Action::Promote, Reason::BeatsControlTiedWithVariant, test.leader);
        }
        self.inconclusive()
    }

    fn inconclusive(&self) -> Rung {
        let reason = Reason::InconclusiveAtDeadline;
        match (self.design.when_inconclusive, self.best, self.design.control) {
            (WhenInconclusive::PosteriorBest, Some(best), _) => {
                self.promote(Action::PromoteNotSignificant, reason, best)
            }
            (WhenInconclusive::Control, _, Some(control)) => {
                self.promote(Action::PromoteControl, reason, control)
            }
            _ => hold(reason),
        }
    }

    /// Any promotion, significant or not, is stopped by harm: a guardrail needs no significant gain to block.
    fn promote(&self, action: Action, reason: Reason, arm: usize) -> Rung {
        match self.guardrails.iter().find(|guardrail| guardrail.blocks[arm]) {
            Some(broken) => (Action::Hold, Reason::Guardrail(broken.name.clone()), Some(arm)),
            None => (action, reason, Some(arm)),
        }
    }
}

/// The admitted looks with the test at the last of them.
struct Trial<'a> {
    design: &'a Design,
    looks: &'a [Admitted],
    present: &'a Admitted,
    schedule: Schedule,
    test: Test,
}

impl<'a> Trial<'a> {
    fn new(design: &'a Design, looks: &'a [Admitted]) -> Result<Option<Self>, Error> {
        let schedule = Schedule::new(looks.iter().map(|look| look.time).collect())?;
        let boundaries = schedule.boundaries(SPENDING, design.alpha);
        let (Some(present), Some(boundary)) = (looks.last(), boundaries.last()) else {
            return Ok(None);
        };
        let leader = present.leader();
        let smallest_z = present
            .others(leader)
            .map(|other| present.z(leader, other))
            .fold(f64::INFINITY, f64::min);
        let test = Test {
            number: looks.len(),
            information: present.time.information,
            spending_time: present.time.spending_time,
            alpha_spent: boundary.cumulative_alpha,
            boundary: boundary.z,
            leader,
            smallest_z,
            sequential_p: 1.0,
            timing_z: present.worst_timing_z(leader),
        };
        let mut trial = Self { design, looks, present, schedule, test };
        trial.test.sequential_p =
            trial.sequential_p(leader, |look| look.others(leader).collect())?;
        Ok(Some(trial))
    }

    /// The sequential p-value of `arm` being ahead of all `others` at once. A lead that may be speed does not count.
    fn sequential_p(
        &self,
        arm: usize,
        others: impl Fn(&Admitted) -> Vec<usize>,
    ) -> Result<f64, Error> {
        let guarded = self.design.timing_guard == TimingGuard::On;
        let lead = |look: &Admitted| {
            let lead = |other: usize| {
                let suspicious = guarded && look.is_timing_suspicious(arm, other);
                if suspicious { f64::NEG_INFINITY } else { look.z(arm, other) }
            };
            others(look).into_iter().map(lead).fold(f64::INFINITY, f64::min)
        };
        let leads: Vec<f64> = self.looks.iter().map(lead).collect();
        self.schedule.sequential_p(SPENDING, &leads)
    }

    /// Every variant against the control, when a variant leads.
    fn against_control(&self) -> Result<Vec<AgainstControl>, Error> {
        let Some(control) = self.design.control.filter(|control| *control != self.test.leader)
        else {
            return Ok(Vec::new());
        };
        let mut variants = Vec::new();
        for arm in self.present.others(control) {
            let sequential_p = self.sequential_p(arm, |_| vec![control])?;
            variants.push(AgainstControl { arm, sequential_p, holm_p: 1.0 });
        }
        let p: Vec<f64> = variants.iter().map(|variant| variant.sequential_p).collect();
        for (variant, adjusted) in variants.iter_mut().zip(multiplicity::holm(&p)) {
            variant.holm_p = adjusted;
        }
        Ok(variants)
    }

    fn is_timing_suspicious(&self) -> bool {
        let leader = self.test.leader;
        self.design.timing_guard == TimingGuard::On
            && self
                .present
                .others(leader)
                .any(|other| self.present.is_timing_suspicious(leader, other))
    }

    fn tied(&self) -> Vec<usize> {
        let leader = self.test.leader;
        let unbeaten = |other: &usize| self.present.z(leader, *other) < self.test.boundary;
        self.present.others(leader).filter(unbeaten).collect()
    }
}

fn balance(design: &Design, evidence: &Evidence<'_>) -> Result<SampleRatio, Error> {
    let sent = |look: &Look| look.arms.iter().map(|arm| arm.sent).collect::<Vec<u64>>();
    let mut ln_evidence = f64::NEG_INFINITY;
    let mut present = Vec::new();
    for look in evidence.looks {
        present = sent(look);
        ln_evidence = ln_evidence.max(sample_ratio::ln_evidence(&present, &design.weights)?);
    }
    let chi_square = sample_ratio::chi_square(&present, &design.weights)?;
    let p = match evidence.sending {
        Sending::InProgress => (-ln_evidence).exp(),
        Sending::Complete => chi_square.p,
    };
    Ok(SampleRatio {
        chi_square,
        ln_evidence,
        is_broken: p < design.sample_ratio_alarm.get(),
        is_suspicious: p < SUSPICION,
    })
}

/// Every arm's rate, if something was sent to every arm.
fn rates(look: &Look) -> Option<Vec<Proportion>> {
    look.arms.iter().map(|arm| Proportion::new(arm.responders, arm.sent).ok()).collect()
}

fn guardrails(
    design: &Design,
    present: &Look,
    counts: &[GuardrailCounts],
) -> Result<Vec<GuardrailReading>, Error> {
    let read = |counts: &GuardrailCounts| {
        let mut reading =
            GuardrailReading { name: counts.name.clone(), harm: Vec::new(), blocks: Vec::new() };
        for (arm, events) in counts.events.iter().enumerate() {
            let sent = present.arms[arm].sent;
            if sent == 0 && *events == 0 {
                reading.harm.push(None);
                reading.blocks.push(false);
                continue;
            }
            let rate = Proportion::new(*events, sent)?;
            let against = reference(design, present, counts, arm);
            let harm = against.map(|baseline| {
                guardrail::harm(Comparison { baseline, arm: rate }, Alpha::FIVE_PERCENT)
            });
            let worse = harm.is_some_and(|harm| harm.p < Alpha::FIVE_PERCENT.get());
            let above = |ceiling| guardrail::exceeds(rate, ceiling, Alpha::FIVE_PERCENT);
            reading.harm.push(harm);
            reading.blocks.push(worse || counts.ceiling.is_some_and(above));
        }
        Ok(reading)
    };
    counts.iter().map(read).collect()
}

/// What an arm's harm is measured against: the control, or all other arms together where there is none.
fn reference(
    design: &Design,
    present: &Look,
    counts: &GuardrailCounts,
    arm: usize,
) -> Option<Proportion> {
    let is_reference =
        |other: usize| design.control.map_or(other != arm, |control| control == other);
    if design.control == Some(arm) {
        return None;
    }
    let (mut events, mut sent) = (0_u64, 0_u64);
    for other in (0..design.arms()).filter(|other| is_reference(*other)) {
        events = events.saturating_add(counts.events[other]);
        sent = sent.saturating_add(present.arms[other].sent);
    }
    Proportion::new(events, sent).ok()
}

fn readings(
    design: &Design,
    present: &Look,
    boundary: Option<f64>,
    standing: Option<&Standing>,
) -> Vec<ArmReading> {
    let proportion = |arm: usize| {
        let counts = present.arms[arm];
        Proportion::new(counts.responders, counts.sent).ok()
    };
    let origin = design.control.unwrap_or(0);
    let read = |arm: usize| {
        let Some(rate) = proportion(arm) else { return ArmReading::default() };
        let comparison = proportion(origin)
            .filter(|_| arm != origin)
            .map(|baseline| Comparison { baseline, arm: rate });
        let judged = comparison.zip(boundary);
        ArmReading {
            rate: Some(rate.estimate(design.alpha)),
            difference: judged.map(|(comparison, boundary)| comparison.difference(boundary)),
            lift: judged.and_then(|(comparison, boundary)| comparison.lift(boundary)),
            posterior: standing.map(|standing| standing.arms[arm]),
            credible: Some(posterior::credible_interval(rate, design.alpha)),
        }
    };
    (0..design.arms()).map(read).collect()
}
