//! What is wrong with a rule, told to whoever wrote it: as a tree, or as text.

use std::fmt;
use std::ops::Range;

/// Where a rule is wrong, what belongs there, and what was perhaps meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RuleError {
    /// The way to the fault, as in `rule.all[1].attribute`.
    pub path: String,
    /// What the rule should say there.
    pub expected: String,
    /// What it says.
    pub found: String,
    /// The known name closest to the one found, if any is close.
    pub closest: Option<String>,
}

impl RuleError {
    pub(crate) fn new(
        path: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), expected: expected.into(), found: found.into(), closest: None }
    }

    pub(crate) fn with_closest(mut self, closest: Option<&str>) -> Self {
        self.closest = closest.map(str::to_owned);
        self
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.path)?;
        write_fault(f, &self.expected, &self.found, self.closest.as_deref())
    }
}

/// A stretch of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The byte it begins at.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// Its first line, from 1.
    pub line: usize,
    /// The letter of the line it begins at, from 1.
    pub column: usize,
}

impl Place {
    /// Counts lines, so it is for those few places that are shown.
    pub(crate) fn new(text: &str, range: Range<usize>) -> Self {
        let before = text.get(..range.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            start: range.start,
            end: range.end,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Where the text of a rule is wrong, what belongs there, and what was perhaps meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TextError {
    pub place: Place,
    /// What the text should say there.
    pub expected: String,
    /// What it says.
    pub found: String,
    /// The known name closest to the one found, if any is close.
    pub closest: Option<String>,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column, .. } = self.place;
        write!(f, "line {line}, column {column}: ")?;
        write_fault(f, &self.expected, &self.found, self.closest.as_deref())
    }
}

fn write_fault(
    f: &mut fmt::Formatter<'_>,
    expected: &str,
    found: &str,
    closest: Option<&str>,
) -> fmt::Result {
    write!(f, "expected {expected}, found {found}")?;
    match closest {
        Some(name) => write!(f, "; did you mean `{name}`?"),
        None => Ok(()),
    }
}

/// A name from a rule as a message quotes it.
pub(crate) fn shown(name: &str) -> String {
    let mut letters = name.chars();
    let start: String = letters.by_ref().take(64).collect();
    let rest = if letters.next().is_some() { "…" } else { "" };
    format!("`{}{rest}`", start.escape_debug())
}
