//! The rungs of the ladder one by one, and that nothing put on it makes it fall.

use proptest::prelude::*;

use super::*;
use crate::anytime::NormalMixture;
use crate::assignment::Weights;
use crate::number::{Alpha, Fraction};
use crate::spending::Spending;

fn design(arms: usize) -> Design {
    Design::standard(Weights::equal(arms).unwrap())
}

fn with_control(when_inconclusive: WhenInconclusive) -> Design {
    Design { control: Some(0), when_inconclusive, ..design(2) }
}

/// A look at arms of 5,000, half of whose responders answered early.
fn look(spending_time: f64, responders: &[u64]) -> Look {
    let arm = |responders: &u64| ArmCounts {
        sent: 5_000,
        responders: *responders,
        early_responders: responders / 2,
    };
    Look {
        spending_time: Fraction::new(spending_time).unwrap(),
        arms: responders.iter().map(arm).collect(),
    }
}

/// The same, but the last arm's responders were nearly all early.
fn speedy(spending_time: f64, responders: &[u64]) -> Look {
    let mut look = look(spending_time, responders);
    let last = look.arms.last_mut().unwrap();
    last.early_responders = last.responders * 9 / 10;
    look
}

fn verdict(design: &Design, looks: &[Look]) -> Verdict {
    guarded(design, looks, &[])
}

fn guarded(design: &Design, looks: &[Look], guardrails: &[GuardrailCounts]) -> Verdict {
    assess(design, &Evidence { looks, sending: Sending::Complete, guardrails }).unwrap()
}

fn check(verdict: &Verdict, action: Action, reason: &str, winner: Option<usize>) {
    let got = (verdict.action, verdict.reason.to_string(), verdict.winner);
    assert_eq!(got, (action, reason.to_owned(), winner));
}

fn unsubscribes(events: &[u64]) -> GuardrailCounts {
    GuardrailCounts { name: "unsubscribe".into(), events: events.to_vec(), ceiling: None }
}

#[test]
fn a_clear_lead_is_promoted_before_the_deadline() {
    let verdict = verdict(&design(2), &[look(0.85, &[800, 1_000])]);
    check(&verdict, Action::Promote, "SIGNIFICANT_BEST", Some(1));
    assert!(verdict.tied_with.is_empty());
    let lift = verdict.arms[1].lift.unwrap();
    assert!((lift.value - 0.25).abs() < 1e-12 && lift.interval.low > 0.0);
}

