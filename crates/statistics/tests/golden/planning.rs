//! Sizes and probabilities before and during a test.

use cursus_statistics::Alpha;
use cursus_statistics::power::{
    Effect, Progress, conditional_power, power, sample_size, sample_size_arcsine, test_and_roll,
};
use serde::Deserialize;
use serde_json::json;

use crate::vectors::check;

#[test]
fn sample_sizes_agree() {
    #[derive(Deserialize)]
    struct Input {
        p1: f64,
        p2: f64,
        alpha: f64,
        power: f64,
        ratio: f64,
    }
    check("sample_size", |input: Input| {
        let effect = Effect::new(input.p1, input.p2).unwrap();
        let (alpha, wanted) = (Alpha::new(input.alpha).unwrap(), Alpha::new(input.power).unwrap());
        let size = sample_size(effect, alpha, wanted, input.ratio).unwrap();
        let arcsine = sample_size_arcsine(effect, alpha, wanted, input.ratio).unwrap();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand"
        )]
        let whole = |size: f64| size.ceil() as u64;
        let (baseline, arm) = (whole(size), whole(size.ceil() * input.ratio));
        json!({
            "n_per_arm": size,
            "n_ceil": baseline,
            "power_at_ceil": power(effect, baseline, arm, alpha).unwrap().get(),
            "n_arcsine_h": arcsine,
        })
    });
}

#[test]
fn power_agrees() {
    #[derive(Deserialize)]
    struct Input {
        p1: f64,
        p2: f64,
        n1: u64,
        n2: u64,
        alpha: f64,
    }
    check("power", |input: Input| {
        let effect = Effect::new(input.p1, input.p2).unwrap();
        let power = power(effect, input.n1, input.n2, Alpha::new(input.alpha).unwrap());
        json!({"power": power.unwrap().get()})
    });
}

#[test]
fn conditional_power_agrees() {
    #[derive(Deserialize)]
    struct Input {
        z: f64,
        info: f64,
        info_max: f64,
        c_final: f64,
        theta: f64,
    }
    check("conditional_power", |input: Input| {
        let progress = Progress {
            z: input.z,
            information: input.info,
            final_information: input.info_max,
            final_boundary: input.c_final,
        };
        json!({"conditional_power": conditional_power(progress, input.theta).get()})
    });
}

#[test]
fn sizes_of_a_test_and_roll_agree() {
    #[derive(Deserialize)]
    struct Input {
        population: u64,
        response_sd: f64,
        prior_sd: f64,
    }
    check("test_and_roll", |input: Input| {
        let size = test_and_roll(input.population, input.response_sd, input.prior_sd);
        json!({"n_per_arm": size.unwrap()})
    });
}
