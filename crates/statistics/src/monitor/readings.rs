//! What a verdict shows beside its decision: guardrails, and every arm for display.

use super::design::Design;
use super::evidence::{GuardrailCounts, Look};
use super::verdict::{ArmReading, GuardrailReading};
use crate::effect::Comparison;
use crate::error::Error;
use crate::guardrail;
use crate::number::Alpha;
use crate::posterior;
use crate::proportion::Proportion;

/// Every arm's rate, if something was sent to every arm.
pub(super) fn rates(look: &Look) -> Option<Vec<Proportion>> {
    look.arms.iter().map(|arm| Proportion::new(arm.responders, arm.sent).ok()).collect()
}

pub(super) fn guardrails(
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

pub(super) fn arms(design: &Design, present: &Look, boundary: Option<f64>) -> Vec<ArmReading> {
    let standing = rates(present).as_deref().map(posterior::standing);
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
            posterior: standing.as_ref().map(|standing| standing.arms[arm]),
            credible: Some(posterior::credible_interval(rate, design.alpha)),
        }
    };
    (0..design.arms()).map(read).collect()
}
