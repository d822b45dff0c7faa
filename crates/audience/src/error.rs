//! What is wrong with a rule, told to whoever wrote it.

use std::fmt;

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
        write!(f, "`{}`: expected {}, found {}", self.path, self.expected, self.found)?;
        match &self.closest {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}
