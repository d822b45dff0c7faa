//! Results as the wire has them.

use cursus_api::experiment as proto;

use super::convert::{arm_id, number, timestamp};
use crate::design::Design;
use crate::experiments::Report;
use crate::results::{Estimate, GroupResult, Panel};
use crate::verdict::{Action, Verdict};

impl From<Report> for proto::Results {
    fn from(report: Report) -> Self {
        let design = &report.experiment.design;
        let verdict = verdict(design, &report.verdict);
        let mut arms = arms(design, &report.whole);
        for (arm, probability) in arms.iter_mut().zip(report.probabilities_best.unwrap_or_default())
        {
            arm.probability_best = Some(probability);
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
        }
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
            unit_count: number(result.units),
            event_unit_count: number(it.tally.answered),
            machine_unit_count: number(it.tally.machine),
            total: it.tally.total,
            rate: it.rate.map(estimate),
            lift: it.lift.map(estimate),
            relative_lift: it.relative_lift.map(estimate),
            incremental: it.incremental.map(estimate),
        });
    proto::ArmResult {
        arm,
        display_name,
        unit_count: number(result.units),
        metrics: metrics.collect(),
        probability_best: None,
    }
}

fn estimate(estimate: Estimate) -> proto::Estimate {
    proto::Estimate {
        value: estimate.value,
        low: estimate.interval.map(|interval| interval.low),
        high: estimate.interval.map(|interval| interval.high),
    }
}

pub(super) fn verdict(design: &Design, verdict: &Verdict) -> proto::Verdict {
    let action = match verdict.action {
        Action::Continue => proto::verdict::Action::Continue,
        Action::Promote => proto::verdict::Action::Promote,
        Action::PromoteNotSignificant => proto::verdict::Action::PromoteNotSignificant,
        Action::PromoteControl => proto::verdict::Action::PromoteControl,
        Action::Hold => proto::verdict::Action::Hold,
        Action::None => proto::verdict::Action::None,
    };
    proto::Verdict {
        action: action.into(),
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
