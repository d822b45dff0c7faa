//! How much better an arm is than a control or a holdout: differences and relative lifts, of rates and of means.

use crate::error::Error;
use crate::number::{Alpha, Estimate, Interval, real};
use crate::proportion::Proportion;
use crate::special::{normal, student};

/// Two rates side by side. Every sign says arm minus baseline: positive is the arm ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub baseline: Proportion,
    pub arm: Proportion,
}

impl Comparison {
    /// Difference of the rates in units of its standard error under equal rates (pooled variance): the test statistic
    /// of every decision. Without any variance the data say nothing and it is 0.
    pub fn pooled_z(self) -> f64 {
        let (n, m) = (real(self.baseline.trials()), real(self.arm.trials()));
        let successes = real(self.baseline.successes()) + real(self.arm.successes());
        let failures = real(self.baseline.failures()) + real(self.arm.failures());
        let whole = n + m;
        let variance = successes / whole * (failures / whole) * (1.0 / n + 1.0 / m);
        standardized(self.gap(), variance.sqrt())
    }

    /// The same with each arm's own variance (Wald), which intervals are built on.
    pub fn unpooled_z(self) -> f64 {
        standardized(self.gap(), self.unpooled_error())
    }

    /// Standard error of the difference from each arm's own variance.
    pub fn unpooled_error(self) -> f64 {
        (self.baseline.variance_of_rate() + self.arm.variance_of_rate()).sqrt()
    }

    /// Two-sided p-value of a single, planned look.
    pub fn p_two_sided(self) -> f64 {
        normal::two_sided(self.pooled_z())
    }

    /// The same from the unpooled z.
    pub fn p_two_sided_unpooled(self) -> f64 {
        normal::two_sided(self.unpooled_z())
    }

    /// P-value of the arm being better, again for a single look.
    pub fn p_arm_greater(self) -> f64 {
        normal::tail(self.pooled_z())
    }

    /// The difference of the rates with the Wald interval of a critical value: `Alpha::critical` for a single look, the
    /// boundary of the look for a repeated confidence interval (Jennison & Turnbull 1989).
    pub fn difference(self, critical: f64) -> Estimate {
        let value = self.gap();
        Estimate { value, interval: Interval::around(value, critical, self.unpooled_error()) }
    }

    /// Newcombe's hybrid score interval of the difference (1998, method 10): better than Wald for few events.
    pub fn newcombe(self, alpha: Alpha) -> Interval {
        let (baseline, arm) = (self.baseline.wilson(alpha), self.arm.wilson(alpha));
        let (p, q) = (self.baseline.rate(), self.arm.rate());
        Interval {
            low: self.gap() - (q - arm.low).hypot(baseline.high - p),
            high: self.gap() + (arm.high - q).hypot(p - baseline.low),
        }
    }

    /// The relative lift, `arm / baseline - 1`, with the interval of Katz et al. (1978) on the logarithm of the ratio.
    /// None when either arm has no success: a ratio with nothing would be made up.
    pub fn lift(self, critical: f64) -> Option<Estimate> {
        if self.baseline.successes() == 0 || self.arm.successes() == 0 {
            return None;
        }
        let share = |p: Proportion| real(p.failures()) / real(p.trials()) / real(p.successes());
        let error = (share(self.baseline) + share(self.arm)).sqrt();
        let ratio = self.arm.rate() / self.baseline.rate();
        let log = Interval::around(ratio.ln(), critical, error);
        let interval = Interval { low: log.low.exp_m1(), high: log.high.exp_m1() };
        Some(Estimate { value: ratio - 1.0, interval })
    }

    pub(crate) fn gap(self) -> f64 {
        self.arm.rate() - self.baseline.rate()
    }
}

/// What a mean is known from: revenue per *assigned* contact, say, where most observations are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Sample {
    /// From the count, the mean and the variance with `count - 1` in its denominator.
    pub fn new(count: u64, mean: f64, variance: f64) -> Result<Self, Error> {
        Self::of_moments(real(count), mean, variance)
    }

    pub(crate) fn of_moments(count: f64, mean: f64, variance: f64) -> Result<Self, Error> {
        let sane = count >= 2.0 && mean.is_finite() && variance.is_finite() && variance >= 0.0;
        if sane { Ok(Self { count, mean, variance }) } else { Err(Error::TooFewObservations) }
    }

    /// From the count, the sum and the sum of squares. Observations that are 0 count without being listed.
    pub fn from_sums(count: u64, sum: f64, sum_of_squares: f64) -> Result<Self, Error> {
        let n = real(count);
        let variance = ((sum_of_squares - sum * (sum / n)) / (n - 1.0)).max(0.0);
        Self::new(count, sum / n, variance)
    }

    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// With `count - 1` in its denominator.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// The mean with its interval by Student's t.
    pub fn estimate(&self, alpha: Alpha) -> Estimate {
        let critical = student::critical(alpha.get(), self.count - 1.0);
        let interval = Interval::around(self.mean, critical, self.variance_of_mean().sqrt());
        Estimate { value: self.mean, interval }
    }

    pub(crate) fn variance_of_mean(&self) -> f64 {
        self.variance / self.count
    }
}

