//! How many recipients a question needs, and how likely an answer is.

use crate::error::Error;
use crate::number::{Alpha, Fraction, real};
use crate::special::{normal, root};

/// What looking often costs: the sample size of a group-sequential design relative to a single look, at 50 looks.
pub const SEQUENTIAL_INFLATION: f64 = 1.05;

/// A difference one wants to see: the baseline's rate and the arm's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    baseline: f64,
    arm: f64,
}

impl Effect {
    pub fn new(baseline: f64, arm: f64) -> Result<Self, Error> {
        let rate = |p: f64| p > 0.0 && p < 1.0;
        if rate(baseline) && rate(arm) && (baseline - arm).abs() > 0.0 {
            Ok(Self { baseline, arm })
        } else {
            Err(Error::BadEffect)
        }
    }

    fn variances(self) -> (f64, f64) {
        (self.baseline * (1.0 - self.baseline), self.arm * (1.0 - self.arm))
    }

    fn gap(self) -> f64 {
        self.arm - self.baseline
    }
}

/// Recipients of the baseline needed to see `effect` with probability `power` in one two-sided look, when the arm has
/// `ratio` times as many: pooled variance under no effect, separate ones under the effect (Fleiss 1981). Multiply by
/// [`SEQUENTIAL_INFLATION`] for a monitored test.
pub fn sample_size(effect: Effect, alpha: Alpha, power: Alpha, ratio: f64) -> Result<f64, Error> {
    let ratio = positive(ratio)?;
    let pooled = (effect.baseline + ratio * effect.arm) / (1.0 + ratio);
    let (v, w) = effect.variances();
    let null = (pooled * (1.0 - pooled) * (1.0 + 1.0 / ratio)).sqrt();
    let alternative = (v + w / ratio).sqrt();
    let reach = alpha.critical() * null + normal::upper_quantile(1.0 - power.get()) * alternative;
    Ok((reach / effect.gap()).powi(2))
}

/// The same by Cohen's arcsine transformation (1988), counting rejections in the wrong direction too.
pub fn sample_size_arcsine(
    effect: Effect,
    alpha: Alpha,
    power: Alpha,
    ratio: f64,
) -> Result<f64, Error> {
    let ratio = positive(ratio)?;
    let h = 2.0 * effect.arm.sqrt().asin() - 2.0 * effect.baseline.sqrt().asin();
    let (critical, power) = (alpha.critical(), power.get());
    let missing = |d: f64| normal::tail(critical - d) + normal::tail(critical + d) - power;
    // Without the wrong direction this would be the answer, so with it the answer lies below.
    let highest = (critical + normal::upper_quantile(1.0 - power)).max(0.0);
    let reach = root::bracketed(missing, (0.0, highest), 0.0);
    Ok((reach / h).powi(2) * (1.0 + 1.0 / ratio))
}

/// The probability that one two-sided look rejects, in either direction, with these numbers of recipients.
pub fn power(effect: Effect, baseline: u64, arm: u64, alpha: Alpha) -> Result<Fraction, Error> {
    for recipients in [baseline, arm] {
        if recipients == 0 {
            return Err(Error::ImpossibleCount { successes: 0, trials: 0 });
        }
    }
    let (n, m) = (real(baseline), real(arm));
    let pooled = (effect.baseline * n + effect.arm * m) / (n + m);
    let (v, w) = effect.variances();
    let null = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    let alternative = (v / n + w / m).sqrt();
    let threshold = alpha.critical() * null;
    let above = normal::tail((threshold - effect.gap()) / alternative);
    let below = normal::tail((threshold + effect.gap()) / alternative);
    Ok(Fraction::saturating(above + below))
}

/// Recipients per arm that make most of a finite audience, when the rest gets the better arm whatever its significance:
/// Feit & Berman (2019), "Test & Roll", for two arms with the same normal prior. `response` is the standard deviation
/// of one recipient's response, `prior` that of the arms' means.
///
/// `sqrt(N r / 4 + (3 r / 4)²) - 3 r / 4` with `r = (response / prior)²`, without the cancellation of a large `r`.
pub fn test_and_roll(population: u64, response: f64, prior: f64) -> Result<f64, Error> {
    for deviation in [response, prior] {
        if !(deviation > 0.0 && deviation.is_finite()) {
            return Err(Error::NotPositive(deviation));
        }
    }
    let ratio = (response / prior).powi(2);
    let (part, shift) = (real(population) * ratio / 4.0, 0.75 * ratio);
    let size = part / ((part + shift * shift).sqrt() + shift);
    if size.is_finite() { Ok(size) } else { Err(Error::NotFinite(size)) }
}

/// Where a monitored test stands and where it will end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    pub z: f64,
    pub information: f64,
    pub final_information: f64,
    pub final_boundary: f64,
}

/// The probability that the test ends above its boundary if the drift per unit of information is `drift` from here on:
/// Lan & Wittes (1988), the B-value. Under the observed trend `drift` is `z / sqrt(information)`.
pub fn conditional_power(progress: Progress, drift: f64) -> Fraction {
    let Progress { z, information, final_information, final_boundary } = progress;
    let remaining = final_information - information;
    let excess =
        z * information.sqrt() + drift * remaining - final_boundary * final_information.sqrt();
    if remaining > 0.0 {
        Fraction::saturating(normal::cdf(excess / remaining.sqrt()))
    } else {
        Fraction::saturating(if excess >= 0.0 { 1.0 } else { 0.0 })
    }
}

fn positive(ratio: f64) -> Result<f64, Error> {
    if ratio > 0.0 && ratio.is_finite() { Ok(ratio) } else { Err(Error::BadEffect) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_power_is_reached_at_the_computed_size_whatever_the_ratio() {
        let (effect, alpha, wanted) =
            (Effect::new(0.2, 0.22).unwrap(), Alpha::FIVE_PERCENT, Alpha::new(0.8).unwrap());
        for (ratio, factor) in [(1.0, 1), (4.0, 4)] {
            let n = sample_size(effect, alpha, wanted, ratio).unwrap();
            let mut recipients = 1;
            while real(recipients) < n {
                recipients += 1;
            }
            let reached = power(effect, recipients, recipients * factor, alpha).unwrap().get();
            assert!((reached - 0.8).abs() < 1e-3, "{reached}");
        }
    }

    #[test]
    fn a_test_takes_a_small_part_of_a_large_audience_and_a_third_of_a_hopeless_one() {
        let share = |population: u64, prior| {
            2.0 * test_and_roll(population, 0.4, prior).unwrap() / real(population)
        };
        assert!(share(1_000_000, 0.02) < 0.03);
        // Arms that hardly differ: a third of the audience in the limit, a sixth for each arm.
        assert!((share(1_000, 1e-6) - 1.0 / 3.0).abs() < 1e-6);
        assert!(test_and_roll(10, 0.0, 1.0).is_err() && test_and_roll(10, 1.0, f64::NAN).is_err());
    }

    #[test]
    fn no_effect_needs_no_size() {
        assert_eq!(Effect::new(0.2, 0.2), Err(Error::BadEffect));
        assert_eq!(Effect::new(f64::NAN, 0.2), Err(Error::BadEffect));
        assert_eq!(Effect::new(0.0, 0.2), Err(Error::BadEffect));
    }

    #[test]
    fn at_the_end_conditional_power_is_the_verdict() {
        let at_end = |z| {
            let progress =
                Progress { z, information: 9.0, final_information: 9.0, final_boundary: 2.0 };
            conditional_power(progress, 0.0)
        };
        assert_eq!((at_end(2.1), at_end(1.9)), (Fraction::ONE, Fraction::ZERO));
    }
}
