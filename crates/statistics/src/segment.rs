//! Whether an effect differs between segments. The interaction is asked first; single segments are exploratory.

use crate::contingency::ChiSquare;
use crate::effect::Comparison;
use crate::error::Error;
use crate::multiplicity;
use crate::number::real;
use crate::special::normal;

/// An effect common to the segments and its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pooled {
    pub effect: f64,
    pub error: f64,
}

/// One segment's effect: as observed, and drawn towards the common one as far as its noise demands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SegmentEffect {
    pub difference: f64,
    pub error: f64,
    pub shrunk: f64,
    pub p: f64,
    pub p_holm: f64,
}

/// How much segments disagree, and what they say together and apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Heterogeneity {
    /// Cochran's Q (1954): whether the effects differ at all.
    pub interaction: ChiSquare,
    /// Higgins' share of the variation that is not noise.
    pub i_squared: f64,
    /// Variance between segments, by the moment estimator of `DerSimonian` and Laird (1986).
    pub between_variance: f64,
    pub fixed: Pooled,
    pub random: Pooled,
    pub segments: Vec<SegmentEffect>,
}

/// Risk differences by segment, each with its own variances. A segment without any variance cannot be weighed and is an
/// error.
pub fn heterogeneity(segments: &[Comparison]) -> Result<Heterogeneity, Error> {
    if segments.len() < 2 {
        return Err(Error::TooFewArms(segments.len()));
    }
    let observed: Vec<Pooled> = segments
        .iter()
        .map(|segment| Pooled { effect: segment.gap(), error: segment.unpooled_error() })
        .collect();
    if !observed.iter().all(|segment| segment.error > 0.0) {
        return Err(Error::TooFewObservations);
    }
    let fixed = pool(&observed, 0.0);
    let q: f64 = observed
        .iter()
        .map(|segment| ((segment.effect - fixed.effect) / segment.error).powi(2))
        .sum();
    let freedom = segments.len() as u64 - 1;
    let excess = (q - real(freedom)).max(0.0);
    let weights = observed.iter().map(|segment| segment.error.powi(-2));
    let (sum, squares) = weights.fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
    let between_variance = excess / (sum - squares / sum);
    let random = pool(&observed, between_variance);
    Ok(Heterogeneity {
        interaction: ChiSquare::of(q, freedom),
        i_squared: if q > 0.0 { excess / q } else { 0.0 },
        between_variance,
        fixed,
        random,
        segments: apart(&observed, random.effect, between_variance),
    })
}

/// The mean weighted by the inverse of each segment's variance plus `extra`.
fn pool(observed: &[Pooled], extra: f64) -> Pooled {
    let (mut sum, mut weighted) = (0.0, 0.0);
    for segment in observed {
        let weight = 1.0 / (segment.error * segment.error + extra);
        sum += weight;
        weighted += weight * segment.effect;
    }
    Pooled { effect: weighted / sum, error: sum.recip().sqrt() }
}

fn apart(observed: &[Pooled], centre: f64, between: f64) -> Vec<SegmentEffect> {
    let p: Vec<f64> =
        observed.iter().map(|segment| normal::two_sided(segment.effect / segment.error)).collect();
    let holm = multiplicity::holm(&p);
    let judged = observed.iter().zip(p.into_iter().zip(holm));
    judged
        .map(|(segment, (p, p_holm))| {
            let noise = segment.error * segment.error;
            let trust = between / (between + noise);
            let shrunk = centre + trust * (segment.effect - centre);
            SegmentEffect { difference: segment.effect, error: segment.error, shrunk, p, p_holm }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proportion::Proportion;

    fn segment(x: u64, n: u64, y: u64, m: u64) -> Comparison {
        Comparison { baseline: Proportion::new(x, n).unwrap(), arm: Proportion::new(y, m).unwrap() }
    }

    #[test]
    fn segments_that_agree_are_shrunk_onto_one_effect() {
        let same = segment(100, 1_000, 130, 1_000);
        let heterogeneity = heterogeneity(&[same, same, same]).unwrap();
        assert!(heterogeneity.interaction.p > 0.999 && heterogeneity.between_variance <= 0.0);
        for segment in heterogeneity.segments {
            assert!((segment.shrunk - 0.03).abs() < 1e-12);
        }
    }

    #[test]
    fn a_segment_without_variance_is_refused() {
        let empty = segment(0, 10, 0, 10);
        let full = segment(100, 1_000, 130, 1_000);
        assert_eq!(heterogeneity(&[empty, full]), Err(Error::TooFewObservations));
        assert_eq!(heterogeneity(&[full]), Err(Error::TooFewArms(1)));
    }
}
