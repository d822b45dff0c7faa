//! The looks that were taken as a picture.

use cursus_statistics::Fraction;
use cursus_statistics::monitor::{Action as Rung, Admission, Decision, Reason, Statistic};
use cursus_statistics::path::{self, Words};

use crate::design::{Arm, Design};
use crate::experiment::Experiment;
use crate::store::looks::Listed;
use crate::verdict::{Action, Verdict};

/// Draws what was said at each look when it was taken. The same looks give the same bytes.
pub(crate) fn draw(experiment: &Experiment, looks: &[Listed]) -> String {
    let design = &experiment.design;
    let decisions: Vec<Decision> = looks.iter().map(|look| decision(design, look)).collect();
    let name = experiment.name.id.to_string();
    let title = if experiment.display_name.is_empty() { &name } else { &experiment.display_name };
    let arms: Vec<&str> = design.arms.iter().map(Arm::title).collect();
    path::draw(&decisions, Words { title, arms: &arms })
}

fn decision(design: &Design, look: &Listed) -> Decision {
    let verdict = &look.verdict;
    let statistic = verdict.sequential_p.map(|_| Statistic {
        information: verdict.information,
        boundary: verdict.boundary.unwrap_or(f64::INFINITY),
        leader: verdict.arm.unwrap_or_else(|| look.sight.leader(design.primary())),
        smallest_z: verdict.statistic,
    });
    Decision {
        spending_time: Fraction::saturating(verdict.spending_time),
        action: match verdict.action {
            Action::Continue | Action::None => Rung::Continue,
            Action::Promote => Rung::Promote,
            Action::PromoteNotSignificant => Rung::PromoteNotSignificant,
            Action::PromoteControl => Rung::PromoteControl,
            Action::Hold => Rung::Hold,
        },
        reason: reason(verdict),
        winner: verdict.arm,
        admission: if statistic.is_some() { Admission::Admitted } else { Admission::Immature },
        statistic,
    }
}

fn reason(verdict: &Verdict) -> Reason {
    let plain = [
        Reason::SampleRatioMismatch,
        Reason::TimingShift,
        Reason::SignificantBest,
        Reason::NotSignificantYet,
        Reason::BeatsControlTiedWithVariant,
        Reason::InconclusiveAtDeadline,
    ];
    let code = verdict.reason_code.as_str();
    if let Some(guardrail) = code.strip_prefix("GUARDRAIL:") {
        return Reason::Guardrail(guardrail.to_owned());
    }
    let found = plain.into_iter().find(|reason| reason.to_string() == code);
    found.unwrap_or(Reason::ImmatureOrTooFewEvents)
}
