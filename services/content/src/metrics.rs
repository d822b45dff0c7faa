//! What somebody on call wants to know beside the calls, in the default Prometheus registry.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, register_int_counter_vec};

const REGISTERED: &str = "the name is registered once, here";

/// Messages by what became of them: `RENDERED`, or why they could not be.
pub(crate) static MESSAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Messages by whether they were rendered, or why not.";
    register_int_counter_vec!("content_messages_total", help, &["outcome"]).expect(REGISTERED)
});

/// Where versions to be filled in were found: in `memory`, or in the `database`.
pub(crate) static EDITIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Versions to be rendered by where they were found.";
    register_int_counter_vec!("content_editions_total", help, &["found"]).expect(REGISTERED)
});

/// Drafts to be published by what became of them: `PUBLISHED` or `TEMPLATE_INVALID`.
pub(crate) static PUBLICATIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Drafts by whether they were published or refused.";
    register_int_counter_vec!("content_publications_total", help, &["outcome"]).expect(REGISTERED)
});
