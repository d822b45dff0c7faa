//! What was measured, beside the targets.

use std::fmt;
use std::time::Duration;

/// Lines of figures.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<String>);

/// Times, the least first.
#[derive(Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Figures {
    pub(crate) fn tell(&mut self, what: &str, figure: impl fmt::Display) {
        self.0.push(format!("{what}: {figure}"));
    }

    /// With what is to be reached, and whether it is.
    pub(crate) fn judge(
        &mut self,
        what: &str,
        figure: impl fmt::Display,
        (target, is_met): (&str, bool),
    ) {
        let verdict = if is_met { "met" } else { "missed" };
        self.0.push(format!("{what}: {figure} (target {target}: {verdict})"));
    }

    /// Calls that failed, if any did: their times are in no figure.
    pub(crate) fn tell_failed(&mut self, what: &str, failed: &[anyhow::Error]) {
        if let Some(first) = failed.first() {
            self.0.push(format!("{what}: {} failed, the first because: {first:#}", failed.len()));
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Times {
    pub(crate) fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    pub(crate) fn quantile(&self, per_mille: usize) -> Duration {
        let index = self.0.len().saturating_sub(1) * per_mille / 1_000;
        self.0.get(index).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, most {:.1?} of {}",
            self.quantile(500),
            self.quantile(900),
            self.quantile(990),
            self.quantile(1_000),
            self.0.len()
        )
    }
}
