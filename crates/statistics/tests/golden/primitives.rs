//! Single tests, intervals and adjustments.

use std::time::Duration;

use cursus_statistics::assignment::{Allocation, Weights, choose, unit_interval};
use cursus_statistics::bandit;
use cursus_statistics::contingency;
use cursus_statistics::effect::Comparison;
use cursus_statistics::fisher;
use cursus_statistics::guardrail;
use cursus_statistics::multiplicity;
use cursus_statistics::posterior::{credible_interval, standing};
use cursus_statistics::response::{Batch, ResponseCurve, spending_time};
use cursus_statistics::segment::heterogeneity;
use cursus_statistics::{Alpha, Fraction, Proportion};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::vectors::{check, number, pair, present};

fn alpha(confidence: f64) -> Alpha {
    Alpha::new(1.0 - confidence).unwrap()
}

fn proportion(x: u64, n: u64) -> Proportion {
    Proportion::new(x, n).unwrap()
}

#[test]
fn two_proportions_agree() {
    #[derive(Deserialize)]
    struct Input {
        x_a: u64,
        n_a: u64,
        x_b: u64,
        n_b: u64,
        conf: f64,
    }
    check("two_prop_z", |input: Input| {
        let comparison = Comparison {
            baseline: proportion(input.x_a, input.n_a),
            arm: proportion(input.x_b, input.n_b),
        };
        let alpha = alpha(input.conf);
        let difference = comparison.difference(alpha.critical());
        let lift = comparison.lift(alpha.critical());
        present(json!({
            "p_a": comparison.baseline.rate(),
            "p_b": comparison.arm.rate(),
            "diff": difference.value,
            "z_pooled": comparison.pooled_z(),
            "p_two_sided": comparison.p_two_sided(),
            "p_b_greater": comparison.p_arm_greater(),
            "z_unpooled": comparison.unpooled_z(),
            "p_two_sided_unpooled": comparison.p_two_sided_unpooled(),
            "se_unpooled": comparison.unpooled_error(),
            "wald_ci": pair(difference.interval),
            "newcombe_ci": pair(comparison.newcombe(alpha)),
            "rel_lift": lift.map(|lift| lift.value),
            "rel_lift_ci": lift.map(|lift| pair(lift.interval)),
        }))
    });
}

#[test]
fn exact_tests_agree() {
    #[derive(Deserialize)]
    struct Input {
        x_a: u64,
        n_a: u64,
        x_b: u64,
        n_b: u64,
    }
    check("fisher_exact", |input: Input| {
        let exact = fisher::exact(Comparison {
            baseline: proportion(input.x_a, input.n_a),
            arm: proportion(input.x_b, input.n_b),
        });
        json!({
            "p_two_sided": exact.p_two_sided,
            "p_b_greater": exact.p_arm_greater,
            "p_b_less": exact.p_arm_less,
        })
    });
}

#[test]
fn homogeneity_of_arms_agrees() {
    #[derive(Deserialize)]
    struct Input {
        x: Vec<u64>,
        n: Vec<u64>,
    }
    check("contingency_chi2", |input: Input| {
        let arms: Vec<_> =
            input.x.into_iter().zip(input.n).map(|(x, n)| proportion(x, n)).collect();
        let test = contingency::homogeneity(&arms).unwrap();
        json!({"chi2": test.statistic, "df": test.degrees_of_freedom, "p": test.p})
    });
}

#[test]
fn intervals_of_one_rate_agree() {
    #[derive(Deserialize)]
    struct Input {
        x: u64,
        n: u64,
        conf: f64,
    }
    check("binomial_ci", |input: Input| {
        let (rate, alpha) = (proportion(input.x, input.n), alpha(input.conf));
        json!({
            "wilson": pair(rate.wilson(alpha)),
            "clopper_pearson": pair(rate.clopper_pearson(alpha)),
            "jeffreys": pair(rate.jeffreys(alpha)),
        })
    });
}

