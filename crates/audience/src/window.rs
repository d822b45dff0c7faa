//! Which of a contact's events count at a moment, and when that changes by time alone.

use crate::node::CountTest;
use crate::rule::Operator;
use crate::times::Moment;

/// No moment is further from 1970 than this; 36,558 years, so that sums of moments and lengths cannot overflow.
pub(crate) const HORIZON: i64 = 1 << 60;

/// The answer never changes by time alone.
pub(crate) const NEVER: i64 = i64::MAX;

/// Holds a moment within the horizon.
pub(crate) fn within_horizon(moment: i64) -> i64 {
    moment.clamp(-HORIZON, HORIZON)
}

/// What a sweep over "next change" moments ended with: beyond any real moment is never.
pub(crate) fn next_change(earliest: i64) -> Option<i64> {
    (earliest < 2 * HORIZON).then_some(earliest)
}

/// A rolling window in microseconds before now: an event counts iff `now - from < time <= now - to`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    /// The length of a window that begins before any event; four horizons, so an event "leaves" it only after
    /// any moment that [`next_change`] lets through.
    pub(crate) const EVER: i64 = 4 * HORIZON;

    /// How many of the sorted times have entered the window; those that left it included.
    fn entered<T: Moment>(self, times: &[T], now: i64) -> usize {
        let until = T::floor(now - self.to);
        match times.last() {
            // Nearly always true: only windows in the past and events of the future need the search.
            Some(last) if *last <= until => times.len(),
            _ => times.partition_point(|time| *time <= until),
        }
    }

    /// How many of the sorted times have left the window.
    pub(crate) fn left<T: Moment>(self, times: &[T], now: i64) -> usize {
        let after = T::floor(now - self.from);
        times.partition_point(|time| *time <= after)
    }

    /// Whether at least `count` of the sorted times are in the window: one look at the `count`-th most recent.
    fn has_at_least<T: Moment>(self, count: usize, times: &[T], now: i64) -> Answer {
        if count == 0 {
            return Answer { holds: true, next: NEVER };
        }
        let entered = self.entered(times, now);
        if let Some(index) = entered.checked_sub(count)
            && times[index] > T::floor(now - self.from)
        {
            // Arrivals can only put off the moment at which this one leaves and one is missing.
            return Answer { holds: true, next: times[index].micros() + self.from };
        }
        if entered == times.len() {
            return Answer { holds: false, next: NEVER };
        }
        let missing = self.left(&times[..entered], now) + count - 1;
        Answer {
            holds: false,
            next: times.get(missing).map_or(NEVER, |time| time.micros() + self.to),
        }
    }
}

/// Whether something holds now, and a moment before which that cannot change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) holds: bool,
    pub(crate) next: i64,
}

impl CountTest {
    /// Whether the number of sorted times in the window is as wanted.
    pub(crate) fn ask<T: Moment>(self, span: Span, times: &[T], now: i64) -> Answer {
        let low = span.has_at_least(self.low, times, now);
        let answer = match self.high {
            Some(high) if low.holds => {
                let high = span.has_at_least(high, times, now);
                Answer { holds: !high.holds, next: low.next.min(high.next) }
            }
            _ => low,
        };
        Answer { holds: answer.holds != self.inverted, ..answer }
    }
}

/// Whether the sum over the window compares as wanted. `events` are (time, amount), sorted, none of which has
/// left the window.
pub(crate) fn ask_sum(
    (operator, value): (Operator, f64),
    span: Span,
    events: impl Iterator<Item = (i64, f64)>,
    now: i64,
) -> Answer {
    let mut sum = 0.0;
    let mut next = NEVER;
    for (time, amount) in events {
        if time > now - span.to {
            next = next.min(time + span.to);
            break;
        }
        sum += amount;
        next = next.min(time + span.from);
    }
    Answer { holds: operator.holds(&sum, &value), next }
}

/// The first moment after now at which `time operator now + offset` changes, for a time and a fixed offset:
/// each `shift` added to the time is one at which it may.
pub(crate) fn age_shifts(operator: Operator, offset: i64) -> (i64, i64) {
    let reached = -offset;
    let passed = 1 - offset;
    match operator {
        Operator::LessOrEqual | Operator::Greater => (reached, reached),
        Operator::Less | Operator::GreaterOrEqual => (passed, passed),
        Operator::Equal | Operator::NotEqual => (reached, passed),
    }
}
