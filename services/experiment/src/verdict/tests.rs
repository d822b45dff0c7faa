//! The rungs, for answers and for money.

use chrono::DateTime;

use super::*;
use crate::counts::Tally;
use crate::design::tests::design;
use crate::look::Seen;

fn look(spending_time: f64, arms: &[(u64, u64)]) -> Look {
    let seen = |&(answered, units): &(u64, u64)| Seen {
        units,
        tally: Tally { answered, early: answered / 2, ..Tally::default() },
    };
    Look {
        time: DateTime::UNIX_EPOCH,
        spending_time: Fraction::saturating(spending_time),
        sight: Sight { arms: arms.iter().map(seen).collect(), holdout_units: arms[0].1 / 2 },
    }
}

/// Every one who answered spent `amount`.
fn paid(spending_time: f64, arms: [(u64, f64); 2]) -> Look {
    let mut look = look(spending_time, &arms.map(|(orders, _)| (orders, 1_000)));
    for (seen, (orders, amount)) in look.sight.arms.iter_mut().zip(arms) {
        let orders = real(orders);
        seen.tally.total = orders * amount;
        seen.tally.squares = orders * amount * amount;
    }
    look
}

fn selling() -> Design {
    let mut design = design();
    design.metrics.swap(0, 1);
    design
}

fn check(verdict: &Verdict, action: Action, code: &str, arm: Option<usize>) {
    assert_eq!(
        (verdict.action, verdict.reason_code.as_str(), verdict.arm),
        (action, code, arm),
        "{verdict:?}"
    );
}

fn judged(design: &Design, looks: &[Look]) -> Verdict {
    judge(design, looks, Sending::Complete).unwrap()
}

#[test]
fn a_clear_lead_at_the_deadline_is_promoted_and_told_in_points() {
    let verdict = judged(&design(), &[look(1.0, &[(200, 1_000), (231, 1_000)])]);
    check(&verdict, Action::Hold, "INCONCLUSIVE_AT_DEADLINE", None);
    assert!(verdict.reason_text.contains("3.1 points of visits"), "{}", verdict.reason_text);
    let verdict = judged(&design(), &[look(1.0, &[(251, 1_000), (200, 1_000)])]);
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", Some(0));
    assert_eq!(
        verdict.reason_text,
        "men's mail leads women's mail by 5.1 points of visits; that is more than chance explains"
    );
    assert!(verdict.is_final && verdict.statistic >= verdict.boundary.unwrap());
}

#[test]
fn nothing_is_said_before_the_gate_but_that_the_ratio_is_broken() {
    let verdict = judged(&design(), &[look(0.79, &[(300, 1_000), (100, 1_000)])]);
    check(&verdict, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
    assert_eq!((verdict.boundary, verdict.is_final), (None, false));
    let verdict = judged(&design(), &[look(0.1, &[(30, 1_000), (30, 800)])]);
    check(&verdict, Action::Hold, "SRM", None);
    assert!(verdict.reason_text.contains("women's mail: 800"), "{}", verdict.reason_text);
}

#[test]
fn a_holdout_of_another_size_than_designed_breaks_the_ratio_too() {
    let mut look = look(1.0, &[(200, 1_000), (300, 1_000)]);
    for units in [650, 400] {
        look.sight.holdout_units = units;
        check(&judged(&design(), &[look.clone()]), Action::Hold, "SRM", None);
    }
}

#[test]
fn mails_that_failed_and_mails_still_to_be_sent_do_not_break_the_ratio() {
    // Of 1,100 in each arm a tenth failed, while 550 were held out.
    let mut look = look(1.0, &[(200, 990), (300, 990)]);
    look.sight.holdout_units = 550;
    check(&judged(&design(), &[look.clone()]), Action::Promote, "SIGNIFICANT_BEST", Some(1));
    look.sight.holdout_units = 5_000;
    look.spending_time = Fraction::ZERO;
    let verdict = judge(&design(), &[look], Sending::InProgress).unwrap();
    check(&verdict, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
}

#[test]
fn one_arm_leaves_nothing_to_decide() {
    let mut design = design();
    design.arms.truncate(1);
    let mut look = look(0.0, &[(20, 1_000)]);
    look.sight.holdout_units = 250;
    let verdict = judged(&design, &[look]);
    check(&verdict, Action::None, "ONE_ARM", None);
}

#[test]
fn money_climbs_the_same_ladder() {
    let looks = [paid(0.5, [(60, 50.0), (150, 50.0)]), paid(0.9, [(60, 50.0), (150, 50.0)])];
    check(&judged(&selling(), &looks[..1]), Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
    let verdict = judged(&selling(), &looks);
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", Some(1));
    assert!(verdict.reason_text.contains("4.5 of revenue per contact"), "{}", verdict.reason_text);
    let close = [paid(0.9, [(60, 50.0), (70, 50.0)])];
    check(&judged(&selling(), &close), Action::Continue, "NOT_SIGNIFICANT_YET", None);
    let few = [paid(1.0, [(3, 50.0), (9, 50.0)])];
    check(&judged(&selling(), &few), Action::Hold, "INCONCLUSIVE_AT_DEADLINE", None);
}

#[test]
fn money_that_decides_nothing_does_as_the_design_says() {
    let looks = [paid(1.0, [(70, 50.0), (60, 50.0)])];
    let mut design = selling();
    design.when_inconclusive = WhenInconclusive::PosteriorBest;
    let best = judged(&design, &looks);
    check(&best, Action::PromoteNotSignificant, "INCONCLUSIVE_AT_DEADLINE", Some(0));
    design.when_inconclusive = WhenInconclusive::Control;
    design.control = Some(1);
    let control = judged(&design, &looks);
    check(&control, Action::PromoteControl, "INCONCLUSIVE_AT_DEADLINE", Some(1));
    design.when_inconclusive = WhenInconclusive::PosteriorBest;
    let nobody = [look(1.0, &[(0, 0), (0, 0)])];
    check(&judged(&design, &nobody), Action::Hold, "INCONCLUSIVE_AT_DEADLINE", None);
}

#[test]
fn money_that_comes_sooner_is_not_mistaken_for_more_before_the_deadline() {
    let mut early = paid(0.9, [(60, 50.0), (150, 50.0)]);
    early.sight.arms[1].tally.early = 140;
    check(&judged(&selling(), &[early.clone()]), Action::Continue, "TIMING_SHIFT", None);
    let mut late = paid(1.0, [(60, 50.0), (150, 50.0)]);
    late.sight.arms[1].tally.early = 140;
    let verdict = judged(&selling(), &[early, late]);
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", Some(1));
}

#[test]
fn the_same_looks_give_the_same_verdict_to_the_bit() {
    let looks =
        [look(0.85, &[(180, 1_000), (210, 1_000)]), look(1.0, &[(200, 1_000), (240, 1_000)])];
    assert_eq!(judged(&design(), &looks), judged(&design(), &looks));
}
