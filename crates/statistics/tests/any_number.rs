//! No number, finite or not, makes the library panic or hang.

#[cfg(test)]
mod properties {
    use std::time::Duration;

    use cursus_statistics::anytime::{NormalMixture, ln_msprt};
    use cursus_statistics::assignment::{Weights, choose, unit_interval};
    use cursus_statistics::bandit::{self, Cohort};
    use cursus_statistics::confidence_sequence::{self, Tuning};
    use cursus_statistics::cuped;
    use cursus_statistics::effect::{Comparison, Sample, welch};
    use cursus_statistics::fisher;
    use cursus_statistics::group_sequential::{LookTime, Schedule};
    use cursus_statistics::guardrail;
    use cursus_statistics::multiplicity;
    use cursus_statistics::pairs::{Pairs, Sums};
    use cursus_statistics::posterior::{self, normal::Normal};
    use cursus_statistics::power::{Effect, Progress, conditional_power, sample_size};
    use cursus_statistics::ratio::{self, Ratio};
    use cursus_statistics::response::{Batch, ResponseCurve, spending_time};
    use cursus_statistics::safe_logrank::{self, Grid, Tick};
    use cursus_statistics::sample_ratio;
    use cursus_statistics::segment::heterogeneity;
    use cursus_statistics::spending::Spending;
    use cursus_statistics::strata::{Cell, Period, Strata, mantel_haenszel};
    use cursus_statistics::{Alpha, Fraction, Proportion};
    use proptest::collection::vec;
    use proptest::num::f64::ANY;
    use proptest::prelude::*;

    fn any_proportion() -> impl Strategy<Value = Proportion> {
        let trials = prop_oneof![1..10_u64, 1..10_000_u64, 1..2_000_000_u64, 1..=u64::MAX];
        (trials, any::<u64>()).prop_map(|(trials, successes)| {
            let successes = successes.checked_rem(trials).unwrap_or(0);
            Proportion::new(successes, trials).unwrap()
        })
    }

    fn any_alpha() -> impl Strategy<Value = Alpha> {
        prop_oneof![Just(1e-300), Just(0.05), 1e-9..0.999_999_f64]
            .prop_map(|alpha| Alpha::new(alpha).unwrap())
    }

    fn any_fraction() -> impl Strategy<Value = Fraction> {
        prop_oneof![ANY, 0.0..1.0_f64].prop_map(Fraction::saturating)
    }

    fn any_weights() -> impl Strategy<Value = Weights> {
        vec(prop_oneof![Just(0.0), 0.0..1.0_f64, 0.0..f64::MAX], 3).prop_map(|weights| {
            Weights::new(weights).unwrap_or_else(|_| Weights::equal(3).unwrap())
        })
    }

    /// Mostly of three arms and possible.
    fn any_cells() -> impl Strategy<Value = Vec<Cell>> {
        let units = prop_oneof![0..10_u64, 0..2_000_u64, any::<u64>()];
        let cell = (units, any::<u64>(), 0..50_u8).prop_map(|(units, answered, wrong)| Cell {
            units,
            answered: if wrong == 0 { answered } else { answered.checked_rem(units).unwrap_or(0) },
        });
        vec(cell, 3)
    }

