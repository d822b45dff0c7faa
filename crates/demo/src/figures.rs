//! What the demo measures on its way.

use std::time::Duration;

/// Speeds and times of one run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Contacts imported per second.
    pub import_rows_per_second: f64,
    /// From a segment's creation until it is ready, the slowest of them.
    pub segment_ready: Duration,
    /// Messages rendered per second over gRPC, in batches of 500 on one connection.
    pub rendered_per_second: f64,
    /// Messages of the test per second from the first that the mail server accepted to the last, with every row of the
    /// ledger durable, while people react.
    pub delivered_per_second: f64,
    /// Clicks answered per second.
    pub clicks_per_second: f64,
    /// From the first call to the checked report.
    pub wall: Duration,
}

/// A count over a time.
#[expect(clippy::cast_precision_loss, reason = "a rate for display")]
pub(crate) fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}
