//! What periods say of arms and of shares, worked out by hand, by enumeration and against plain comparisons.

use super::*;
use crate::effect::Comparison;
use crate::proportion::Proportion;

/// A period of arms of equal chances, told as (units, answered).
fn period<const ARMS: usize>(number: u32, cells: [(u64, u64); ARMS]) -> Period {
    let cells = cells.map(|(units, answered)| Cell { units, answered });
    Period { number, shares: Weights::equal(ARMS).unwrap(), cells: cells.into() }
}

fn ln_evidence(looks: &[Vec<Period>]) -> Vec<f64> {
    Strata::new(2, looks).unwrap().ln_evidence(0, 1).unwrap()
}

fn is_near(got: &[f64], expected: &[f64]) -> bool {
    got.len() == expected.len()
        && got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-12)
}

#[test]
fn evidence_is_that_of_the_ticks_worked_out_by_hand() {
    let looks = [
        vec![],
        vec![period(1, [(100, 10), (50, 15)])],
        vec![period(2, [(200, 60), (20, 5)])],
        // One answer of the first period comes late, with 90 and 35 units still without one.
        vec![period(1, [(100, 11), (50, 15)])],
    ];
    let by_hand = [0.0, 0.618_203_973_280_313_8, 0.262_291_541_705_942, 0.214_611_611_199_259_23];
    assert!(is_near(&ln_evidence(&looks), &by_hand), "{:?}", ln_evidence(&looks));
}

#[test]
fn periods_told_at_one_look_are_worth_what_they_are_at_several() {
    let (first, second) = (period(1, [(100, 10), (50, 15)]), period(2, [(200, 60), (20, 5)]));
    let apart = ln_evidence(&[vec![first.clone()], vec![second.clone()]]);
    let together = ln_evidence(&[vec![first, second]]);
    assert!((apart[1] - together[0]).abs() < 1e-12);
}

#[test]
fn what_is_repeated_says_nothing_new() {
    let told = vec![period(1, [(100, 10), (50, 15)])];
    let logs = ln_evidence(&[told.clone(), told.clone(), told]);
    assert!(is_near(&logs[1..], &[logs[0], logs[0]]), "{logs:?}");
}

#[test]
fn an_answer_taken_back_and_given_again_is_counted_once() {
    let told = |answered| vec![period(1, [(100, answered), (50, 15)])];
    let logs = ln_evidence(&[told(10), told(9), told(10), told(11)]);
    assert!(is_near(&logs[..3], &[logs[0]; 3]), "{logs:?}");
    let late = ln_evidence(&[told(10), told(11)]);
    assert!((logs[3] - late[1]).abs() < 1e-12 && logs[3] < logs[0]);
}

#[test]
fn a_period_that_units_join_says_no_more_of_the_arms() {
    let told = |units, answered| vec![period(1, [(100, 10), (units, answered)])];
    let logs = ln_evidence(&[told(50, 15), told(51, 15), told(51, 20), told(90, 60)]);
    assert!(logs[0] > 0.5 && is_near(&logs[1..], &[logs[0]; 3]), "{logs:?}");
    let late = ln_evidence(&[told(50, 15), told(50, 20)]);
    assert!(late[1] > late[0] + 0.1, "without them late answers count: {late:?}");
}

#[test]
fn the_order_of_arms_turns_the_sign_of_the_difference_and_nothing_else() {
    let looks = [
        vec![period(1, [(100, 10), (7, 1), (50, 15)])],
        vec![period(2, [(30, 10), (9, 0), (40, 15)]), period(1, [(100, 12), (7, 1), (50, 15)])],
    ];
    let strata = Strata::new(3, &looks).unwrap();
    assert_eq!(strata.ln_evidence(0, 2), strata.ln_evidence(2, 0));
    let (there, back) = (strata.difference(2, 0).unwrap(), strata.difference(0, 2).unwrap());
    assert!((there.difference + back.difference).abs() < 1e-15 && there.difference > 0.1);
    assert!((there.z + back.z).abs() < 1e-12);
    assert!((there.standard_error - back.standard_error).abs() < 1e-15);
}

