//! Results as the wire has them.

use cursus_api::experiment as proto;

use super::convert::{arm_id, number, timestamp};
use crate::adjustment::Adjustment;
use crate::design::Design;
use crate::differences::Difference;
use crate::report::{Report, Warning};
use crate::results::{Estimate, GroupResult, Panel};
use crate::verdict::{Action, Alarm, Guardrail, SampleRatio, Timing, TimingState, Verdict};

impl From<Report> for proto::Results {
    fn from(report: Report) -> Self {
        let design = &report.experiment.design;
        let verdict = verdict(design, &report.verdict);
        let mut arms = arms(design, &report.whole);
        for (arm, probability) in arms.iter_mut().zip(report.probabilities_best.unwrap_or_default())
        {
            arm.probability_best = Some(probability);
        }
        for (arm, p) in arms.iter_mut().zip(&report.verdict.against_control) {
            arm.p_against_control = *p;
        }
        for (arm, share) in arms.iter_mut().zip(report.shares) {
            arm.share = Some(share);
        }
        let segment = |(segment, panel): &(String, Panel)| proto::SegmentResult {
            segment: segment.clone(),
            unit_count: number(panel.units),
            arms: self::arms(design, panel),
            remainder: remainder(design, panel),
        };
        Self {
            experiment: report.experiment.name.to_string(),
            as_of_time: Some(timestamp(report.as_of)),
            arms,
            segments: report.segments.iter().map(segment).collect(),
            verdict: Some(verdict),
            deadline: report.experiment.deadline.map(timestamp),
            remainder: remainder(design, &report.whole),
            guardrails: report.guardrails.iter().map(|it| guardrail(design, it)).collect(),
            sample_ratio: Some(sample_ratio(&report.sample_ratio)),
            timing: Some(timing(&report.timing)),
            segment_differences: report
                .differences
                .iter()
                .map(|it| difference(design, it))
                .collect(),
            maturity: report.maturity,
            earliest_next_look_time: report.next_look.map(timestamp),
            warnings: report.warnings.into_iter().map(Into::into).collect(),
            invalidated_by: report.invalidated_by,
        }
    }
}

impl From<Warning> for proto::Warning {
    fn from(warning: Warning) -> Self {
        Self { code: warning.code.to_owned(), text: warning.text }
    }
}

fn guardrail(design: &Design, guardrail: &Guardrail) -> proto::GuardrailResult {
    let arm = |(arm, reading): (&crate::design::Arm, &crate::verdict::GuardedArm)| {
        let harm = reading.harm;
        proto::GuardrailArm {
            arm: arm.id.to_string(),
            harm: harm.map(|harm| harm.difference),
            p: harm.map(|harm| harm.p),
            at_most: harm.map(|harm| harm.at_most),
            exceeds_ceiling: reading.exceeds_ceiling,
            blocks: reading.blocks(),
        }
    };
    let metric = design.metrics.get(guardrail.metric);
    proto::GuardrailResult {
        metric_id: metric.map(|metric| metric.id.to_string()).unwrap_or_default(),
        arms: design.arms.iter().zip(&guardrail.arms).map(arm).collect(),
    }
}

fn sample_ratio(found: &SampleRatio) -> proto::SampleRatio {
    use proto::sample_ratio::State;
    let state = match found.alarm {
        Alarm::None => State::Ok,
        Alarm::Suspicious => State::Warning,
        Alarm::Broken => State::Alarm,
    };
    proto::SampleRatio { state: state.into(), p: found.p, evidence: found.ln_evidence.exp() }
}

fn timing(timing: &Timing) -> proto::Timing {
    use proto::timing::State;
    let state = match timing.state {
        TimingState::Ok => State::Ok,
        TimingState::Shifted => State::Shifted,
        TimingState::Settled => State::Settled,
    };
    proto::Timing { state: state.into(), z: timing.z }
}

