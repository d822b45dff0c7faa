//! Where in a text each part of a rule is, so that what is later found wrong with the rule can be shown there.

use std::ops::Range;

/// A part of a rule by its step on the path from the whole to it, its place, and its own parts.
///
/// As large as the list of a rule is long, so it is kept small.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    step: &'static str,
    index: Option<u32>,
    start: u32,
    end: u32,
    inner: Vec<Self>,
}

impl Spans {
    pub(crate) fn new(step: &'static str, range: Range<usize>) -> Self {
        Self {
            step,
            index: None,
            start: small(range.start),
            end: small(range.end),
            inner: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, inner: Vec<Self>) -> Self {
        self.inner = inner;
        self
    }

    /// The same part, as the so-and-so-many-th of another.
    pub(crate) fn numbered(mut self, step: &'static str, index: usize) -> Self {
        self.step = step;
        self.index = Some(small(index));
        self
    }

    pub(crate) fn named(mut self, step: &'static str) -> Self {
        self.step = step;
        self
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The place of a path such as `rule.all[1].attribute`, or of the innermost part around it that is written.
    pub(crate) fn find(&self, path: &str) -> Range<usize> {
        let mut found = self;
        for step in path.split('.').skip(1) {
            let (name, index) = match step.split_once('[') {
                Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()),
                None => (step, None),
            };
            let wanted = |part: &&Self| part.step == name && part.index == index;
            match found.inner.iter().find(wanted) {
                Some(part) => found = part,
                None => break,
            }
        }
        found.range()
    }
}

/// Texts are shorter than 4 GiB; the end of a longer one would only be shown in the wrong place.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
