//! Tests that may be looked at many times.

use cursus_statistics::assignment::Weights;
use cursus_statistics::effect::Comparison;
use cursus_statistics::group_sequential::{LookTime, Schedule};
use cursus_statistics::sample_ratio::{chi_square, ln_evidence, ln_evidence_at};
use cursus_statistics::spending::Spending;
use cursus_statistics::{Alpha, Fraction, Proportion};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::vectors::{check, check_allowing, pair, real};

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Obf,
    Pocock,
    Hsd,
}

impl Shape {
    fn spending(self, gamma: f64) -> Spending {
        match self {
            Self::Obf => Spending::OBrienFleming,
            Self::Pocock => Spending::Pocock,
            Self::Hsd => Spending::HwangShihDeCani { gamma },
        }
    }
}

fn schedule(information: &[f64], times: &[f64]) -> Schedule {
    let look = |(information, time): (&f64, &f64)| LookTime {
        information: *information,
        spending_time: Fraction::new(*time).unwrap(),
    };
    Schedule::new(information.iter().zip(times).map(look).collect()).unwrap()
}

#[test]
fn boundaries_agree() {
    #[derive(Deserialize)]
    struct Input {
        info: Vec<f64>,
        spending_time: Vec<f64>,
        spending: Shape,
        alpha: f64,
        sides: u32,
        hsd_gamma: f64,
    }
    // The reference spends 4 (1 - Φ) in doubles, so its alphas are multiples of 4.4e-16 and a far boundary, where little
    // density is left, is off by that over the density: 1e-5 near 7, nothing below 6.
    let granularity = |z: f64| 4.4e-16 / (0.797_884_560_802_865_4 * (-0.5 * z * z).exp());
    check_allowing("gst_bounds", granularity, |input: Input| {
        let schedule = schedule(&input.info, &input.spending_time);
        let spending = input.spending.spending(input.hsd_gamma);
        let alpha = Alpha::new(input.alpha).unwrap();
        let boundaries = match input.sides {
            1 => schedule.boundaries_one_sided(spending, alpha),
            _ => schedule.boundaries(spending, alpha),
        };
        json!({
            "z": boundaries.iter().map(|boundary| real(boundary.z)).collect::<Vec<_>>(),
            "cumulative_alpha":
                boundaries.iter().map(|boundary| boundary.cumulative_alpha).collect::<Vec<_>>(),
        })
    });
}

#[test]
fn operating_characteristics_agree() {
    #[derive(Deserialize)]
    struct Input {
        looks: u32,
        spending: Shape,
        alpha: f64,
        drift: f64,
    }
    check("gst_operating_characteristics", |input: Input| {
        let information: Vec<f64> = (1..=input.looks).map(f64::from).collect();
        let times: Vec<f64> = information.iter().map(|k| k / f64::from(input.looks)).collect();
        let schedule = schedule(&information, &times);
        let (spending, alpha) = (input.spending.spending(-4.0), Alpha::new(input.alpha).unwrap());
        let found = schedule.characteristics(spending, alpha, input.drift);
        let none = schedule.characteristics(spending, alpha, 0.0);
        json!({
            "power_upper": found.above,
            "power_lower": found.below,
            "expected_information_fraction": found.expected_information,
            "null_expected_information_fraction": none.expected_information,
        })
    });
}

#[test]
fn monitored_experiments_agree() {
    #[derive(Deserialize)]
    struct Input {
        n: (u64, u64),
        x_a: Vec<u64>,
        x_b: Vec<u64>,
        spending_time: Vec<f64>,
        alpha: f64,
        spending: Shape,
    }
    check("gst_monitor", |input: Input| {
        let comparisons: Vec<Comparison> = input
            .x_a
            .iter()
            .zip(&input.x_b)
            .map(|(a, b)| Comparison {
                baseline: Proportion::new(*a, input.n.0).unwrap(),
                arm: Proportion::new(*b, input.n.1).unwrap(),
            })
            .collect();
        let information: Vec<f64> = comparisons.iter().map(|pair| information(*pair)).collect();
        let statistics: Vec<f64> = comparisons.iter().map(|pair| pair.pooled_z().abs()).collect();
        let alpha = Alpha::new(input.alpha).unwrap();
        let spending = input.spending.spending(-4.0);
        let look = |k: usize| -> Value {
            let schedule = schedule(&information[..=k], &input.spending_time[..=k]);
            let boundary = schedule.boundaries(spending, alpha)[k].z;
            json!({
                "info": information[k],
                "z": comparisons[k].pooled_z(),
                "boundary": real(boundary),
                "reject": statistics[k] >= boundary,
                "sequential_p": schedule.sequential_p(spending, &statistics[..=k]).unwrap(),
                "repeated_ci": pair(comparisons[k].difference(boundary).interval),
            })
        };
        json!({"looks": (0..comparisons.len()).map(look).collect::<Vec<_>>()})
    });
}

fn information(comparison: Comparison) -> f64 {
    let whole = Proportion::new(
        comparison.baseline.successes() + comparison.arm.successes(),
        comparison.baseline.trials() + comparison.arm.trials(),
    )
    .unwrap();
    let trials = comparison.baseline.trials() + comparison.arm.trials();
    let rate = whole.rate();
    f64::from(u32::try_from(trials).unwrap()) * rate / (1.0 - rate)
}

#[test]
fn sample_ratios_agree() {
    #[derive(Deserialize)]
    struct Input {
        observed: Vec<u64>,
        weights: Vec<f64>,
    }
    check("srm_chi2", |input: Input| {
        let test = chi_square(&input.observed, &Weights::new(input.weights).unwrap()).unwrap();
        json!({
            "chi2": test.statistic,
            "df": test.degrees_of_freedom,
            "p": test.p,
            "ln_p": test.ln_p,
        })
    });
}

#[test]
fn sequential_sample_ratios_agree() {
    #[derive(Deserialize)]
    struct Input {
        weights: Vec<f64>,
        cumulative_counts: Vec<Vec<u64>>,
        concentrations: Vec<f64>,
    }
    check("srm_sequential", |input: Input| {
        assert_eq!(input.concentrations, cursus_statistics::sample_ratio::CONCENTRATIONS);
        let weights = Weights::new(input.weights).unwrap();
        let mut strongest: f64 = 0.0;
        let look = |counts: &Vec<u64>| {
            let at = |concentration| ln_evidence_at(counts, &weights, concentration).unwrap();
            let mixed = ln_evidence(counts, &weights).unwrap();
            strongest = strongest.max(mixed);
            json!({
                "log_e_k100": at(100.0),
                "log_e_k1000": at(1_000.0),
                "log_e_k10000": at(10_000.0),
                "log_e_mix": mixed,
                "p_running": (-strongest).exp(),
            })
        };
        json!({"looks": input.cumulative_counts.iter().map(look).collect::<Vec<_>>()})
    });
}
