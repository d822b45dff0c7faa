//! What somebody on call wants to know beside the calls, in the default Prometheus registry.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, register_int_counter, register_int_counter_vec};

const REGISTERED: &str = "the name is registered once, here";

/// Looks taken.
pub(crate) static LOOKS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("experiment_looks_total", "Looks taken.").expect(REGISTERED)
});

/// Looks that failed and are tried again.
pub(crate) static TROUBLES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Looks that failed and are tried again.";
    register_int_counter!("experiment_troubles_total", help).expect(REGISTERED)
});

/// Runs of facts taken, by feed.
pub(crate) static RUNS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Runs of facts taken, by feed.";
    register_int_counter_vec!("experiment_runs_total", help, &["feed"]).expect(REGISTERED)
});