#[test]
fn an_immature_look_is_not_tested_however_clear() {
    let verdict = verdict(&design(2), &[look(0.5, &[500, 900])]);
    check(&verdict, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
    assert_eq!((verdict.test, verdict.admission), (None, Admission::Immature));
    assert!(verdict.arms[1].rate.is_some() && verdict.arms[1].difference.is_none());
}

#[test]
fn speed_is_not_mistaken_for_rate_until_the_deadline_makes_it_one() {
    let early = verdict(&design(2), &[speedy(0.85, &[800, 1_000])]);
    check(&early, Action::Continue, "TIMING_SHIFT", None);
    let late = verdict(&design(2), &[speedy(0.85, &[800, 1_000]), speedy(1.0, &[850, 1_050])]);
    check(&late, Action::Promote, "SIGNIFICANT_BEST", Some(1));
    let unguarded = Design { timing_guard: TimingGuard::Off, ..design(2) };
    let unguarded = verdict(&unguarded, &[speedy(0.85, &[800, 1_000])]);
    check(&unguarded, Action::Promote, "SIGNIFICANT_BEST", Some(1));
}

#[test]
fn a_lead_by_speed_that_melted_away_does_not_count_against_the_control_either() {
    let looks = [speedy(0.85, &[800, 1_000]), speedy(1.0, &[1_000, 1_010])];
    let verdict = verdict(&with_control(WhenInconclusive::Control), &looks);
    check(&verdict, Action::PromoteControl, "INCONCLUSIVE_AT_DEADLINE", Some(0));
    assert!(verdict.against_control[0].sequential_p > 0.5);
}

#[test]
fn variants_that_tie_but_both_beat_the_control_are_promoted_together_with_their_tie() {
    let design = Design { control: Some(0), ..design(3) };
    let verdict = verdict(&design, &[look(0.85, &[700, 850, 860]), look(1.0, &[800, 950, 960])]);
    check(&verdict, Action::Promote, "BEATS_CONTROL_TIED_WITH_VARIANT", Some(2));
    assert_eq!(verdict.tied_with, [1]);
    assert!(verdict.against_control.iter().all(|variant| variant.holm_p < 0.05));
}

#[test]
fn at_the_deadline_the_design_says_what_an_inconclusive_test_means() {
    let looks = [look(1.0, &[1_000, 1_010])];
    let reason = "INCONCLUSIVE_AT_DEADLINE";
    let best = verdict(&with_control(WhenInconclusive::PosteriorBest), &looks);
    check(&best, Action::PromoteNotSignificant, reason, Some(1));
    let control = verdict(&with_control(WhenInconclusive::Control), &looks);
    check(&control, Action::PromoteControl, reason, Some(0));
    let human = verdict(&with_control(WhenInconclusive::Human), &looks);
    check(&human, Action::Hold, reason, None);
    let peers = Design { when_inconclusive: WhenInconclusive::Control, ..design(2) };
    check(&verdict(&peers, &looks), Action::Hold, reason, None);
}

#[test]
fn too_few_events_wait_for_more_but_not_beyond_the_deadline() {
    let early = verdict(&design(2), &[look(0.9, &[2, 9])]);
    check(&early, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
    let late = verdict(&design(2), &[look(1.0, &[2, 9])]);
    check(&late, Action::PromoteNotSignificant, "INCONCLUSIVE_AT_DEADLINE", Some(1));
    assert_eq!(late.admission, Admission::TooFewEvents);
}

#[test]
fn harm_blocks_every_kind_of_promotion() {
    let harm = [unsubscribes(&[10, 40])];
    let significant = guarded(&design(2), &[look(0.85, &[800, 1_000])], &harm);
    check(&significant, Action::Hold, "GUARDRAIL:unsubscribe", Some(1));
    let inconclusive = guarded(&design(2), &[look(1.0, &[1_000, 1_010])], &harm);
    check(&inconclusive, Action::Hold, "GUARDRAIL:unsubscribe", Some(1));
    let harmless = guarded(&design(2), &[look(0.85, &[1_000, 800])], &harm);
    check(&harmless, Action::Promote, "SIGNIFICANT_BEST", Some(0));
}

#[test]
fn a_control_is_measured_against_ceilings_only() {
    let complaint =
        GuardrailCounts { name: "complaint".into(), events: vec![30, 1], ceiling: Some(0.001) };
    let design = with_control(WhenInconclusive::Control);
    let verdict = guarded(&design, &[look(1.0, &[1_000, 1_010])], &[complaint]);
    check(&verdict, Action::Hold, "GUARDRAIL:complaint", Some(0));
    assert_eq!(verdict.guardrails[0].harm[0], None);
}

#[test]
fn while_sending_only_overwhelming_evidence_breaks_the_sample_ratio() {
    let mut look = look(0.1, &[100, 100]);
    look.arms[0].sent = 5_180;
    look.arms[1].sent = 4_820;
    let looks = [look];
    let at = |sending| {
        assess(&design(2), &Evidence { looks: &looks, sending, guardrails: &[] }).unwrap()
    };
    check(&at(Sending::InProgress), Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
    let complete = at(Sending::Complete);
    check(&complete, Action::Hold, "SRM", None);
    assert!(complete.sample_ratio.is_broken && complete.test.is_none());
}

#[test]
fn evidence_of_a_broken_ratio_is_not_forgotten_while_sending_goes_on() {
    let sent = |first: u64, second: u64| {
        let mut look = look(0.1, &[100, 100]);
        look.arms[0].sent = first;
        look.arms[1].sent = second;
        look
    };
    let looks = [sent(1_300, 1_000), sent(10_000, 10_000)];
    let evidence = Evidence { looks: &looks, sending: Sending::InProgress, guardrails: &[] };
    check(&assess(&design(2), &evidence).unwrap(), Action::Hold, "SRM", None);
}

#[test]
fn skipped_looks_leave_no_trace() {
    let (first, last) = (look(0.82, &[800, 850]), look(0.95, &[950, 1_000]));
    let with = [first.clone(), look(0.83, &[801, 851]), look(0.84, &[790, 840]), last.clone()];
    let with = verdict(&design(2), &with);
    let without = verdict(&design(2), &[first, last]);
    assert_eq!(with, without);
}

#[test]
fn an_arm_nothing_was_sent_to_is_read_as_nothing() {
    let mut look = look(1.0, &[800, 0]);
    look.arms[1].sent = 0;
    let design = Design { weights: Weights::new(vec![1.0, 0.0]).unwrap(), ..design(2) };
    let verdict = verdict(&design, &[look]);
    assert_eq!(verdict.arms[1], ArmReading::default());
    check(&verdict, Action::Hold, "INCONCLUSIVE_AT_DEADLINE", None);
}

fn mixture() -> NormalMixture {
    NormalMixture::sharpest_at(2_000.0, Alpha::FIVE_PERCENT).unwrap()
}

#[test]
fn fast_mode_judges_from_half_of_the_answers_on() {
    let fast = Design::fast(Weights::equal(2).unwrap());
    let looks = [look(0.5, &[500, 900])];
    check(&verdict(&fast, &looks), Action::Promote, "SIGNIFICANT_BEST", Some(1));
    let early = [look(0.49, &[500, 900])];
    check(&verdict(&fast, &early), Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
}

#[test]
fn an_open_ended_test_waits_a_week_and_then_goes_on_until_it_is_decided() {
    let design = Design::open_ended(Weights::equal(2).unwrap(), mixture());
    let (early, even) = (look(0.9, &[300, 900]), look(1.0, &[1_000, 1_010]));
    let waiting = verdict(&design, &[early]);
    check(&waiting, Action::Continue, "IMMATURE_OR_TOO_FEW_EVENTS", None);
    let undecided = verdict(&design, &[even.clone(), look(1.0, &[1_100, 1_120])]);
    check(&undecided, Action::Continue, "NOT_SIGNIFICANT_YET", None);
    let decided = verdict(&design, &[even, speedy(1.0, &[1_100, 1_350])]);
    check(&decided, Action::Promote, "SIGNIFICANT_BEST", Some(1));
    let test = decided.test.unwrap();
    assert!(test.sequential_p < 0.05 && test.smallest_z >= test.boundary);
}

#[test]
fn an_open_ended_p_value_remembers_the_strongest_look_of_the_leader() {
    let design = Design::open_ended(Weights::equal(2).unwrap(), mixture());
    let (strong, weak) = (look(1.0, &[1_000, 1_120]), look(1.0, &[1_300, 1_330]));
    let of = |looks: &[Look]| verdict(&design, looks).test.unwrap().sequential_p;
    let alone = |look: &Look| of(std::slice::from_ref(look));
    let both = of(&[strong.clone(), weak.clone()]);
    assert!((both - alone(&strong)).abs() <= 0.0);
    assert!(alone(&weak) > both);
}

#[test]
fn a_replay_says_what_was_decided_at_every_look() {
    let design = with_control(WhenInconclusive::Control);
    let looks = [look(0.5, &[400, 410]), look(0.85, &[800, 810]), look(1.0, &[1_000, 1_010])];
    let harm = [unsubscribes(&[40, 10])];
    let evidence = Evidence { looks: &looks, sending: Sending::Complete, guardrails: &harm };
    let replayed = replay(&design, &evidence).unwrap();
    let actions: Vec<Action> = replayed.iter().map(|decision| decision.action).collect();
    assert_eq!(actions, [Action::Continue, Action::Continue, Action::PromoteControl]);
    assert_eq!(replayed[0].statistic, None);
    assert_eq!(replayed[2].statistic.unwrap().leader, 1);
}

#[test]
fn a_control_that_is_not_an_arm_is_refused() {
    let design = Design { control: Some(2), ..design(2) };
    let looks = [look(1.0, &[800, 800])];
    let evidence = Evidence { looks: &looks, sending: Sending::Complete, guardrails: &[] };
    assert!(assess(&design, &evidence).is_err());
    let lonely = Evidence { looks: &[], ..evidence };
    assert!(assess(&Design { control: None, ..design }, &lonely).is_err());
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_u64, 0..6_000_u64, 0..2_000_000_u64, Just(u64::MAX), any::<u64>()]
}

prop_compose! {
    fn any_arm()(sent in any_count(), a in any::<u64>(), b in any::<u64>(), wild in 0..50) -> ArmCounts {
        // Mostly possible counts, so that the test gets beyond the first check.
        let responders = if wild == 0 { a } else { a.checked_rem(sent.saturating_add(1)).unwrap_or(0) };
        let early_responders = b.checked_rem(responders.saturating_add(1)).unwrap_or(0);
        ArmCounts { sent, responders, early_responders }
    }
}

prop_compose! {
    fn any_looks(arms: usize)(
        looks in proptest::collection::vec(
            (0.0..1.0_f64, proptest::collection::vec(any_arm(), arms)),
            1..6,
        ),
        ends in any::<bool>(),
    ) -> Vec<Look> {
        let number = looks.len();
        let look = |(index, (u, arms)): (usize, (f64, Vec<ArmCounts>))| {
            let u = if ends && index + 1 == number { 1.0 } else { u };
            Look { spending_time: Fraction::saturating(u), arms }
        };
        looks.into_iter().enumerate().map(look).collect()
    }
}

fn any_method() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::GroupSequential(Spending::OBrienFleming)),
        Just(Method::GroupSequential(Spending::Pocock)),
        Just(Method::Anytime(mixture())),
    ]
}