fn difference(design: &Design, difference: &Difference) -> proto::SegmentDifferences {
    let found = &difference.found;
    let effects = difference.segments.iter().zip(&found.segments);
    let effect = |(segment, it): (&String, &cursus_statistics::segment::SegmentEffect)| {
        proto::SegmentEffect {
            segment: segment.clone(),
            difference: it.difference,
            shrunk: it.shrunk,
            p: it.p_holm,
        }
    };
    proto::SegmentDifferences {
        arm: arm_id(design, Some(difference.arm)),
        baseline: arm_id(design, Some(difference.baseline)),
        p: found.interaction.p,
        i_squared: found.i_squared,
        segments: effects.map(effect).collect(),
    }
}

/// In the order of the design, the holdout last.
fn arms(design: &Design, panel: &Panel) -> Vec<proto::ArmResult> {
    let named = |(arm, result): (&crate::design::Arm, &GroupResult)| {
        group(design, arm.id.to_string(), arm.display_name.clone(), result)
    };
    let arms = design.arms.iter().zip(&panel.arms).map(named);
    let holdout = panel.holdout.as_ref();
    arms.chain(holdout.map(|it| group(design, String::new(), String::new(), it))).collect()
}

fn remainder(design: &Design, panel: &Panel) -> Option<proto::ArmResult> {
    panel.released.as_ref().map(|it| group(design, String::new(), String::new(), it))
}

fn group(
    design: &Design,
    arm: String,
    display_name: String,
    result: &GroupResult,
) -> proto::ArmResult {
    let metrics =
        design.metrics.iter().zip(&result.metrics).map(|(metric, it)| proto::MetricResult {
            metric_id: metric.id.to_string(),
            unit_count: number(result.units.saturating_sub(it.tally.excluded)),
            event_unit_count: number(it.tally.answered),
            machine_unit_count: number(it.tally.machine),
            suspect_unit_count: number(it.tally.suspect),
            unknown_unit_count: number(it.tally.unknown),
            privacy_proxy_unit_count: number(it.tally.excluded),
            machine_share: it.tally.machine_share(),
            total: it.tally.total,
            rate: it.rate.map(estimate),
            lift: it.lift.map(estimate),
            relative_lift: it.relative_lift.map(estimate),
            incremental: it.incremental.map(estimate),
            adjusted_difference: it.adjustment.map(|it| adjusted_difference(design, &it)),
        });
    proto::ArmResult {
        arm,
        display_name,
        unit_count: number(result.units),
        metrics: metrics.collect(),
        probability_best: None,
        p_against_control: None,
        share: None,
    }
}

fn adjusted_difference(design: &Design, found: &Adjustment) -> proto::AdjustedDifference {
    proto::AdjustedDifference {
        baseline: arm_id(design, Some(found.baseline)),
        plain: Some(estimate(found.plain)),
        adjusted: Some(estimate(found.adjusted)),
        variance_reduction: found.variance_reduction,
    }
}

fn estimate(estimate: Estimate) -> proto::Estimate {
    proto::Estimate {
        value: estimate.value,
        low: estimate.interval.map(|interval| interval.low),
        high: estimate.interval.map(|interval| interval.high),
    }
}

pub(super) fn action(action: Action) -> proto::verdict::Action {
    match action {
        Action::Continue => proto::verdict::Action::Continue,
        Action::Promote => proto::verdict::Action::Promote,
        Action::PromoteNotSignificant => proto::verdict::Action::PromoteNotSignificant,
        Action::PromoteControl => proto::verdict::Action::PromoteControl,
        Action::Hold => proto::verdict::Action::Hold,
        Action::None => proto::verdict::Action::None,
    }
}

pub(super) fn verdict(design: &Design, verdict: &Verdict) -> proto::Verdict {
    proto::Verdict {
        tied_arms: verdict.tied_with.iter().map(|arm| arm_id(design, Some(*arm))).collect(),
        conditional_power: verdict.conditional_power,
        action: action(verdict.action).into(),
        reason_code: verdict.reason_code.clone(),
        reason_text: verdict.reason_text.clone(),
        arm: arm_id(design, verdict.arm),
        statistic: verdict.statistic,
        boundary: verdict.boundary,
        sequential_p: verdict.sequential_p,
        information: verdict.information,
        spending_time: verdict.spending_time,
        look_count: i32::try_from(verdict.look_count).unwrap_or(i32::MAX),
        sample_ratio_p: verdict.sample_ratio_p,
        r#final: verdict.is_final,
    }
}
