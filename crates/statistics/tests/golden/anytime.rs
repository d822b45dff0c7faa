//! Tests without an end.

use cursus_statistics::anytime::{NormalMixture, ln_msprt};
use cursus_statistics::confidence_sequence::{Tuning, rate};
use cursus_statistics::effect::Comparison;
use cursus_statistics::safe_logrank::{Grid, Tick, ln_evidence, running_p};
use cursus_statistics::{Alpha, Proportion};
use serde::Deserialize;
use serde_json::json;

use crate::vectors::{check, pair};

#[test]
fn normal_mixtures_agree() {
    #[derive(Deserialize)]
    struct Input {
        z: f64,
        info: f64,
        info_opt: f64,
        alpha: f64,
    }
    check("anytime_normal_mixture", |input: Input| {
        let alpha = Alpha::new(input.alpha).unwrap();
        let mixture = NormalMixture::sharpest_at(input.info_opt, alpha).unwrap();
        json!({
            "rho2": mixture.precision(),
            "log_e": mixture.ln_evidence(input.z, input.info),
            "p_always": mixture.p(input.z, input.info),
            "z_crit": mixture.boundary(input.info, alpha),
        })
    });
}

#[test]
fn mixtures_on_the_clock_of_recipients_agree() {
    #[derive(Deserialize)]
    struct Input {
        x_a: u64,
        n_a: u64,
        x_b: u64,
        n_b: u64,
        alpha: f64,
        tuning: f64,
    }
    check("gbstats_sequential_absolute", |input: Input| {
        let comparison = Comparison {
            baseline: Proportion::new(input.x_a, input.n_a).unwrap(),
            arm: Proportion::new(input.x_b, input.n_b).unwrap(),
        };
        let alpha = Alpha::new(input.alpha).unwrap();
        let mixture = NormalMixture::sharpest_at(input.tuning, alpha).unwrap();
        let recipients = comparison.baseline.trials() + comparison.arm.trials();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let recipients = recipients as f64;
        let z = comparison.unpooled_z();
        json!({
            "log_e": mixture.ln_evidence(z, recipients),
            "p_always": mixture.p(z, recipients),
            "ci": pair(comparison.difference(mixture.boundary(recipients, alpha)).interval),
        })
    });
}

#[test]
fn mixture_sequential_probability_ratios_agree() {
    #[derive(Deserialize)]
    struct Input {
        mean_diff: f64,
        sigma2: f64,
        n: u64,
        tau: f64,
    }
    check("msprt", |input: Input| {
        let log = ln_msprt(input.mean_diff, input.sigma2, input.n, input.tau).unwrap();
        json!({"log_lambda": log, "p": (-log).exp().min(1.0)})
    });
}

#[test]
fn safe_logrank_tests_agree() {
    #[derive(Deserialize)]
    struct Input {
        ticks: Vec<[u64; 4]>,
        grid_half_width: f64,
        grid_points: u16,
        grid_sd: f64,
    }
    check("safe_logrank", |input: Input| {
        let tick = |[baseline_at_risk, arm_at_risk, baseline_events, arm_events]: &[u64; 4]| Tick {
            baseline_at_risk: *baseline_at_risk,
            arm_at_risk: *arm_at_risk,
            baseline_events: *baseline_events,
            arm_events: *arm_events,
        };
        let ticks: Vec<Tick> = input.ticks.iter().map(tick).collect();
        let grid = Grid::new(input.grid_half_width, input.grid_points, input.grid_sd).unwrap();
        let logs = ln_evidence(&ticks, &grid).unwrap();
        json!({"log_e": logs, "p_running": running_p(&logs)})
    });
}

#[test]
fn confidence_sequences_agree() {
    #[derive(Deserialize)]
    struct Input {
        x: u64,
        n: u64,
        alpha: f64,
        t_opt: f64,
        alpha_opt: f64,
    }
    check("beta_binomial_cs", |input: Input| {
        let tuning = Tuning { trials: input.t_opt, alpha: Alpha::new(input.alpha_opt).unwrap() };
        let observed = Proportion::new(input.x, input.n).unwrap();
        let interval = rate(observed, Alpha::new(input.alpha).unwrap(), tuning).unwrap();
        json!({"lower": interval.low, "upper": interval.high})
    });
}