#[test]
fn impossible_periods_and_arms_are_refused() {
    let refusal = |arms, told: Period| Strata::new(arms, &[vec![told]]).unwrap_err();
    let fine = period(1, [(1, 0), (1, 1)]);
    assert_eq!(refusal(1, fine.clone()), Error::TooFewArms(1));
    assert_eq!(refusal(3, fine.clone()), Error::WrongLength { got: 2, expected: 3 });
    let short = Period { cells: vec![Cell::default()], ..fine.clone() };
    assert_eq!(refusal(2, short), Error::WrongLength { got: 1, expected: 2 });
    let impossible = refusal(2, period(1, [(1, 2), (1, 1)]));
    assert_eq!(impossible, Error::ImpossibleCount { successes: 2, trials: 1 });
    let strata = Strata::new(2, &[vec![fine]]).unwrap();
    assert_eq!(strata.ln_evidence(0, 2), Err(Error::NoSuchArm { arm: 2, arms: 2 }));
    assert_eq!(strata.difference(0, 2), None);
}

#[test]
fn a_difference_is_that_of_the_counts_told_last() {
    let tables =
        |answered| [vec![period(1, [(100, 10), (50, answered)]), period(2, [(200, 60), (20, 5)])]];
    let told_once = Strata::new(2, &tables(15)).unwrap().difference(1, 0).unwrap();
    // Worked out with fractions.
    assert!((told_once.difference - 19.0 / 170.0).abs() < 1e-15);
    assert!((told_once.standard_error - 0.058_599_573_672_528_34).abs() < 1e-15);
    assert!((told_once.z - 1.979_175_867_342_264_4).abs() < 1e-13);
    let [first] = tables(18);
    let [second] = tables(15);
    let corrected = Strata::new(2, &[first, second]).unwrap().difference(1, 0).unwrap();
    assert_eq!(corrected, told_once);
}

#[test]
fn over_one_period_it_is_the_plain_difference() {
    let plain = Comparison {
        baseline: Proportion::new(60, 300).unwrap(),
        arm: Proportion::new(90, 320).unwrap(),
    };
    let table = [Cell { units: 300, answered: 60 }, Cell { units: 320, answered: 90 }];
    let found = mantel_haenszel([table]).unwrap();
    assert!((found.difference - plain.gap()).abs() < 1e-15);
    assert!((found.standard_error - plain.unpooled_error()).abs() < 1e-15);
    assert!((found.z - plain.pooled_z() * (619.0_f64 / 620.0).sqrt()).abs() < 1e-12);
}

#[test]
fn periods_without_units_on_both_sides_or_without_variance_say_nothing() {
    let cell = |units, answered| Cell { units, answered };
    assert_eq!(mantel_haenszel([]), None);
    assert_eq!(mantel_haenszel([[cell(0, 0), cell(9, 3)], [cell(4, 2), cell(0, 0)]]), None);
    let flat = mantel_haenszel([[cell(5, 0), cell(9, 0)], [cell(5, 5), cell(9, 9)]]).unwrap();
    assert!(flat.z.abs() <= 0.0 && flat.difference.abs() <= 0.0 && flat.standard_error <= 0.0);
}

#[test]
fn a_good_week_of_an_arm_with_a_large_share_is_not_a_lead() {
    let looks =
        [vec![period(1, [(5_000, 500), (5_000, 500)]), period(2, [(1_000, 300), (9_000, 2_700)])]];
    let strata = Strata::new(2, &looks).unwrap();
    assert!(strata.difference(1, 0).unwrap().z.abs() < 1e-9);
    assert!(strata.ln_evidence(0, 1).unwrap()[0] < 0.0);
    let pooled = Comparison {
        baseline: Proportion::new(800, 6_000).unwrap(),
        arm: Proportion::new(3_200, 14_000).unwrap(),
    };
    assert!(pooled.pooled_z() > 10.0);
}

/// `n` over `k`.
fn choices(n: u64, k: u64) -> f64 {
    (0..k).map(|i| real(n - i) / real(i + 1)).product()
}

/// Of so many new answers among those at risk, how many are the second arm's, and with what probability.
fn answers(at_risk: [u64; 2], events: u64) -> impl Iterator<Item = (u64, f64)> {
    let [others, arms] = at_risk;
    let of = move |arm: u64| {
        choices(arms, arm) * choices(others, events - arm) / choices(arms + others, events)
    };
    (events.saturating_sub(others)..=arms.min(events)).map(move |arm| (arm, of(arm)))
}

