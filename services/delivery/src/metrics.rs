//! What somebody on call wants to know beside the calls, in the default Prometheus registry.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, register_int_counter, register_int_counter_vec};

const REGISTERED: &str = "the name is registered once, here";

/// Messages by the state they went to when something came of an attempt. `queued` are those to be tried again.
pub(crate) static MESSAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Messages by where an attempt left them.";
    register_int_counter_vec!("delivery_messages_total", help, &["state"]).expect(REGISTERED)
});

/// Batches that could not be sent because no connection to the relay could be opened.
pub(crate) static RELAY_FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Times that no connection to the relay could be opened.";
    register_int_counter!("delivery_relay_failures_total", help).expect(REGISTERED)
});

/// Opens, clicks and unsubscriptions that were new.
pub(crate) static ENGAGEMENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Opens, clicks and unsubscriptions, each counted once per message, link and actor.";
    register_int_counter_vec!("delivery_engagements_total", help, &["kind", "actor"])
        .expect(REGISTERED)
});
