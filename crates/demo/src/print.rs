//! The report as a person reads it on a terminal.

use std::fmt::Write as _;

use cursus_api::delivery::Ledger;
use cursus_api::experiment::{ArmResult, Estimate, MetricResult, Verdict};

use crate::Outcome;

/// The whole report: ledger, arms, segments, verdict.
pub fn report(outcome: &Outcome) -> String {
    let mut text = String::new();
    if let Some(ledger) = &outcome.report.ledger {
        text += &ledger_text(ledger);
    }
    let Some(results) = &outcome.report.results else { return text };
    text += &table("All", &results.arms, results.remainder.as_ref());
    for segment in &results.segments {
        let title = segment.segment.rsplit('/').next().unwrap_or_default();
        text += &table(title, &segment.arms, segment.remainder.as_ref());
    }
    if let Some(verdict) = &results.verdict {
        text += &verdict_text(verdict);
    }
    text
}

fn ledger_text(ledger: &Ledger) -> String {
    let mut parts = vec![format!("{} accepted", ledger.accepted_count)];
    let counts = [
        ("left alone", ledger.holdout_count),
        ("ambiguous", ledger.ambiguous_count),
        ("held", ledger.held_count),
        ("waiting", ledger.waiting_count),
        ("cancelled", ledger.cancelled_count),
        ("unplanned", ledger.unplanned_count),
    ];
    let reasons =
        ledger.suppressed_counts.iter().map(|(reason, count)| ("suppressed", reason, count));
    let failures = ledger.failed_counts.iter().map(|(reason, count)| ("failed", reason, count));
    parts.extend(counts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")));
    parts.extend(reasons.chain(failures).map(|(what, why, n)| format!("{n} {what} ({why})")));
    format!("Ledger: {} in the audience = {}\n", ledger.audience_count, parts.join(" + "))
}

fn table(title: &str, arms: &[ArmResult], remainder: Option<&ArmResult>) -> String {
    let mut text = format!(
        "\n{title:<24}{:>8}  {:<28}{:<28}{:<34}{}\n",
        "people", "visits", "conversions", "revenue", "visits against the holdout, points"
    );
    for arm in arms {
        let label = if arm.arm.is_empty() { "Holdout" } else { &arm.display_name };
        text += &row(label, arm);
    }
    if let Some(remainder) = remainder {
        text += &row("Remainder", remainder);
    }
    text
}

fn row(label: &str, arm: &ArmResult) -> String {
    let metric = |id: &str| arm.metrics.iter().find(|metric| metric.metric_id == id);
    let share = |id| metric(id).map(count_and_share).unwrap_or_default();
    let revenue = metric("revenue").map(money).unwrap_or_default();
    let lift = metric("visit").and_then(|m| m.lift.as_ref()).map(points).unwrap_or_default();
    format!(
        "{label:<24}{:>8}  {:<28}{:<28}{revenue:<34}{lift}\n",
        arm.unit_count,
        share("visit"),
        share("conversion")
    )
}

fn count_and_share(metric: &MetricResult) -> String {
    let rate = metric.rate.unwrap_or_default();
    format!(
        "{:>6} {:>6.2} %{}",
        metric.event_unit_count,
        rate.value * 100.0,
        interval(&rate, 100.0)
    )
}

fn money(metric: &MetricResult) -> String {
    let rate = metric.rate.unwrap_or_default();
    format!("{:>10.2} {:>6.3} each{}", metric.total, rate.value, interval(&rate, 1.0))
}

fn points(lift: &Estimate) -> String {
    format!("{:+.2}{}", lift.value * 100.0, interval(lift, 100.0))
}

fn interval(estimate: &Estimate, scale: f64) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!(" [{:.2}, {:.2}]", low * scale, high * scale),
        _ => " (not enough data)".to_owned(),
    }
}

fn verdict_text(verdict: &Verdict) -> String {
    let mut text = format!("\nVerdict: {} ({})\n", verdict.reason_text, verdict.reason_code);
    if let Some(boundary) = verdict.boundary {
        let _ = writeln!(
            text,
            "  statistic {:.2} against a boundary of {boundary:.2} after {} looks{}; sample ratio p = {:.3}",
            verdict.statistic,
            verdict.look_count,
            verdict.sequential_p.map(|p| format!(", sequential p = {p:.2e}")).unwrap_or_default(),
            verdict.sample_ratio_p
        );
    }
    text
}
