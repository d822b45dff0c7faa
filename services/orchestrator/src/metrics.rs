//! What somebody on call wants to know beside the calls, in the default Prometheus registry.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, register_int_counter, register_int_counter_vec};

const REGISTERED: &str = "the name is registered once, here";

/// Campaigns by the state they went to.
pub(crate) static TRANSITIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Campaigns by the state they went to.";
    register_int_counter_vec!("orchestrator_transitions_total", help, &["state"]).expect(REGISTERED)
});

/// Steps that failed and are tried again.
pub(crate) static TROUBLES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Steps of campaigns that failed and are tried again.";
    register_int_counter!("orchestrator_troubles_total", help).expect(REGISTERED)
});
