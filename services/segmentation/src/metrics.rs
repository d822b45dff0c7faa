//! What an on-call person wants to know beside calls and their durations.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, register_int_counter, register_int_counter_vec};

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

/// A block was evaluated: all of it, or only who changed.
pub(crate) fn evaluated(whole: bool) {
    EVALUATIONS.with_label_values(&[if whole { "whole" } else { "changed" }]).inc();
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
        ("taken", taken.taken),
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
