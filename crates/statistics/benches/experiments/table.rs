//! What is printed: one row for each scenario.

/// What was measured of a scenario, and what is allowed.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) measured: f64,
    /// What the design's own simulation found.
    pub(crate) designed: Option<f64>,
    pub(crate) allowed: Allowed,
    /// The mean maturity at the decision: measured, designed and at most.
    pub(crate) decided_at: Option<(f64, Option<f64>, Option<f64>)>,
    pub(crate) replicates: u64,
    pub(crate) looks: u64,
    pub(crate) seconds: f64,
}

/// Where the measured share must lie.
pub(crate) enum Allowed {
    AtMost(f64),
    AtLeast(f64),
    Anywhere,
}

impl Row {
    pub(crate) fn passes(&self) -> bool {
        let share = match self.allowed {
            Allowed::AtMost(limit) => self.measured <= limit,
            Allowed::AtLeast(limit) => self.measured >= limit,
            Allowed::Anywhere => true,
        };
        let soon =
            self.decided_at.is_none_or(|(at, _, limit)| limit.is_none_or(|limit| at <= limit));
        share && soon
    }

    pub(crate) fn print(&self) {
        let percent = |share: f64| format!("{:.2}%", share * 100.0);
        let allowed = match self.allowed {
            Allowed::AtMost(limit) => format!("<= {}", percent(limit)),
            Allowed::AtLeast(limit) => format!(">= {}", percent(limit)),
            Allowed::Anywhere => String::new(),
        };
        let (at, designed_at, at_most) = match self.decided_at {
            Some((at, designed, limit)) => (
                percent(at),
                designed.map(percent).unwrap_or_default(),
                limit.map(|limit| format!("<= {}", percent(limit))).unwrap_or_default(),
            ),
            None => (String::new(), String::new(), String::new()),
        };
        println!(
            "{:<58}{:>9}{:>9}{:>11}{:>9}{:>9}{:>11}  {}",
            self.name,
            percent(self.measured),
            self.designed.map(percent).unwrap_or_default(),
            allowed,
            at,
            designed_at,
            at_most,
            if self.passes() { "pass" } else { "FAIL" }
        );
    }
}

pub(crate) fn head() {
    println!(
        "{:<58}{:>9}{:>9}{:>11}{:>9}{:>9}{:>11}",
        "scenario", "measured", "designed", "allowed", "decided", "designed", "allowed"
    );
}
