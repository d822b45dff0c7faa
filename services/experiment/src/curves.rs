//! How soon contacts answer: what past experiments of a workspace showed, by the metric's id, for new ones to expect.

use std::time::Duration;

/// How many past experiments are remembered.
pub(crate) const REMEMBERED: i64 = 20;
/// With fewer answers the usual curve is the better guess.
const FEWEST_ANSWERS: u64 = 100;
/// What a design may say.
const SPREADS: std::ops::RangeInclusive<f64> = 0.01..=10.0;

/// Moments of the logarithm of the seconds between exposure and answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) answers: u64,
    pub(crate) sum_of_logs: f64,
    pub(crate) sum_of_squares: f64,
}

/// A metric's curve.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pub(crate) metric: String,
    pub(crate) answers: u64,
    pub(crate) experiments: u32,
    pub(crate) median: Duration,
    pub(crate) log_sd: f64,
}

impl Sample {
    /// The lognormal distribution of these moments, if there are enough answers and they differ. Answers after a window
    /// are not seen, so that what is expected is the curve of those within it.
    pub(crate) fn fit(&self) -> Option<(Duration, f64)> {
        if self.answers < FEWEST_ANSWERS {
            return None;
        }
        let answers = crate::look::real(self.answers);
        let mean = self.sum_of_logs / answers;
        let variance = self.sum_of_squares / answers - mean * mean;
        let spread = variance.max(0.0).sqrt();
        let median = Duration::try_from_secs_f64(mean.exp()).ok()?;
        (SPREADS.contains(&spread) && !median.is_zero()).then_some((median, spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_of_lognormal_answers_is_found() {
        // Half answer after an hour divided by e, half after an hour times e.
        let (low, high) = (3_600.0_f64.ln() - 1.0, 3_600.0_f64.ln() + 1.0);
        let sample = Sample {
            answers: 200,
            sum_of_logs: 100.0 * (low + high),
            sum_of_squares: 100.0 * (low * low + high * high),
        };
        let (median, spread) = sample.fit().unwrap();
        assert!((median.as_secs_f64() - 3_600.0).abs() < 1e-6 && (spread - 1.0).abs() < 1e-9);
    }

    #[test]
    fn few_answers_and_answers_all_at_once_tell_nothing() {
        let few = Sample { answers: 99, sum_of_logs: 99.0, sum_of_squares: 200.0 };
        assert_eq!(few.fit(), None);
        let same = Sample { answers: 100, sum_of_logs: 100.0, sum_of_squares: 100.0 };
        assert_eq!(same.fit(), None);
    }
}
