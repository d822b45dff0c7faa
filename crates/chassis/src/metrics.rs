//! Counts and durations of the calls answered and made, in the default Prometheus registry.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use prometheus::{
    HistogramVec, IntCounterVec, IntGaugeVec, register_histogram_vec, register_int_counter_vec,
    register_int_gauge_vec,
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Code;
use tracing::Span;

use crate::methods::Method;

/// The calls this process answers.
pub(crate) static SERVER: LazyLock<Side> = LazyLock::new(|| Side::named("server"));
/// The calls this process makes.
pub(crate) static CLIENT: LazyLock<Side> = LazyLock::new(|| Side::named("client"));

/// From a fast read of Redis to the longest a call may take.
const BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// One side of calls.
pub(crate) struct Side {
    calls: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGaugeVec,
    retries: IntCounterVec,
}

/// A call under way. When it is dropped it is counted: with its code once that is known, and as
/// cancelled before.
pub(crate) struct Call {
    side: &'static Side,
    method: Arc<Method>,
    span: Span,
    started: Instant,
    code: Code,
    /// Keeps shutdown waiting for the call.
    _kept: Option<TaskTrackerToken>,
}

impl Side {
    fn named(side: &str) -> Self {
        let registered = "the name is registered once, here";
        let labels = ["service", "method"];
        let name = |what: &str| format!("rpc_{side}_{what}");
        Self {
            calls: register_int_counter_vec!(
                name("calls_total"),
                "Calls that have ended, by code.",
                &["service", "method", "code"]
            )
            .expect(registered),
            seconds: register_histogram_vec!(
                name("seconds"),
                "How long calls took, to the last byte of the answer.",
                &labels,
                BUCKETS.to_vec()
            )
            .expect(registered),
            in_flight: register_int_gauge_vec!(name("in_flight"), "Calls under way.", &labels)
                .expect(registered),
            retries: register_int_counter_vec!(
                name("retries_total"),
                "Attempts beyond the first.",
                &labels
            )
            .expect(registered),
        }
    }

    pub(crate) fn retried(&self, method: &Method) {
        self.retries.with_label_values(&[&method.service, &method.name]).inc();
    }
}

impl Call {
    pub(crate) fn start(
        side: &'static Side,
        method: Arc<Method>,
        span: Span,
        kept: Option<TaskTrackerToken>,
    ) -> Self {
        side.in_flight.with_label_values(&[&method.service, &method.name]).inc();
        let started = Instant::now();
        Self { side, method, span, started, code: Code::Cancelled, _kept: kept }
    }

    pub(crate) fn ends_with(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let labels = [self.method.service.as_str(), self.method.name.as_str()];
        let code = format!("{:?}", self.code);
        self.side.in_flight.with_label_values(&labels).dec();
        self.side.seconds.with_label_values(&labels).observe(self.started.elapsed().as_secs_f64());
        self.side.calls.with_label_values(&[labels[0], labels[1], &code]).inc();
        self.span.record("rpc.grpc.status_code", i32::from(self.code));
        if is_ours(self.code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// Whether a code tells of a failure on the answering side.
fn is_ours(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