#[test]
fn posteriors_agree() {
    #[derive(Deserialize)]
    struct Input {
        x: Vec<u64>,
        n: Vec<u64>,
        prior: (u64, u64),
    }
    check("beta_posterior", |input: Input| {
        assert_eq!(input.prior, (1, 1), "the prior is flat");
        let arms: Vec<_> =
            input.x.into_iter().zip(input.n).map(|(x, n)| proportion(x, n)).collect();
        let standing = standing(&arms);
        let credible = arms.iter().map(|arm| pair(credible_interval(*arm, Alpha::FIVE_PERCENT)));
        json!({
            "mean": standing.arms.iter().map(|arm| arm.mean).collect::<Vec<_>>(),
            "p_best": standing.arms.iter().map(|arm| arm.probability_best).collect::<Vec<_>>(),
            "expected_loss": standing.arms.iter().map(|arm| arm.expected_loss).collect::<Vec<_>>(),
            "e_max": standing.expected_best,
            "ci95": credible.collect::<Vec<_>>(),
        })
    });
}

#[test]
fn allocations_of_bandits_agree() {
    #[derive(Deserialize)]
    struct Input {
        x: Vec<u64>,
        n: Vec<u64>,
        prior: (u64, u64),
        floor: f64,
    }
    check("thompson_allocation", |input: Input| {
        assert_eq!(input.prior, (1, 1), "the prior is flat");
        let arms: Vec<_> =
            input.x.into_iter().zip(input.n).map(|(x, n)| proportion(x, n)).collect();
        let (standing, floor) = (standing(&arms), Fraction::new(input.floor).unwrap());
        let shares = |weights: Weights| weights.shares().collect::<Vec<_>>();
        json!({
            "thompson": shares(bandit::thompson(&standing, floor).unwrap()),
            "top_two": shares(bandit::top_two(&standing, floor).unwrap()),
        })
    });
}

#[test]
fn adjusted_p_values_agree() {
    #[derive(Deserialize)]
    struct Input {
        p: Vec<f64>,
    }
    check("multiplicity", |input: Input| {
        json!({
            "bonferroni": multiplicity::bonferroni(&input.p),
            "holm": multiplicity::holm(&input.p),
            "hochberg": multiplicity::hochberg(&input.p),
            "bh": multiplicity::benjamini_hochberg(&input.p),
        })
    });
}

#[test]
fn alarms_of_several_e_values_agree() {
    #[derive(Deserialize)]
    struct Input {
        e: Vec<Value>,
        alpha: f64,
    }
    check("e_bh", |input: Input| {
        let alpha = Alpha::new(input.alpha).unwrap();
        let e: Vec<f64> = input.e.iter().map(|e| number(e).unwrap()).collect();
        json!({"rejected": multiplicity::e_benjamini_hochberg(&e, alpha)})
    });
}

#[test]
fn guardrails_agree() {
    #[derive(Deserialize)]
    struct Input {
        x_control: u64,
        n_control: u64,
        x_variant: u64,
        n_variant: u64,
        margin: f64,
        alpha: f64,
    }
    check("guardrail", |input: Input| {
        let comparison = Comparison {
            baseline: proportion(input.x_control, input.n_control),
            arm: proportion(input.x_variant, input.n_variant),
        };
        let alpha = Alpha::new(input.alpha).unwrap();
        let harm = guardrail::harm(comparison, alpha);
        let harmless = guardrail::non_inferiority(comparison, input.margin);
        let bounds = comparison.arm.jeffreys_bounds(alpha);
        json!({
            "diff": harm.difference,
            "harm_p": harm.p,
            "ni_z": harmless.z,
            "ni_p": harmless.p,
            "upper_diff": harm.at_most,
            "jeffreys_lower": bounds.low,
            "jeffreys_upper": bounds.high,
        })
    });
}

