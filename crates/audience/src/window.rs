//! Which of a contact's events count at a moment, and when that changes by time alone.

use crate::node::{CountTest, OrderTest};
use crate::rule::{Operator, Sequel};
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

    /// A window that everything is in, whatever its time.
    pub(crate) const ALWAYS: Self = Self { from: Self::EVER, to: -Self::EVER };

    /// Whether the time is in the window.
    pub(crate) fn ask(self, time: i64, now: i64) -> Answer {
        Answer::from(time + self.to, now).and(Answer::until(time + self.from, now))
    }

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

impl Answer {
    pub(crate) const NO: Self = Self { holds: false, next: NEVER };

    /// What never changes.
    pub(crate) fn always(holds: bool) -> Self {
        Self { holds, next: NEVER }
    }

    /// What holds from a moment on.
    pub(crate) fn from(moment: i64, now: i64) -> Self {
        let holds = moment <= now;
        Self { holds, next: if holds { NEVER } else { moment } }
    }

    /// What holds until a moment, but no longer at it.
    pub(crate) fn until(moment: i64, now: i64) -> Self {
        let over = moment <= now;
        Self { holds: !over, next: if over { NEVER } else { moment } }
    }

    /// Whether both hold. If both have to change for that, it is not before the later one does.
    pub(crate) fn and(self, other: Self) -> Self {
        let next = match (self.holds, other.holds) {
            (true, true) => self.next.min(other.next),
            (true, false) => other.next,
            (false, true) => self.next,
            (false, false) => self.next.max(other.next),
        };
        Self { holds: self.holds && other.holds, next }
    }
}

impl OrderTest {
    /// Whether an event at a time is counted, by the sorted times of those that may follow it.
    pub(crate) fn ask<T: Moment>(&self, time: i64, others: &[T], now: i64) -> Answer {
        let end = time + self.within;
        let first = others.partition_point(|other| other.micros() <= time);
        let first = others.get(first).map(|other| other.micros()).filter(|other| *other <= end);
        match (self.sequel, first) {
            (Sequel::FollowedBy, Some(first)) => Answer::from(first, now),
            (Sequel::NotFollowedBy, None) => Answer::from(end, now),
            (Sequel::FollowedBy, None) | (Sequel::NotFollowedBy, Some(_)) => Answer::NO,
        }
    }
}

/// Whether `time operator now + offset`.
pub(crate) fn ask_age(time: i64, operator: Operator, offset: i64, now: i64) -> Answer {
    let next = age_moments(time, operator, offset).into_iter().filter(|moment| *moment > now).min();
    Answer { holds: operator.holds(&time, &(now + offset)), next: next.unwrap_or(NEVER) }
}

/// The moments at which `time operator now + offset` changes.
pub(crate) fn age_moments(time: i64, operator: Operator, offset: i64) -> [i64; 2] {
    let (first, second) = age_shifts(operator, offset);
    [time + first, time + second]
}

/// Events each of which is counted or not, and the moments before which that cannot change.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    /// Of those that are counted.
    leaving: Vec<i64>,
    /// Of those that are not but may be.
    arriving: Vec<i64>,
}

impl Lives {
    pub(crate) fn clear(&mut self) {
        self.leaving.clear();
        self.arriving.clear();
    }

    pub(crate) fn add(&mut self, life: Answer) {
        if life.holds {
            self.leaving.push(life.next);
        } else if life.next < NEVER {
            self.arriving.push(life.next);
        }
    }

    /// Whether at least so many are counted. That ends when enough have left, whoever else arrives, and begins when
    /// enough have arrived, whoever else leaves.
    fn has_at_least(&mut self, count: usize) -> Answer {
        if count == 0 {
            return Answer::always(true);
        }
        if let Some(spare) = self.leaving.len().checked_sub(count) {
            return Answer { holds: true, next: nth(&mut self.leaving, spare) };
        }
        let missing = count - self.leaving.len();
        Answer { holds: false, next: nth(&mut self.arriving, missing - 1) }
    }
}

/// The moment with so many before it, were they sorted.
fn nth(moments: &mut [i64], before: usize) -> i64 {
    if before < moments.len() { *moments.select_nth_unstable(before).1 } else { NEVER }
}

impl CountTest {
    /// Whether the number of sorted times in the window is as wanted.
    pub(crate) fn ask<T: Moment>(self, span: Span, times: &[T], now: i64) -> Answer {
        self.ask_bounds(|count| span.has_at_least(count, times, now))
    }

    /// Whether the number of events that are counted is as wanted.
    pub(crate) fn ask_lives(self, lives: &mut Lives) -> Answer {
        self.ask_bounds(|count| lives.has_at_least(count))
    }

    fn ask_bounds(self, mut has_at_least: impl FnMut(usize) -> Answer) -> Answer {
        let low = has_at_least(self.low);
        let answer = match self.high {
            Some(high) if low.holds => {
                let high = has_at_least(high);
                Answer { holds: !high.holds, next: low.next.min(high.next) }
            }
            _ => low,
        };
        Answer { holds: answer.holds != self.inverted, ..answer }
    }
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
