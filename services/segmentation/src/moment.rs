//! Reading moments that people and programs write.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound, Utc};

/// From here on a number of seconds would be in the year 5138; in milliseconds it is in 1973.
const MILLIS: f64 = 1e11;

/// Reads ISO 8601 as programs write it. Without an offset it is UTC, without a time of day midnight.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let zoned = || text.parse::<DateTime<chrono::FixedOffset>>().ok().map(|time| time.to_utc());
    let naive = || text.parse::<NaiveDateTime>().ok().map(|time| time.and_utc());
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    kept(zoned().or_else(naive).or_else(day)?)
}

/// Whether a text is a moment and cannot be meant as anything else.
pub(crate) fn is_certain(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
}

/// Reads seconds since 1970, or milliseconds when the number is too large for seconds.
pub(crate) fn of_number(number: f64) -> Option<DateTime<Utc>> {
    if number.abs() < MILLIS { of_seconds(number) } else { of_seconds(number / 1e3) }
}

/// Reads seconds since 1970.
pub(crate) fn of_seconds(seconds: f64) -> Option<DateTime<Utc>> {
    let micros = (seconds * 1e6).round();
    if !micros.is_finite() || micros.abs() > 1e18 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 10^18")]
    let micros = micros as i64;
    kept(DateTime::from_timestamp_micros(micros)?)
}

/// Reads a time by a pattern as of `strftime`.
pub(crate) fn by_pattern(text: &str, pattern: &str) -> Option<DateTime<Utc>> {
    let zoned = || DateTime::parse_from_str(text, pattern).ok().map(|time| time.to_utc());
    let naive = || NaiveDateTime::parse_from_str(text, pattern).ok().map(|time| time.and_utc());
    let day = || {
        let day = NaiveDate::parse_from_str(text, pattern).ok()?;
        Some(day.and_time(NaiveTime::MIN).and_utc())
    };
    kept(zoned().or_else(naive).or_else(day)?)
}

/// To the microsecond, as Postgres keeps it, and from the year 1 to 9999, as the contract says.
pub(crate) fn kept(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let seconds = -62_135_596_800..=253_402_300_799;
    seconds.contains(&time.timestamp()).then(|| time.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(read: Option<DateTime<Utc>>, expected: &str) {
        assert_eq!(read.map(|time| time.to_rfc3339()).as_deref(), Some(expected));
    }

    #[test]
    fn moments_are_read_as_programs_write_them() {
        check(parse("2015-02-23T22:28:55.111Z"), "2015-02-23T22:28:55.111+00:00");
        check(parse("2015-2-02T00:30:08.276Z"), "2015-02-02T00:30:08.276+00:00");
        check(parse("2026-11-24T13:00:00.123456789+01:00"), "2026-11-24T12:00:00.123456+00:00");
        check(parse("2026-11-24T12:00:00.5"), "2026-11-24T12:00:00.500+00:00");
        check(parse(" 2026-11-24 "), "2026-11-24T00:00:00+00:00");
        for text in ["", "yesterday", "2026-13-01", "20261", "+12345-01-01T00:00:00Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds() {
        check(of_number(1_790_000_000.0), "2026-09-21T14:13:20+00:00");
        check(of_number(1_790_000_000_123.0), "2026-09-21T14:13:20.123+00:00");
        check(of_number(-1.5), "1969-12-31T23:59:58.500+00:00");
        for number in [f64::NAN, f64::INFINITY, 1e300, -1e18] {
            assert_eq!(of_number(number), None, "{number}");
        }
    }

    #[test]
    fn a_pattern_without_an_offset_is_utc_and_without_a_time_midnight() {
        check(by_pattern("19970101", "%Y%m%d"), "1997-01-01T00:00:00+00:00");
        check(by_pattern("24.11.2026 13:05", "%d.%m.%Y %H:%M"), "2026-11-24T13:05:00+00:00");
        check(
            by_pattern("24.11.2026 13:05 +0100", "%d.%m.%Y %H:%M %z"),
            "2026-11-24T12:05:00+00:00",
        );
        assert_eq!(by_pattern("2026-11-24", "%d.%m.%Y"), None);
    }

    #[test]
    fn only_a_whole_moment_is_certain() {
        assert!(is_certain("2026-11-24T12:00:00Z"));
        assert!(!is_certain("2026-11-24"));
        assert!(!is_certain("2026-11-24T12:00:00"));
    }
}