#[test]
fn heterogeneity_of_segments_agrees() {
    #[derive(Deserialize)]
    struct Input {
        segments: Vec<[u64; 4]>,
    }
    check("segment_heterogeneity", |input: Input| {
        let comparison = |[x, n, y, m]: &[u64; 4]| Comparison {
            baseline: proportion(*x, *n),
            arm: proportion(*y, *m),
        };
        let segments: Vec<_> = input.segments.iter().map(comparison).collect();
        let found = heterogeneity(&segments).unwrap();
        let each = |of: fn(&cursus_statistics::segment::SegmentEffect) -> f64| {
            found.segments.iter().map(of).collect::<Vec<_>>()
        };
        json!({
            "diff": each(|segment| segment.difference),
            "se": each(|segment| segment.error),
            "fixed": found.fixed.effect,
            "fixed_se": found.fixed.error,
            "Q": found.interaction.statistic,
            "df": found.interaction.degrees_of_freedom,
            "p_interaction": found.interaction.p,
            "I2": found.i_squared,
            "tau2_dl": found.between_variance,
            "random": found.random.effect,
            "random_se": found.random.error,
            "shrunk": each(|segment| segment.shrunk),
            "p_seg": each(|segment| segment.p),
            "p_seg_holm": each(|segment| segment.p_holm),
        })
    });
}

#[test]
fn spending_times_agree() {
    #[derive(Deserialize)]
    struct Input {
        batches: Vec<(f64, u64)>,
        t_hours: f64,
        deadline_hours: f64,
        median_hours: f64,
        log_sigma: f64,
    }
    check("spending_time", |input: Input| {
        let hours = |hours: f64| Duration::from_secs_f64(hours * 3_600.0);
        let curve = ResponseCurve::new(hours(input.median_hours), input.log_sigma).unwrap();
        let batch = |(at, recipients): &(f64, u64)| Batch {
            sent_after: hours(*at),
            recipients: *recipients,
        };
        let batches: Vec<_> = input.batches.iter().map(batch).collect();
        let elapsed = hours(input.t_hours);
        let u = spending_time(&curve, &batches, elapsed, hours(input.deadline_hours));
        json!({"u": u.unwrap().get()})
    });
}

#[test]
fn timing_agrees() {
    #[derive(Deserialize)]
    struct Input {
        early_a: u64,
        responders_a: u64,
        early_b: u64,
        responders_b: u64,
    }
    check("timing_guard", |input: Input| {
        // Arms without responders have no timing, and so no difference in it.
        let early = Proportion::new(input.early_a, input.responders_a)
            .ok()
            .zip(Proportion::new(input.early_b, input.responders_b).ok());
        let z = early.map_or(0.0, |(baseline, arm)| Comparison { baseline, arm }.pooled_z());
        json!({"z": z})
    });
}

#[test]
fn assignments_agree() {
    #[derive(Deserialize)]
    struct Input {
        salt: String,
        unit_id: String,
        traffic: f64,
        weights: Vec<f64>,
    }
    check("hash_assignment", |input: Input| {
        let weights = Weights::new(input.weights).unwrap();
        let bucket =
            |question: &str| unit_interval(&format!("{}/{question}", input.salt), &input.unit_id);
        let traffic = Fraction::new(input.traffic).unwrap();
        let arm = Allocation::new(&input.salt, traffic, weights.clone()).arm(&input.unit_id);
        let variant = arm.map_or(json!(-1), |arm| json!(arm));
        json!({
            "traffic_bucket": bucket("traffic"),
            "variant_bucket": bucket("variant"),
            "variant": variant,
            "variant_at_full_traffic": choose(bucket("variant"), &weights),
        })
    });
}

#[test]
fn twenty_thousand_assignments_agree() {
    #[derive(Deserialize)]
    struct Input {
        salt: String,
        traffic: f64,
        weights: Vec<f64>,
    }
    check("hash_assignment_bulk", |input: Input| {
        let mut counts = vec![0; input.weights.len()];
        let mut not_in_test = 0;
        let traffic = Fraction::new(input.traffic).unwrap();
        let weights = Weights::new(input.weights).unwrap();
        let allocation = Allocation::new(&input.salt, traffic, weights);
        for unit in 0..20_000 {
            match allocation.arm(&format!("u{unit}")) {
                Some(arm) => counts[arm] += 1,
                None => not_in_test += 1,
            }
        }
        json!({"counts": counts, "not_in_test": not_in_test})
    });
}
