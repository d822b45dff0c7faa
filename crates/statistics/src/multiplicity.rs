//! Adjusting p-values when several questions are asked at once. Adjusted values come back in the order they were given.

use crate::number::{Alpha, real};

/// Bonferroni: each p-value times their number. Guards against any false alarm, at the highest price.
pub fn bonferroni(p: &[f64]) -> Vec<f64> {
    let number = count(p.len());
    p.iter().map(|p| (p * number).min(1.0)).collect()
}

/// Holm (1979), step down: guards against any false alarm whatever the dependence; never worse than Bonferroni.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut highest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        highest = highest.max((p[index] * count(p.len() - rank)).min(1.0));
        adjusted[index] = highest;
    }
    adjusted
}

/// Hochberg (1988), step up: sharper than Holm when the tests are independent or positively dependent.
pub fn hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, |rank, number| count(number - rank))
}

/// Benjamini and Hochberg (1995): bounds the share of false alarms among the alarms, for secondary metrics.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, |rank, number| count(number) / count(rank + 1))
}

/// Benjamini and Yekutieli (2001): the same bound whatever the dependence, by the factor `1 + 1/2 + ... + 1/number`.
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    let harmonic: f64 = (1..=p.len()).map(|rank| count(rank).recip()).sum();
    step_up(p, |rank, number| harmonic * (count(number) / count(rank + 1)))
}

/// Wang and Ramdas (2022), e-BH: which of several e-values are alarms, in ascending order, so that the share of false
/// ones among them is `alpha` at most whatever the dependence. The `k` largest are when all reach `number / (alpha k)`.
pub fn e_benjamini_hochberg(e: &[f64], alpha: Alpha) -> Vec<usize> {
    let mut order: Vec<usize> = (0..e.len()).collect();
    let known = |index: usize| if e[index].is_nan() { f64::NEG_INFINITY } else { e[index] };
    order.sort_by(|a, b| known(*b).total_cmp(&known(*a)));
    let threshold = |rank: usize| count(e.len()) / (alpha.get() * count(rank + 1));
    let alarms = (0..e.len()).rev().find(|rank| e[order[*rank]] >= threshold(*rank));
    order.truncate(alarms.map_or(0, |rank| rank + 1));
    order.sort_unstable();
    order
}

fn step_up(p: &[f64], factor: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut lowest: f64 = 1.0;
    for (rank, index) in ascending(p).into_iter().enumerate().rev() {
        lowest = lowest.min(p[index] * factor(rank, p.len()));
        adjusted[index] = lowest;
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}

fn count(number: usize) -> f64 {
    real(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_no_answer() {
        assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    fn one_enormous_e_value_does_not_carry_the_others() {
        let alarms = |e: &[f64]| e_benjamini_hochberg(e, Alpha::FIVE_PERCENT);
        assert_eq!(alarms(&[1.0, 1e9, 30.0]), [1, 2]);
        assert_eq!(alarms(&[f64::NAN, f64::INFINITY, 29.0]), [1]);
        assert!(alarms(&[]).is_empty() && alarms(&[f64::NAN, 19.0]).is_empty());
    }

    #[test]
    fn yekutieli_is_hochberg_times_the_harmonic_number() {
        let by = benjamini_yekutieli(&[0.01, 0.02]);
        assert!((by[0] - 0.03).abs() < 1e-15 && (by[1] - 0.03).abs() < 1e-15, "{by:?}");
    }

    #[test]
    fn holm_lies_between_the_raw_value_and_bonferroni() {
        let p = [0.04, 0.001, 0.9, 0.02];
        for ((raw, holm), bonferroni) in p.iter().zip(holm(&p)).zip(bonferroni(&p)) {
            assert!(*raw <= holm && holm <= bonferroni);
        }
    }
}