/// Two means compared without assuming equal variances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    pub difference: Estimate,
    pub standard_error: f64,
    pub degrees_of_freedom: f64,
    pub t: f64,
    pub p_two_sided: f64,
    /// Relative lift; none when the baseline's mean is 0.
    pub lift: Option<Estimate>,
    pub lift_error: Option<f64>,
}

/// Welch's test (1947) of arm minus baseline; the relative lift by the delta method, which treats the baseline's mean
/// as uncertain too and rests on large samples, so its critical value is the normal's. Without any variance: t = 0,
/// p = 1.
pub fn welch(baseline: &Sample, arm: &Sample, alpha: Alpha) -> Welch {
    let (v, w) = (baseline.variance_of_mean(), arm.variance_of_mean());
    let standard_error = (v + w).sqrt();
    let degrees_of_freedom = if standard_error > 0.0 {
        // Dividing by the sum first keeps tiny and huge variances from leaving the range.
        let (v, w) = (v / (v + w), w / (v + w));
        1.0 / (v * v / (baseline.count - 1.0) + w * w / (arm.count - 1.0))
    } else {
        baseline.count + arm.count - 2.0
    };
    let difference = arm.mean - baseline.mean;
    let t = standardized(difference, standard_error);
    let critical = student::critical(alpha.get(), degrees_of_freedom);
    let estimate = |value, critical, error| Estimate {
        value,
        interval: Interval::around(value, critical, error),
    };
    let lift = |error| estimate(difference / baseline.mean, alpha.critical(), error);
    let lift_error = (baseline.mean.abs() > 0.0).then(|| {
        let ratio = arm.mean / baseline.mean;
        (w + v * ratio * ratio).sqrt() / baseline.mean.abs()
    });
    Welch {
        difference: estimate(difference, critical, standard_error),
        standard_error,
        degrees_of_freedom,
        t,
        p_two_sided: student::two_sided(t, degrees_of_freedom),
        lift: lift_error.map(lift),
        lift_error,
    }
}

fn standardized(difference: f64, error: f64) -> f64 {
    if error > 0.0 { difference / error } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(x: u64, n: u64, y: u64, m: u64) -> Comparison {
        Comparison { baseline: Proportion::new(x, n).unwrap(), arm: Proportion::new(y, m).unwrap() }
    }

    #[test]
    fn swapping_the_arms_turns_the_sign_and_nothing_else() {
        let (there, back) = (comparison(100, 500, 130, 600), comparison(130, 600, 100, 500));
        assert!((there.pooled_z() + back.pooled_z()).abs() < 1e-15);
        let (a, b) = (there.newcombe(Alpha::FIVE_PERCENT), back.newcombe(Alpha::FIVE_PERCENT));
        assert!((a.low + b.high).abs() < 1e-15 && (a.high + b.low).abs() < 1e-15);
    }

    #[test]
    fn arms_without_variance_say_nothing() {
        for same in [comparison(0, 10, 0, 20), comparison(10, 10, 20, 20)] {
            assert!(same.pooled_z().abs() <= 0.0);
            assert!(same.p_two_sided() >= 1.0);
        }
    }

    #[test]
    fn a_lift_over_nothing_is_refused() {
        assert_eq!(comparison(0, 10, 5, 10).lift(1.96), None);
        assert_eq!(comparison(5, 10, 0, 10).lift(1.96), None);
    }

    #[test]
    fn sums_and_moments_describe_the_same_sample() {
        // 1, 2, 3 and seven zeros.
        let sample = Sample::from_sums(10, 6.0, 14.0).unwrap();
        assert!((sample.mean() - 0.6).abs() < 1e-15);
        assert!((sample.variance - 10.4 / 9.0).abs() < 1e-14);
        assert!(Sample::from_sums(1, 6.0, 36.0).is_err());
        assert!(Sample::from_sums(10, f64::NAN, 14.0).is_err());
    }

    #[test]
    fn means_without_variance_say_nothing() {
        let flat = Sample::new(10, 0.0, 0.0).unwrap();
        let welch = welch(&flat, &flat, Alpha::FIVE_PERCENT);
        assert!(welch.t.abs() <= 0.0 && welch.p_two_sided >= 1.0);
        assert_eq!(welch.lift, None);
    }
}
