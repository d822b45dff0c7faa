//! What travels with a call besides its message: the trace it belongs to (W3C `traceparent`) and
//! the time it has left (`grpc-timeout`).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use tokio::time::Instant;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const GRPC_TIMEOUT: &str = "grpc-timeout";

tokio::task_local! {
    /// When the request being handled must have been answered.
    pub(crate) static DEADLINE: Option<Instant>;
}

/// The time the request being handled has left, if it has a limit.
pub(crate) fn deadline() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok().flatten()
}

/// Makes `span` part of the trace the caller began.
pub(crate) fn join_trace(span: &Span, headers: &HeaderMap) {
    let parent = global::get_text_map_propagator(|it| it.extract(&Incoming(headers)));
    // Fails only where no traces are made.
    let _ = span.set_parent(parent);
}

/// Tells the peer which trace the current span is part of.
pub(crate) fn tell_trace(headers: &mut HeaderMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|it| it.inject_context(&context, &mut Outgoing(headers)));
}

/// How much time the caller gives. What cannot be read is as good as not said.
pub(crate) fn time_given(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Tells the peer how much time is left. At most eight digits are allowed, so a day is the most.
pub(crate) fn give_time(headers: &mut HeaderMap, left: Duration) {
    let millis = left.as_millis().clamp(1, 86_400_000);
    let value = HeaderValue::from_str(&format!("{millis}m")).expect("digits are a header value");
    headers.insert(GRPC_TIMEOUT, value);
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
        time_given(&headers)
    }

    #[test]
    fn time_is_read_in_every_unit_of_the_protocol() {
        for (text, expected) in [
            ("2H", Some(Duration::from_hours(2))),
            ("3M", Some(Duration::from_mins(3))),
            ("4S", Some(Duration::from_secs(4))),
            ("5m", Some(Duration::from_millis(5))),
            ("6u", Some(Duration::from_micros(6))),
            ("7n", Some(Duration::from_nanos(7))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("123456789S", None),
            ("5µ", None),
        ] {
            assert_eq!(given(text), expected, "{text}");
        }
    }

    #[test]
    fn time_told_is_time_read_and_never_nothing() {
        let mut headers = HeaderMap::new();
        give_time(&mut headers, Duration::from_millis(1234));
        assert_eq!(time_given(&headers), Some(Duration::from_millis(1234)));
        give_time(&mut headers, Duration::from_nanos(1));
        assert_eq!(time_given(&headers), Some(Duration::from_millis(1)));
        give_time(&mut headers, Duration::MAX);
        assert_eq!(time_given(&headers), Some(Duration::from_hours(24)));
    }
}