fn any_policy() -> impl Strategy<Value = WhenInconclusive> {
    prop_oneof![
        Just(WhenInconclusive::PosteriorBest),
        Just(WhenInconclusive::Control),
        Just(WhenInconclusive::Human)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_was_counted_the_ladder_answers_the_same_twice_or_refuses(
        looks in any_looks(3),
        control in proptest::option::of(0..4_usize),
        (method, when_inconclusive) in (any_method(), any_policy()),
        weights in proptest::collection::vec(0.0..2.0_f64, 3),
        alpha in 1e-12..0.999_f64,
        events in proptest::collection::vec(any::<u64>(), 3),
        complete in any::<bool>(),
    ) {
        let Ok(weights) = Weights::new(weights) else { return Ok(()) };
        let design = Design {
            control,
            method,
            when_inconclusive,
            alpha: Alpha::new(alpha).unwrap(),
            maturity_gate: Fraction::ZERO,
            minimum_sent_per_arm: 0,
            minimum_events: 0,
            sample_ratio_alarm: Alpha::new(1e-300).unwrap(),
            ..Design::standard(weights)
        };
        let sent = looks.last().map(|look| look.arms.iter().map(|arm| arm.sent));
        let within = |(event, sent): (&u64, u64)| event.checked_rem(sent.saturating_add(1)).unwrap_or(0);
        let events = events.iter().zip(sent.unwrap()).map(within).collect();
        let guardrails =
            [GuardrailCounts { name: "complaint".into(), events, ceiling: Some(0.001) }];
        let sending = if complete { Sending::Complete } else { Sending::InProgress };
        let evidence = Evidence { looks: &looks, sending, guardrails: &guardrails };
        let (once, twice) = (assess(&design, &evidence), assess(&design, &evidence));
        // Debug prints every bit of every number, and does not mind those that are not numbers.
        prop_assert_eq!(format!("{once:?}"), format!("{twice:?}"));
        if let Ok(decisions) = replay(&design, &evidence) {
            for (number, decision) in (1..).zip(&decisions) {
                let guardrails = if number == looks.len() { evidence.guardrails } else { &[] };
                let seen = Evidence { looks: &looks[..number], guardrails, ..evidence };
                let then = assess(&design, &seen).unwrap();
                prop_assert_eq!(
                    (decision.action, &decision.reason, decision.winner, decision.admission),
                    (then.action, &then.reason, then.winner, then.admission)
                );
                let statistic = then.test.map(|test| Statistic {
                    information: test.information,
                    boundary: test.boundary,
                    leader: test.leader,
                    smallest_z: test.smallest_z,
                });
                prop_assert_eq!(format!("{:?}", decision.statistic), format!("{statistic:?}"));
            }
        }
        if let Ok(verdict) = once {
            prop_assert!(!format!("{verdict:?}").contains("NaN"), "{:?}", verdict);
            prop_assert!(verdict.winner.is_none_or(|winner| winner < 3));
        }
    }
}
