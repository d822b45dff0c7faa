//! Whether the arms received the numbers they should have. If not, something upstream treats the arms differently and
//! no comparison of them can be trusted, however significant.

use crate::assignment::Weights;
use crate::contingency::ChiSquare;
use crate::error::Error;
use crate::number::real;
use crate::special::dirichlet::ln_mixture;

/// How strongly the alternatives of the sequential test cling to the intended shares: from far off to hardly off.
pub const CONCENTRATIONS: [f64; 3] = [100.0, 1_000.0, 10_000.0];

/// Pearson's test of counts against intended shares: once, when sending is complete. A contact in an arm of weight 0
/// is impossible, so its p-value is 0.
pub fn chi_square(counts: &[u64], weights: &Weights) -> Result<ChiSquare, Error> {
    let whole: f64 = matching(counts, weights)?.iter().map(|count| real(*count)).sum();
    let mut statistic = 0.0;
    for (count, share) in counts.iter().zip(weights.shares()) {
        let (observed, expected) = (real(*count), share * whole);
        if expected > 0.0 {
            statistic += (observed - expected).powi(2) / expected;
        } else if observed > 0.0 {
            statistic = f64::INFINITY;
        }
    }
    let arms = weights.shares().filter(|share| *share > 0.0).count() as u64;
    Ok(ChiSquare::of(statistic, arms.saturating_sub(1)))
}

/// Evidence against the intended shares that may be looked at after every contact: the logarithm of an e-value, the
/// mean over [`CONCENTRATIONS`]. Exceeding 1,000 once, ever, has probability below 0.1 % while all is well.
///
/// A Dirichlet-multinomial mixture against the multinomial: Lindon & Malek (2022), "Anytime-valid inference for
/// multinomial count data".
pub fn ln_evidence(counts: &[u64], weights: &Weights) -> Result<f64, Error> {
    let each = CONCENTRATIONS.map(|concentration| ln_evidence_at(counts, weights, concentration));
    let mut logs = [0.0; CONCENTRATIONS.len()];
    for (log, evidence) in logs.iter_mut().zip(each) {
        *log = evidence?;
    }
    Ok(ln_mean(logs))
}

/// The same for one concentration.
pub fn ln_evidence_at(counts: &[u64], weights: &Weights, concentration: f64) -> Result<f64, Error> {
    matching(counts, weights)?;
    if !(concentration > 0.0 && concentration.is_finite()) {
        return Err(Error::NotFinite(concentration));
    }
    let cells = counts.iter().map(|count| real(*count)).zip(weights.shares());
    Ok(ln_mixture(cells, concentration))
}

/// The logarithm of the mean of numbers given by their logarithms.
pub(crate) fn ln_mean(logs: [f64; CONCENTRATIONS.len()]) -> f64 {
    let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest.is_infinite() {
        return highest;
    }
    let sum: f64 = logs.iter().map(|log| (log - highest).exp()).sum();
    highest + (sum / real(logs.len() as u64)).ln()
}

fn matching<'a>(counts: &'a [u64], weights: &Weights) -> Result<&'a [u64], Error> {
    if counts.len() == weights.arms() {
        Ok(counts)
    } else {
        Err(Error::WrongLength { got: counts.len(), expected: weights.arms() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sent_yet_is_no_evidence() {
        let weights = Weights::equal(2).unwrap();
        assert!(chi_square(&[0, 0], &weights).unwrap().p >= 1.0);
        assert!(ln_evidence(&[0, 0], &weights).unwrap().abs() < 1e-12);
    }

    #[test]
    fn a_contact_in_an_arm_without_weight_is_proof() {
        let weights = Weights::new(vec![1.0, 1.0, 0.0]).unwrap();
        assert!(chi_square(&[50, 50, 1], &weights).unwrap().p <= 0.0);
        assert!(ln_evidence(&[50, 50, 1], &weights).unwrap() > 1e300);
        assert!(chi_square(&[50, 50, 0], &weights).unwrap().p > 0.99);
    }

    #[test]
    fn counts_of_another_experiment_are_refused() {
        let weights = Weights::equal(2).unwrap();
        assert_eq!(
            chi_square(&[1, 2, 3], &weights),
            Err(Error::WrongLength { got: 3, expected: 2 })
        );
    }
}
