//! The ladder itself.

use super::course::Course;
use super::design::{Design, WhenInconclusive};
use super::evidence::{Evidence, Look};
use super::readings;
use super::trial::Trial;
use super::verdict::{
    Action, AgainstControl, Decision, GuardrailReading, Reason, SampleRatio, Verdict,
};
use crate::error::Error;
use crate::posterior;

/// Judges the present look in the light of those before it.
pub fn assess(design: &Design, evidence: &Evidence<'_>) -> Result<Verdict, Error> {
    design.check()?;
    let present = evidence.check(design)?;
    let mut course = Course::new(design);
    let mut sample_ratio = None;
    for look in evidence.looks {
        sample_ratio = Some(course.take(look, evidence.sending)?);
    }
    let sample_ratio = sample_ratio.ok_or(Error::NoLooks)?;
    let guardrails = readings::guardrails(design, present, evidence.guardrails)?;
    let step = Step::new(design, present, &course, &sample_ratio)?;
    let (action, reason, winner) = step.climb(&guardrails);
    let test = step.trial.as_ref().map(Trial::test).transpose()?;
    Ok(Verdict {
        action,
        reason,
        winner,
        admission: course.admission(),
        tied_with: step.trial.as_ref().map(Trial::tied).unwrap_or_default(),
        test,
        against_control: step.against_control,
        sample_ratio,
        guardrails,
        baseline: design.control.unwrap_or(0),
        arms: readings::arms(design, present, test.map(|test| test.boundary)),
    })
}

/// What was decided at every look when it was taken, the same as [`assess`] would say of the looks up to there, to the
/// bit, at little more than the cost of one. Guardrails were counted at the last look, so only its decision knows them.
pub fn replay(design: &Design, evidence: &Evidence<'_>) -> Result<Vec<Decision>, Error> {
    design.check()?;
    let present = evidence.check(design)?;
    let guardrails = readings::guardrails(design, present, evidence.guardrails)?;
    let mut course = Course::new(design);
    let last = evidence.looks.len() - 1;
    let decide = |(index, look): (usize, &Look)| {
        let sample_ratio = course.take(look, evidence.sending)?;
        let step = Step::new(design, look, &course, &sample_ratio)?;
        let guardrails = if index == last { guardrails.as_slice() } else { &[] };
        let (action, reason, winner) = step.climb(guardrails);
        Ok(Decision {
            spending_time: look.spending_time,
            action,
            reason,
            winner,
            admission: course.admission(),
            statistic: step.trial.map(|trial| trial.statistic),
        })
    };
    evidence.looks.iter().enumerate().map(decide).collect()
}

type Rung = (Action, Reason, Option<usize>);

fn hold(reason: Reason) -> Rung {
    (Action::Hold, reason, None)
}

/// What the rungs look at.
struct Step<'a> {
    design: &'a Design,
    present: &'a Look,
    is_broken: bool,
    trial: Option<Trial<'a>>,
    against_control: Vec<AgainstControl>,
}

impl<'a> Step<'a> {
    fn new(
        design: &'a Design,
        present: &'a Look,
        course: &'a Course<'_>,
        sample_ratio: &SampleRatio,
    ) -> Result<Self, Error> {
        let is_broken = sample_ratio.is_broken;
        let trial = course.trial().filter(|_| !is_broken);
        let against_control = match &trial {
            Some(trial) if design.ends_at(present) => trial.against_control()?,
            _ => Vec::new(),
        };
        Ok(Self { design, present, is_broken, trial, against_control })
    }

    fn climb(&self, guardrails: &[GuardrailReading]) -> Rung {
        if self.is_broken {
            return hold(Reason::SampleRatioMismatch);
        }
        let is_final = self.design.ends_at(self.present);
        let Some(trial) = &self.trial else {
            // At the deadline nothing more will come, so too little to judge is inconclusive rather than early.
            return if is_final {
                self.inconclusive(guardrails)
            } else {
                (Action::Continue, Reason::ImmatureOrTooFewEvents, None)
            };
        };
        let leader = trial.statistic.leader;
        if trial.is_crossed() {
            if trial.is_timing_suspicious() {
                return (Action::Continue, Reason::TimingShift, None);
            }
            return promote(guardrails, (Action::Promote, Reason::SignificantBest, leader));
        }
        if !is_final {
            return (Action::Continue, Reason::NotSignificantYet, None);
        }
        let alpha = self.design.alpha.get();
        let beats = |variant: &AgainstControl| variant.arm == leader && variant.holm_p <= alpha;
        if self.against_control.iter().any(beats) {
            let tied = Reason::BeatsControlTiedWithVariant;
            return promote(guardrails, (Action::Promote, tied, leader));
        }
        self.inconclusive(guardrails)
    }

    fn inconclusive(&self, guardrails: &[GuardrailReading]) -> Rung {
        let reason = Reason::InconclusiveAtDeadline;
        match (self.design.when_inconclusive, self.design.control) {
            (WhenInconclusive::PosteriorBest, _) => {
                match readings::rates(self.present).as_deref().and_then(posterior::best) {
                    Some(best) => {
                        promote(guardrails, (Action::PromoteNotSignificant, reason, best))
                    }
                    None => hold(reason),
                }
            }
            (WhenInconclusive::Control, Some(control)) => {
                promote(guardrails, (Action::PromoteControl, reason, control))
            }
            _ => hold(reason),
        }
    }
}

/// Any promotion, significant or not, is stopped by harm: a guardrail needs no significant gain to block.
fn promote(
    guardrails: &[GuardrailReading],
    (action, reason, arm): (Action, Reason, usize),
) -> Rung {
    match guardrails.iter().find(|guardrail| guardrail.blocks[arm]) {
        Some(broken) => (Action::Hold, Reason::Guardrail(broken.name.clone()), Some(arm)),
        None => (action, reason, Some(arm)),
    }
}
