//! What contacts did, asked of a whole block: one look at each contact tells nearly all apart, and only of those who
//! remain the events themselves are looked through.

use crate::behaviour::{Question, Tally};
use crate::bitset::{Bitset, bits};
use crate::block::{Block, loaded};
use crate::due::Due;
use crate::events::{Bounds, Events};
use crate::lanes::{FEW, word};
use crate::node::{AggregateTest, BehaviourTest, CountTest};
use crate::times::{Moment, Times};

/// The candidates who did it.
pub(crate) fn behaved(
    test: &BehaviourTest,
    block: &Block,
    candidates: &Bitset,
    (now, due): (i64, &mut Due),
) -> Bitset {
    let events = loaded(&block.events, &test.event);
    match &events.times {
        Times::Seconds(times) => Crowd::new(test, events, times, now).ask(block, candidates, due),
        Times::Micros(times) => Crowd::new(test, events, times, now).ask(block, candidates, due),
    }
}

struct Crowd<'a, T> {
    test: &'a BehaviourTest,
    bounds: &'a [Bounds],
    times: &'a [T],
    now: i64,
    /// Events that are no later have left the window.
    left: T,
    /// Whether every event that is to come into the window has done so.
    is_settled: bool,
}

impl<'a, T: Moment> Crowd<'a, T> {
    fn new(test: &'a BehaviourTest, events: &'a Events, times: &'a [T], now: i64) -> Self {
        let left = T::floor(now - test.span.from);
        let is_settled = events.latest <= now - test.span.to;
        Self { test, bounds: &events.bounds, times, now, left, is_settled }
    }

    fn ask(&self, block: &Block, candidates: &Bitset, due: &mut Due) -> Bitset {
        match &self.test.aggregate {
            AggregateTest::Count(count) if self.test.is_plain() && self.is_settled => {
                self.counted(*count, candidates, due)
            }
            AggregateTest::Count(count) => {
                // Whoever has fewer events than are asked for, before any filter, needs no more questions.
                let (least, otherwise) = match count.low {
                    0 => (count.high.unwrap_or(0), !count.inverted),
                    low => (low, count.inverted),
                };
                self.looked_through(block, candidates, (least, otherwise), due)
            }
            AggregateTest::Number { reduction, operator, value, .. } => {
                let otherwise = Tally::default().compares(*reduction, *operator, *value);
                self.looked_through(block, candidates, (1, otherwise), due)
            }
        }
    }

    fn counted(&self, count: CountTest, candidates: &Bitset, due: &mut Due) -> Bitset {
        let mut found = self.with_at_least(count.low, candidates, Some(due));
        if let Some(high) = count.high {
            found -= &self.with_at_least(high, &found, Some(due));
        }
        if count.inverted {
            let mut others = candidates.clone();
            others -= &found;
            return others;
        }
        found
    }

    /// Asks one by one those who have at least so many events in the window or after it; of the others the answer is
    /// known, and time does not change it.
    fn looked_through(
        &self,
        block: &Block,
        candidates: &Bitset,
        (least, otherwise): (usize, bool),
        due: &mut Due,
    ) -> Bitset {
        let open = self.with_at_least(least, candidates, None);
        let mut found = Bitset::new();
        if otherwise {
            found |= candidates;
            found -= &open;
        }
        let mut question = Question::to_many(self.test, block);
        for slot in open.iter() {
            let answer = question.ask(slot, self.now);
            if answer.holds {
                found.insert(slot);
            }
            due.note(slot, answer.next);
        }
        found
    }

    /// The candidates of whom so many events have not left the window; if those who leave it are followed, they are
    /// noted for the moment at which one will be missing.
    fn with_at_least(
        &self,
        count: usize,
        candidates: &Bitset,
        mut due: Option<&mut Due>,
    ) -> Bitset {
        let Some(count) = u32::try_from(count).ok().filter(|count| *count > 0) else {
            return if count == 0 { candidates.clone() } else { Bitset::new() };
        };
        let mut found = Bitset::new();
        if self.times.is_empty() {
            return found;
        }
        let (chunks, _) = self.bounds.as_chunks::<64>();
        let words = found.words_mut().iter_mut().zip(candidates.words());
        for ((first, (found, candidates)), chunk) in
            (0..=u16::MAX).step_by(64).zip(words).zip(chunks)
        {
            if *candidates == 0 {
                continue;
            }
            let from = self.test.span.from;
            // Once an early moment is known, few words have one that is earlier.
            let bound = due.as_ref().map_or(i64::MIN, |due| due.bound());
            let last = T::floor(bound.saturating_sub(from + 1));
            let matters;
            (*found, matters) = self.word_with_at_least(count, *candidates, (chunk, last));
            let Some(due) = due.as_mut().filter(|_| matters) else { continue };
            for bit in bits(*found) {
                let (_, time) = self.most_recent(count, chunk[usize::from(bit)]);
                due.note(first + bit, time.micros() + from);
            }
        }
        found
    }

    /// Those of a word, and whether the `count`-th most recent event of any is no later than `last`.
    #[expect(clippy::needless_bitwise_bool, reason = "a branch per value is what takes time")]
    fn word_with_at_least(
        &self,
        count: u32,
        candidates: u64,
        (chunk, last): (&[Bounds; 64], T),
    ) -> (u64, bool) {
        let mut matters = false;
        let mut test = |bounds| {
            let (has, time) = self.most_recent(count, bounds);
            let holds = has & (time > self.left);
            matters |= holds & (time <= last);
            u8::from(holds)
        };
        if candidates.count_ones() <= FEW {
            let mut found = 0;
            for bit in bits(candidates) {
                found |= u64::from(test(chunk[usize::from(bit)])) << bit;
            }
            return (found, matters);
        }
        let found = word(&chunk.map(test)) & candidates;
        (found, matters)
    }

    /// Whether there are so many events, and the time of the `count`-th most recent, or any.
    fn most_recent(&self, count: u32, bounds: Bounds) -> (bool, T) {
        let has = bounds.end - bounds.start >= count;
        // No branch: who has enough is as random as anything can be.
        let index = if has { bounds.end - count } else { 0 };
        (has, self.times[index as usize])
    }
}
