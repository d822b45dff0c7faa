//! What an on-call person wants to know beside calls and their durations.

use std::sync::LazyLock;

use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, register_histogram, register_int_counter,
    register_int_counter_vec, register_int_gauge,
};

use crate::transition::{Cause, Crossing};

/// From a millisecond to a minute.
const LAGS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

use crate::calls::Taken;

static EVALUATIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Evaluations of blocks, by how much of the block was read.";
    register_int_counter_vec!("cursus_segmentation_evaluations_total", help, &["extent"])
        .expect("the metric is registered once")
});
static BITMAPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Bitmaps that membership was read from, by where they were.";
    register_int_counter_vec!("cursus_segmentation_bitmap_reads_total", help, &["source"])
        .expect("the metric is registered once")
});
static ROWS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Contacts and events written, and rows refused.";
    register_int_counter_vec!("cursus_segmentation_rows_total", help, &["kind"])
        .expect("the metric is registered once")
});
static CALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Calls of the tracking API, by what became of them, and fields of theirs that were dropped.";
    register_int_counter_vec!("cursus_segmentation_tracking_calls_total", help, &["outcome"])
        .expect("the metric is registered once")
});
static TRACKING_REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests of the tracking API, by the status of the answer.";
    register_int_counter_vec!("cursus_segmentation_tracking_requests_total", help, &["status"])
        .expect("the metric is registered once")
});
static OUTCOMES_LOST: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Outcomes of contacts that are not known here.";
    register_int_counter!("cursus_segmentation_outcomes_of_nobody_total", help)
        .expect("the metric is registered once")
});

static DEADLINE_LAG: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "Seconds from the moment at which time alone moved a contact to the commit of that.";
    register_histogram!("cursus_segmentation_deadline_lag_seconds", help, LAGS.to_vec())
        .expect("the metric is registered once")
});
static CHANGE_LAG: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "Seconds from the writing of an event or an attribute to memberships in Redis.";
    register_histogram!("cursus_segmentation_change_lag_seconds", help, LAGS.to_vec())
        .expect("the metric is registered once")
});
static TRANSITIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Contacts who entered or left segments, by cause.";
    register_int_counter_vec!("cursus_segmentation_transitions_total", help, &["cause"])
        .expect("the metric is registered once")
});
static RESIDENT_BLOCKS: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("cursus_segmentation_resident_blocks", "Blocks kept in memory.")
        .expect("the metric is registered once")
});
static RESIDENT_BYTES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Bytes of the blocks kept in memory.";
    register_int_gauge!("cursus_segmentation_resident_bytes", help)
        .expect("the metric is registered once")
});

/// Contacts entered and left, which was committed at a moment.
pub(crate) fn transitions<'a>(
    crossings: impl IntoIterator<Item = &'a Crossing>,
    committed: DateTime<Utc>,
) {
    for crossing in crossings {
        let count = u64::try_from(crossing.len()).unwrap_or(0);
        TRANSITIONS.with_label_values(&[crossing.cause.as_str()]).inc_by(count);
        if crossing.cause == Cause::Time {
            let lag = (committed - crossing.time).as_seconds_f64().max(0.0);
            (0..count).for_each(|_| DEADLINE_LAG.observe(lag));
        }
    }
}

/// Changes, which were as old as this in microseconds some while ago, are visible now.
pub(crate) fn changes_visible(ages: impl IntoIterator<Item = i64>, since: Duration) {
    for age in ages {
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        CHANGE_LAG.observe((age + since).as_secs_f64());
    }
}

/// What is kept in memory.
pub(crate) fn resident(blocks: usize, bytes: usize) {
    RESIDENT_BLOCKS.set(i64::try_from(blocks).unwrap_or(i64::MAX));
    RESIDENT_BYTES.set(i64::try_from(bytes).unwrap_or(i64::MAX));
}

/// A block was evaluated: all of it, or only who changed.
pub(crate) fn evaluated(whole: bool) {
    EVALUATIONS.with_label_values(&[if whole { "whole" } else { "changed" }]).inc();
}

/// Bitmaps were in memory.
pub(crate) fn read_from_memory(bitmaps: usize) {
    BITMAPS.with_label_values(&["memory"]).inc_by(u64::try_from(bitmaps).unwrap_or(0));
}

/// Bitmaps were read from Redis.
pub(crate) fn read_from_redis(bitmaps: usize) {
    BITMAPS.with_label_values(&["redis"]).inc_by(u64::try_from(bitmaps).unwrap_or(0));
}

/// Bitmaps were read from Postgres.
pub(crate) fn read_from_postgres(bitmaps: usize) {
    BITMAPS.with_label_values(&["postgres"]).inc_by(u64::try_from(bitmaps).unwrap_or(0));
}

/// Rows of a kind were written or refused.
pub(crate) fn rows(kind: &str, count: i64) {
    ROWS.with_label_values(&[kind]).inc_by(u64::try_from(count).unwrap_or(0));
}

/// Outcomes were of contacts that are not known.
pub(crate) fn outcomes_of_nobody(count: usize) {
    OUTCOMES_LOST.inc_by(u64::try_from(count).unwrap_or(0));
}

/// Calls of the tracking API were taken.
pub(crate) fn calls(taken: &Taken) {
    for (outcome, count) in [
        ("taken", taken.new),
        ("repeated", taken.repeated),
        ("refused", taken.refused.len()),
        ("field_dropped", taken.dropped.len()),
    ] {
        CALLS.with_label_values(&[outcome]).inc_by(u64::try_from(count).unwrap_or(0));
    }
}

/// A request of the tracking API was answered.
pub(crate) fn answered(status: &str) {
    TRACKING_REQUESTS.with_label_values(&[status]).inc();
}
