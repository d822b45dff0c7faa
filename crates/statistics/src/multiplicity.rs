//! Adjusting p-values when several questions are asked at once. Adjusted values come back in the order they were given.

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
    crate::number::real(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_no_answer() {
        assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    fn holm_lies_between_the_raw_value_and_bonferroni() {
        let p = [0.04, 0.001, 0.9, 0.02];
        for ((raw, holm), bonferroni) in p.iter().zip(holm(&p)).zip(bonferroni(&p)) {
            assert!(*raw <= holm && holm <= bonferroni);
        }
    }
}