    proptest! {
        #[test]
        fn parsing_accepts_only_numbers_with_the_meaning(value in ANY) {
            prop_assert!(Alpha::new(value).is_ok_and(|alpha| alpha.critical() > 0.0) || !(value > 0.0 && value < 1.0));
            prop_assert_eq!(Fraction::new(value).is_ok(), (0.0..=1.0).contains(&value));
            prop_assert!((0.0..=1.0).contains(&Fraction::saturating(value).get()));
        }

        #[test]
        fn one_rate_always_lies_in_its_intervals(rate in any_proportion(), alpha in any_alpha()) {
            for interval in [rate.wilson(alpha), rate.clopper_pearson(alpha)] {
                let slack = 1e-9;
                prop_assert!(interval.low <= rate.rate() + slack && rate.rate() - slack <= interval.high);
            }
            let bounds = rate.jeffreys_bounds(alpha);
            prop_assert!(bounds.low >= 0.0 && bounds.high <= 1.0);
        }

        #[test]
        fn two_rates_always_compare(
            baseline in any_proportion(),
            arm in any_proportion(),
            critical in ANY,
            alpha in any_alpha(),
        ) {
            let comparison = Comparison { baseline, arm };
            prop_assert!((0.0..=1.0).contains(&comparison.p_two_sided()));
            prop_assert!(!comparison.pooled_z().is_nan() && !comparison.unpooled_z().is_nan());
            let _ = (comparison.difference(critical), comparison.lift(critical));
            prop_assert!(comparison.newcombe(alpha).low <= comparison.newcombe(alpha).high);
            let _ = (guardrail::harm(comparison, alpha), guardrail::non_inferiority(comparison, critical));
        }

        #[test]
        fn means_of_anything_compare_or_are_refused(
            counts in (any::<u64>(), any::<u64>()),
            numbers in (ANY, ANY, ANY, ANY),
            alpha in any_alpha(),
        ) {
            let one = Sample::from_sums(counts.0, numbers.0, numbers.1);
            let other = Sample::new(counts.1, numbers.2, numbers.3);
            if let (Ok(one), Ok(other)) = (one, other) {
                let _ = welch(&one, &other, alpha);
            }
        }

        #[test]
        fn posteriors_of_anything_add_up(arms in vec(any_proportion(), 0..5)) {
            let standing = posterior::standing(&arms);
            let sum: f64 = standing.arms.iter().map(|arm| arm.probability_best).sum();
            prop_assert!(arms.is_empty() || (sum - 1.0).abs() < 1e-6, "{}", sum);
            if let Some((best, chosen)) = posterior::best(&arms).zip(standing.best()) {
                // Arms that differ in the last digits only are as good as each other.
                let mean = |arm: usize| standing.arms[arm].mean;
                prop_assert!((mean(best) - mean(chosen)).abs() < 1e-9, "{} and {}", best, chosen);
            }
        }

        #[test]
        fn tests_without_an_end_are_refused_or_answer(
            (baseline, arm) in (any_proportion(), any_proportion()),
            (z, information, tuning) in (ANY, ANY, ANY),
            alpha in any_alpha(),
            ticks in vec(proptest::array::uniform4(0..2_000_u64), 0..5),
        ) {
            if let Ok(mixture) = NormalMixture::sharpest_at(tuning, alpha) {
                prop_assert!(mixture.p(z.abs(), information.abs()) <= 1.0);
                let _ = mixture.boundary(information, alpha);
            }
            let _ = ln_msprt(z, information, arm.trials(), tuning);
            let sequence =
                confidence_sequence::rate(arm, alpha, Tuning { trials: tuning, alpha });
            if let Ok(interval) = sequence {
                prop_assert!(interval.low <= arm.rate() && arm.rate() <= interval.high);
            }
            let exact = fisher::exact(Comparison { baseline, arm });
            for p in [exact.p_two_sided, exact.p_arm_greater, exact.p_arm_less] {
                prop_assert!((0.0..=1.0).contains(&p), "{:?}", exact);
            }
            let tick = |[baseline_at_risk, arm_at_risk, baseline_events, arm_events]: [u64; 4]| Tick {
                baseline_at_risk,
                arm_at_risk,
                baseline_events,
                arm_events,
            };
            let ticks: Vec<Tick> = ticks.into_iter().map(tick).collect();
            if let Ok(logs) = safe_logrank::ln_evidence(&ticks, &Grid::standard().unwrap()) {
                prop_assert!(safe_logrank::running_p(&logs).iter().all(|p| *p <= 1.0));
            }
        }

        #[test]
        fn ratios_and_adjustments_of_anything_are_refused_or_answered(
            counts in (any::<u64>(), any::<u64>()),
            (y, x, yy, xx, yx) in (ANY, ANY, ANY, ANY, ANY),
            normals in vec((-1e9..1e9_f64, 1e-9..1e9_f64), 0..5),
            floor in any_fraction(),
        ) {
            let one = Pairs::from_sums(counts.0, Sums { y, x, yy, xx, yx });
            let other = Pairs::from_sums(counts.1, Sums { y: x, x: y, yy: xx, xx: yy, yx });
            if let (Ok(one), Ok(other)) = (one, other) {
                let _ = cuped::adjust(&one, &other);
                if let (Ok(one), Ok(other)) = (Ratio::of(&one), Ratio::of(&other)) {
                    let _ = ratio::compare(&one, &other);
                }
            }
            let normals: Vec<Normal> =
                normals.into_iter().map(|(mean, error)| Normal::new(mean, error).unwrap()).collect();
            let standing = posterior::normal::standing(&normals);
            let sum: f64 = standing.arms.iter().map(|arm| arm.probability_best).sum();
            prop_assert!(normals.is_empty() || (sum - 1.0).abs() < 1e-6, "{}", sum);
            let _ = (bandit::thompson(&standing, floor), bandit::top_two(&standing, floor));
        }

        #[test]
        fn schedules_of_anything_are_refused_or_bounded(
            looks in vec((prop_oneof![ANY, 0.0..100.0_f64], any_fraction()), 0..6),
            statistics in vec(ANY, 0..6),
            alpha in any_alpha(),
            gamma in ANY,
        ) {
            let look = |(information, spending_time)| LookTime { information, spending_time };
            let mut looks: Vec<LookTime> = looks.into_iter().map(look).collect();
            looks.sort_by(|a, b| a.information.total_cmp(&b.information));
            let Ok(schedule) = Schedule::new(looks) else { return Ok(()) };
            let shapes =
                [Spending::OBrienFleming, Spending::Pocock, Spending::HwangShihDeCani { gamma }];
            for shape in shapes {
                for boundary in schedule.boundaries(shape, alpha) {
                    prop_assert!(boundary.z >= 0.0, "{:?}", boundary);
                }
                for boundary in schedule.boundaries_one_sided(shape, alpha) {
                    prop_assert!(!boundary.z.is_nan(), "{:?}", boundary);
                }
                let promised = schedule.characteristics(shape, alpha, 2.8);
                prop_assert!((0.0..=1.000_001).contains(&promised.above), "{:?}", promised);
                if let Ok(p) = schedule.sequential_p(shape, &statistics) {
                    prop_assert!((0.0..=1.0).contains(&p));
                }
            }
        }

        #[test]
        fn counts_and_weights_of_anything_are_refused_or_judged(
            counts in vec(any::<u64>(), 0..5),
            weights in vec(prop_oneof![ANY, 0.0..1.0_f64], 0..5),
            position in ANY,
        ) {
            let Ok(weights) = Weights::new(weights) else { return Ok(()) };
            prop_assert!(choose(position, &weights) < weights.arms());
            if let Ok(test) = sample_ratio::chi_square(&counts, &weights) {
                prop_assert!((0.0..=1.0).contains(&test.p), "{:?}", test);
            }
            let _ = sample_ratio::ln_evidence(&counts, &weights);
        }

        #[test]
        fn a_position_is_in_the_unit_interval(salt in ".*", unit in ".*") {
            prop_assert!((0.0..1.0).contains(&unit_interval(&salt, &unit)));
        }

        #[test]
        fn clocks_of_anything_stay_between_zero_and_one(
            (median, deviation) in (any::<u64>(), ANY),
            batches in vec((any::<u64>(), any::<u64>()), 0..4),
            (elapsed, deadline) in (any::<u64>(), any::<u64>()),
            share in any_fraction(),
        ) {
            let Ok(curve) = ResponseCurve::new(Duration::from_millis(median), deviation) else {
                return Ok(());
            };
            let batch = |(sent_after, recipients)| Batch {
                sent_after: Duration::from_secs(sent_after),
                recipients,
            };
            let batches: Vec<Batch> = batches.into_iter().map(batch).collect();
            let (elapsed, deadline) = (Duration::from_secs(elapsed), Duration::from_secs(deadline));
            let _ = (spending_time(&curve, &batches, elapsed, deadline), curve.age_at(share));
            let cohort = |batch: &Batch| Cohort { age: batch.sent_after, units: batch.recipients };
            let cohorts: Vec<Cohort> = batches.iter().map(cohort).collect();
            let mature = bandit::mature_units(&curve, deadline, &cohorts);
            prop_assert!(mature >= 0.0 && mature.is_finite(), "{}", mature);
            let arm = |answered, mature| bandit::Progress { answered, mature };
            let stretch = |answered, mature| vec![arm(answered, mature), arm(1, 20.0)];
            let stretches = [stretch(median, mature), stretch(elapsed.as_secs(), 9.0), stretch(3, deviation)];
            for rate in bandit::standardized(&stretches).unwrap_or_default() {
                prop_assert!((0.0..=1.0).contains(&rate.rate()), "{:?}", rate);
            }
        }

        #[test]
        fn periods_of_anything_are_refused_or_compared(
            looks in vec(vec((0..3_u32, any_weights(), any_cells()), 0..3), 0..5),
            tables in vec((any_cells(), any_cells()), 0..3),
            alpha in any_alpha(),
        ) {
            let period = |(number, shares, cells)| Period { number, shares, cells };
            let looks: Vec<Vec<Period>> =
                looks.into_iter().map(|look| look.into_iter().map(period).collect()).collect();
            if let Ok(strata) = Strata::new(3, &looks) {
                let evidence = strata.ln_evidence(0, 1).unwrap();
                prop_assert_eq!(evidence.len(), looks.len());
                let ratio = strata.ln_sample_ratio();
                prop_assert!(evidence.iter().chain(&ratio).all(|log| !log.is_nan()));
            }
            let table = |(one, other): (Vec<Cell>, Vec<Cell>)| [one[0], other[1]];
            if let Some(found) = mantel_haenszel(tables.into_iter().map(table)) {
                prop_assert!(found.difference.abs() <= 1.0 + 1e-9, "{:?}", found);
                prop_assert!(found.standard_error >= 0.0 && !found.z.is_nan(), "{:?}", found);
                let harm = guardrail::stratified_harm(&found, alpha);
                prop_assert!((0.0..=1.0).contains(&harm.p) && !harm.at_most.is_nan());
            }
        }

        #[test]
        fn planning_with_anything_is_refused_or_answered(
            rates in (ANY, ANY, ANY),
            alpha in any_alpha(),
            progress in (ANY, ANY, ANY, ANY, ANY),
            p in vec(ANY, 0..6),
            segments in vec((any_proportion(), any_proportion()), 0..4),
        ) {
            if let Ok(effect) = Effect::new(rates.0, rates.1) {
                let _ = sample_size(effect, alpha, alpha, rates.2);
            }
            let (z, information, final_information, final_boundary, drift) = progress;
            let progress = Progress { z, information, final_information, final_boundary };
            let _ = conditional_power(progress, drift);
            prop_assert_eq!(multiplicity::holm(&p).len(), p.len());
            prop_assert_eq!(multiplicity::benjamini_hochberg(&p).len(), p.len());
            let segments: Vec<Comparison> =
                segments.into_iter().map(|(baseline, arm)| Comparison { baseline, arm }).collect();
            let _ = heterogeneity(&segments);
        }
    }
}
