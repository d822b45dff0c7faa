//! Means, ratios and adjusted means.

use cursus_statistics::Alpha;
use cursus_statistics::cuped::adjust;
use cursus_statistics::effect::{Sample, welch};
use cursus_statistics::pairs::{Pairs, Sums};
use cursus_statistics::posterior::normal::{Normal, standing};
use cursus_statistics::ratio::{Ratio, compare};
use serde::Deserialize;
use serde_json::json;

use crate::vectors::{check, pair};

#[test]
fn welch_agrees() {
    #[derive(Deserialize)]
    struct Input {
        n1: u64,
        mean1: f64,
        var1: f64,
        n2: u64,
        mean2: f64,
        var2: f64,
        conf: f64,
    }
    check("welch", |input: Input| {
        let baseline = Sample::new(input.n1, input.mean1, input.var1).unwrap();
        let arm = Sample::new(input.n2, input.mean2, input.var2).unwrap();
        let welch = welch(&baseline, &arm, Alpha::new(1.0 - input.conf).unwrap());
        json!({
            "diff": welch.difference.value,
            "se": welch.standard_error,
            "df": welch.degrees_of_freedom,
            "t": welch.t,
            "p": welch.p_two_sided,
            "ci": pair(welch.difference.interval),
            "rel": welch.lift.map(|lift| lift.value),
            "rel_se_delta": welch.lift_error,
            "rel_ci_delta": welch.lift.map(|lift| pair(lift.interval)),
        })
    });
}

#[test]
fn posteriors_of_means_agree() {
    #[derive(Deserialize)]
    struct Input {
        mean: Vec<f64>,
        se: Vec<f64>,
    }
    check("normal_posterior", |input: Input| {
        let arm = |(mean, error): (&f64, &f64)| Normal::new(*mean, *error).unwrap();
        let arms: Vec<Normal> = input.mean.iter().zip(&input.se).map(arm).collect();
        let standing = standing(&arms);
        json!({
            "p_best": standing.arms.iter().map(|arm| arm.probability_best).collect::<Vec<_>>(),
            "expected_loss": standing.arms.iter().map(|arm| arm.expected_loss).collect::<Vec<_>>(),
            "e_max": standing.expected_best,
        })
    });
}

#[test]
fn ratios_agree() {
    #[derive(Deserialize)]
    struct Arm {
        n: u64,
        sum_m: f64,
        sum_mm: f64,
        sum_d: f64,
        sum_dd: f64,
        sum_md: f64,
    }
    #[derive(Deserialize)]
    struct Input {
        a: Arm,
        b: Arm,
    }
    check("ratio_metric", |input: Input| {
        let ratio = |arm: &Arm| {
            let sums =
                Sums { y: arm.sum_m, x: arm.sum_d, yy: arm.sum_mm, xx: arm.sum_dd, yx: arm.sum_md };
            Ratio::of(&Pairs::from_sums(arm.n, sums).unwrap()).unwrap()
        };
        let (baseline, arm) = (ratio(&input.a), ratio(&input.b));
        let told = |ratio: &Ratio| json!({"ratio": ratio.value, "var": ratio.variance, "se": ratio.standard_error});
        let comparison = compare(&baseline, &arm);
        json!({
            "a": told(&baseline),
            "b": told(&arm),
            "diff": comparison.difference,
            "se": comparison.standard_error,
            "z": comparison.z,
            "p": comparison.p_two_sided,
        })
    });
}

#[test]
fn adjusted_means_agree() {
    #[derive(Deserialize)]
    struct Arm {
        n: u64,
        sy: f64,
        syy: f64,
        sx: f64,
        sxx: f64,
        sxy: f64,
    }
    #[derive(Deserialize)]
    struct Input {
        a: Arm,
        b: Arm,
    }
    check("cuped", |input: Input| {
        let pairs = |arm: &Arm| {
            let sums = Sums { y: arm.sy, x: arm.sx, yy: arm.syy, xx: arm.sxx, yx: arm.sxy };
            Pairs::from_sums(arm.n, sums).unwrap()
        };
        let adjusted = adjust(&pairs(&input.a), &pairs(&input.b)).unwrap();
        json!({
            "theta": adjusted.slope,
            "adj_mean_a": adjusted.baseline.mean(),
            "adj_mean_b": adjusted.arm.mean(),
            "adj_var_a": adjusted.baseline.variance(),
            "adj_var_b": adjusted.arm.variance(),
            "diff": adjusted.difference,
            "se": adjusted.standard_error,
            "z": adjusted.z,
            "p": adjusted.p_two_sided,
            "variance_reduction": adjusted.variance_reduction,
        })
    });
}