#[test]
fn expected_evidence_is_one_at_most_when_the_second_periods_shares_follow_the_first_ones_answers() {
    let mut highest: f64 = 0.0;
    for [first, second, late] in [[1, 1, 1], [3, 4, 0], [4, 2, 2], [5, 7, 3], [0, 5, 1]] {
        let mut expected = [0.0; 2];
        for (x, p) in answers([5, 4], first) {
            let told = period(1, [(5, first - x), (4, x)]);
            // The arm ahead gets most of the next.
            let units = if 5 * x > 4 * (first - x) { [2, 7] } else { [7, 2] };
            expected[0] += p * ln_evidence(&[vec![told.clone()]])[0].exp();
            for (y, q) in answers(units, second) {
                for (z, r) in answers([5 - (first - x), 4 - x], late) {
                    let next = period(2, [(units[0], second - y), (units[1], y)]);
                    let more = period(1, [(5, first + late - x - z), (4, x + z)]);
                    let logs = ln_evidence(&[vec![told.clone()], vec![next, more]]);
                    expected[1] += p * q * r * logs[1].exp();
                }
            }
        }
        assert!(expected.iter().all(|e| *e <= 1.0 + 1e-12), "{expected:?}");
        highest = expected.into_iter().fold(highest, f64::max);
    }
    // Of a single answer it is exactly 1, so no evidence is given away.
    assert!(highest > 0.99, "{highest}");
}

/// All ways in which so many units fall on three arms, with their probabilities.
fn draws(units: u64, shares: [f64; 3]) -> Vec<([u64; 3], f64)> {
    let powi = |share: f64, count: u64| share.powi(count.try_into().unwrap());
    let mut all = Vec::new();
    for first in 0..=units {
        for second in 0..=units - first {
            let third = units - first - second;
            let ways = choices(units, first) * choices(units - first, second);
            let each = powi(shares[0], first) * powi(shares[1], second) * powi(shares[2], third);
            all.push(([first, second, third], ways * each));
        }
    }
    all
}

fn assigned(number: u32, shares: [f64; 3], units: [u64; 3]) -> Period {
    let cells = units.map(|units| Cell { units, answered: 0 });
    Period { number, shares: Weights::new(shares.into()).unwrap(), cells: cells.into() }
}

#[test]
fn expected_evidence_against_the_shares_is_one_while_they_are_kept() {
    let mut expected = [0.0; 3];
    let even = [1.0 / 3.0; 3];
    for (first, p) in draws(5, even) {
        let shares = if first[0] > 2 { [0.7, 0.2, 0.1] } else { [0.1, 0.1, 0.8] };
        for (second, q) in draws(4, shares) {
            for (joined, r) in draws(3, even) {
                let both = [0, 1, 2].map(|arm| first[arm] + joined[arm]);
                let looks = [
                    vec![assigned(1, even, first)],
                    vec![assigned(2, shares, second)],
                    vec![assigned(1, even, both), assigned(2, shares, second)],
                ];
                let logs = Strata::new(3, &looks).unwrap().ln_sample_ratio();
                for (expected, log) in expected.iter_mut().zip(logs) {
                    *expected += p * q * r * log.exp();
                }
            }
        }
    }
    assert!(is_near(&expected, &[1.0; 3]), "{expected:?}");
}

#[test]
fn evidence_against_the_shares_is_that_worked_out_by_hand() {
    let told = |number, shares: [f64; 2], units: [u64; 2]| Period {
        number,
        shares: Weights::new(shares.into()).unwrap(),
        cells: units.map(|units| Cell { units, answered: 0 }).into(),
    };
    let looks = [
        vec![told(1, [1.0, 3.0], [330, 670])],
        vec![told(1, [1.0, 3.0], [360, 680]), told(2, [1.0, 1.0], [5, 15])],
    ];
    let logs = Strata::new(2, &looks).unwrap().ln_sample_ratio();
    // No unit judges itself, so the first batch says nothing.
    assert!(is_near(&logs, &[0.0, 2.997_997_618_955_22]), "{logs:?}");
}

#[test]
fn shares_that_are_not_kept_are_found_and_a_unit_without_a_share_at_once() {
    let look = |number| vec![assigned(number, [0.5, 0.25, 0.25], [220, 90, 90])];
    let logs = Strata::new(3, &(1..=28).map(look).collect::<Vec<_>>()).unwrap().ln_sample_ratio();
    assert!(logs[27] > 1_000_f64.ln(), "{logs:?}");
    let impossible = vec![assigned(9, [0.5, 0.5, 0.0], [10, 10, 1])];
    let logs = Strata::new(3, &[look(1), impossible, look(2)]).unwrap().ln_sample_ratio();
    assert!(logs[0].abs() < 1e-12 && logs[1] > 1e300 && logs[2] > 1e300);
}
