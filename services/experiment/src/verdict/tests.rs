//! The rungs, for answers and for money.

use chrono::DateTime;

use super::*;
use crate::counts::Tally;
use crate::design::tests::design;
use crate::design::{Method, Role, WhenInconclusive};
use crate::look::{Seen, real};

fn look(spending_time: f64, arms: &[(u64, u64)]) -> Look {
    let seen = |&(answered, units): &(u64, u64)| Seen {
        units,
        tally: Tally { answered, early: answered / 2, ..Tally::default() },
        guardrails: Vec::new(),
    };
    Look {
        time: DateTime::UNIX_EPOCH,
        spending_time: Fraction::saturating(spending_time),
        sight: Sight {
            arms: arms.iter().map(seen).collect(),
            holdout_units: arms[0].1 / 2,
            strays: 0,
            periods: Vec::new(),
        },
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
    judge(design, looks, Stage::Maturing).unwrap()
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
    let verdict = judge(&design(), &[look], Stage::Exposing).unwrap();
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

/// A third metric guards: unsubscriptions.
fn guarded_design() -> Design {
    let mut design = design();
    let mut guardrail = design.metrics[0].clone();
    guardrail.id = "unsubscribed".parse().unwrap();
    guardrail.role = Role::Guardrail;
    guardrail.direction = Direction::Lower;
    guardrail.ceiling = Some(0.01);
    design.metrics.push(guardrail);
    design
}

fn with_unsubscriptions(mut look: Look, unsubscribed: [u64; 2]) -> Look {
    for (seen, answered) in look.sight.arms.iter_mut().zip(unsubscribed) {
        seen.guardrails = vec![Tally { answered, ..Tally::default() }];
    }
    look
}

#[test]
fn an_arm_that_harms_is_held_back_though_it_is_best() {
    let design = guarded_design();
    let judge_of = |unsubscribed| {
        let look = look(1.0, &[(200, 1_000), (260, 1_000)]);
        judged(&design, &[with_unsubscriptions(look, unsubscribed)])
    };
    check(&judge_of([3, 5]), Action::Promote, "SIGNIFICANT_BEST", Some(1));
    let harmed = judge_of([3, 12]);
    check(&harmed, Action::Hold, "GUARDRAIL:unsubscribed", Some(1));
    assert!(harmed.reason_text.contains("harm to unsubscribed"), "{}", harmed.reason_text);
    // Both are as bad, and above the ceiling.
    check(&judge_of([40, 40]), Action::Hold, "GUARDRAIL:unsubscribed", Some(1));
}

#[test]
fn harm_that_is_seen_after_the_look_holds_its_verdict_back() {
    let design = guarded_design();
    let look = with_unsubscriptions(look(1.0, &[(200, 1_000), (260, 1_000)]), [3, 5]);
    let verdict = judged(&design, std::slice::from_ref(&look));
    let calm = heeding(&design, &look.sight, verdict.clone());
    assert_eq!(calm, verdict);
    let later = with_unsubscriptions(look, [3, 20]);
    let held = heeding(&design, &later.sight, verdict);
    check(&held, Action::Hold, "GUARDRAIL:unsubscribed", Some(1));
}

#[test]
fn where_less_is_better_the_arm_with_less_wins() {
    let mut design = design();
    design.metrics[0].direction = Direction::Lower;
    let verdict = judged(&design, &[look(1.0, &[(251, 1_000), (200, 1_000)])]);
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", Some(1));
    assert!(verdict.reason_text.contains("5.1 points of visits"), "{}", verdict.reason_text);
    assert!(verdict.statistic > verdict.boundary.unwrap());
    let close = judged(&design, &[look(0.9, &[(205, 1_000), (200, 1_000)])]);
    check(&close, Action::Continue, "NOT_SIGNIFICANT_YET", None);
}

fn endless() -> Design {
    let mut design = design();
    design.method = Method::Anytime { expected_events: 500 };
    design.decision_seconds = 0.0;
    design
}

#[test]
fn without_a_deadline_nothing_is_final_until_somebody_ends_it() {
    let arms = [(200, 1_000), (330, 1_000)];
    let early = look(0.9, &arms);
    let verdict = judge(&endless(), std::slice::from_ref(&early), Stage::Exposing).unwrap();
    check(&verdict, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
    assert!(verdict.reason_text.contains("first week"), "{}", verdict.reason_text);
    let verdict = judge(&endless(), &[early, look(1.0, &arms)], Stage::Exposing).unwrap();
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", Some(1));
    assert!(!verdict.is_final && verdict.sequential_p.unwrap() < 0.05);
    assert_eq!(verdict.conditional_power, None);
    let close = [look(1.0, &[(200, 1_000), (210, 1_000)])];
    let verdict = judge(&endless(), &close, Stage::Exposing).unwrap();
    check(&verdict, Action::Continue, "NOT_SIGNIFICANT_YET", None);
    let ended = judge(&endless(), &close, Stage::Last).unwrap();
    check(&ended, Action::Hold, "INCONCLUSIVE_AT_DEADLINE", None);
    assert!(ended.is_final);
}

#[test]
fn money_without_a_deadline_is_judged_too() {
    let mut design = endless();
    design.metrics.swap(0, 1);
    let looks = [paid(1.0, [(60, 50.0), (160, 50.0)])];
    let verdict = judge(&design, &looks, Stage::Exposing).unwrap();
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", Some(1));
}

#[test]
fn every_arm_is_told_how_likely_it_beats_the_control_by_chance() {
    let mut design = design();
    design.control = Some(0);
    let verdict = judged(&design, &[look(0.9, &[(200, 1_000), (260, 1_000)])]);
    assert_eq!(verdict.against_control.len(), 2);
    assert_eq!(verdict.against_control[0], None);
    assert!(verdict.against_control[1].unwrap() < 0.05, "{verdict:?}");
    let early = judged(&design, &[look(0.5, &[(200, 1_000), (260, 1_000)])]);
    assert_eq!((early.against_control, early.conditional_power), (Vec::new(), None));
}

#[test]
fn what_is_known_against_the_control_already_is_what_would_be_found() {
    let mut design = design();
    design.control = Some(0);
    let looks =
        [look(0.9, &[(100, 1_000), (120, 1_000)]), look(1.0, &[(110, 1_000), (150, 1_000)])];
    let rules = design.rules().unwrap();
    let course = ladder::Course::new(&design, &rules, &looks).unwrap();
    let found = course.against_control().unwrap();
    assert_eq!(judged(&design, &looks).against_control, found);
    assert!(found[1].unwrap() < 0.05);
}

#[test]
fn power_to_come_is_high_for_a_lead_that_nearly_suffices_and_low_for_none() {
    let power =
        |arms: [(u64, u64); 2]| judged(&design(), &[look(0.85, &arms)]).conditional_power.unwrap();
    assert!(power([(200, 1_000), (236, 1_000)]) > 0.3);
    assert!(power([(200, 1_000), (201, 1_000)]) < 0.01);
}

#[test]
fn a_recommendation_says_how_few_answers_would_undo_it() {
    let look = look(1.0, &[(200, 1_000), (260, 1_000)]);
    let verdict = judged(&design(), std::slice::from_ref(&look));
    let text = invalidated_by(&design(), &look, &verdict);
    let few: u64 = text.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    let mut fewer = look.clone();
    fewer.sight.arms[1].tally.answered -= few;
    assert_ne!(judged(&design(), &[fewer.clone()]).action, Action::Promote, "{text}");
    fewer.sight.arms[1].tally.answered += 1;
    assert_eq!(judged(&design(), &[fewer]).action, Action::Promote, "{text}");
}
