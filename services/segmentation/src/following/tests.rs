//! Time that passes at once, in pieces or late is told alike.

use chrono::TimeDelta;
use cursus_audience::{Aggregate, Behaviour, BlockBuilder, Limits, Operator, Rule, Schema, Window};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::block::Change;

const SECOND: i64 = 1_000_000;

/// At least twice within the last 100 seconds.
fn keen() -> Arc<Plan> {
    let rule = Rule::Behaviour(Behaviour {
        event: "login".to_owned(),
        filters: Vec::new(),
        window: Window::within(TimeDelta::seconds(100)),
        order: None,
        aggregate: Aggregate::Count,
        operator: Operator::GreaterOrEqual,
        value: 2.0,
    });
    Arc::new(Plan::compile(&rule, &Schema::default(), Limits::default()).unwrap())
}

/// Each contact's logins, in seconds.
fn columns(plan: &Plan, logins: &[Vec<i64>]) -> Block {
    let mut rows = BlockBuilder::new(plan.mentions().clone());
    for (slot, times) in (0..).zip(logins) {
        rows.live(slot);
        for time in times {
            rows.event(slot, "login", time * SECOND, &[]);
        }
    }
    rows.build()
}

fn followed(plan: &Arc<Plan>, columns: &Block, now: i64) -> Following {
    let revision = Revision { segment: "keen".parse().unwrap(), number: 1 };
    let mut following =
        Following::begin((revision, true, Arc::clone(plan)), columns, (now, &Causes::default()));
    following.take();
    following
}

/// What crossed, in the order of the moments: second, slot, direction.
fn told(crossings: &[Crossing]) -> Vec<(i64, u16, Direction)> {
    let each = |crossing: &Crossing| {
        let second = crossing.time.timestamp();
        crossing.each().map(|(slot, direction)| (second, slot, direction)).collect::<Vec<_>>()
    };
    let mut told: Vec<_> = crossings.iter().flat_map(each).collect();
    told.sort_by_key(|(second, slot, _)| (*second, *slot));
    told
}

fn everything(_slot: u16) -> i64 {
    i64::MAX
}

#[test]
fn a_window_that_closes_is_told_at_its_moment_however_late() {
    let plan = keen();
    let columns = columns(&plan, &[vec![10, 20], vec![10]]);
    for late in [110, 111, 5_000, 1_000_000] {
        let mut following = followed(&plan, &columns, 50 * SECOND);
        assert_eq!(following.next(), Some(110 * SECOND));
        following.pass(&columns, (late * SECOND, everything), &mut 100);
        let (form, crossings) = following.take();
        assert_eq!(form, Some(Form::Whole));
        assert_eq!(told(&crossings), [(110, 0, Direction::Left)]);
        assert_eq!(following.next(), None);
    }
}

#[test]
fn what_the_budget_leaves_over_comes_next() {
    let plan = keen();
    let columns = columns(&plan, &vec![vec![10, 20]; 10]);
    let mut following = followed(&plan, &columns, 50 * SECOND);
    let mut budget = 4;
    following.pass(&columns, (200 * SECOND, everything), &mut budget);
    assert_eq!((budget, following.take().1[0].len()), (0, 4));
    assert_eq!(following.next(), Some(110 * SECOND));
    following.pass(&columns, (200 * SECOND, everything), &mut 100);
    assert_eq!(following.take().1[0].len(), 6);
    assert!(following.members.is_empty());
}

#[test]
fn whom_something_happened_to_before_its_moment_does_not_leave_at_it() {
    let plan = keen();
    let before = columns(&plan, &[vec![10, 20]]);
    let after = columns(&plan, &[vec![10, 20, 109]]);
    let mut following = followed(&plan, &before, 50 * SECOND);
    let change = Change {
        id: 1,
        cause: Cause::Event,
        age: 3 * SECOND,
        slots: Some(vec![0]),
        names: Some(vec!["login".to_owned()]),
        times: Vec::new(),
    };
    let now = 112 * SECOND;
    let causes = Causes::new(&[change], plan.mentions(), now);
    following.pass(&before, (now, |slot| causes.moment(slot).unwrap_or(now)), &mut 100);
    following.reconsider(&after, &causes, now);
    assert!(following.take().1.is_empty());
    assert_eq!(following.next(), Some(120 * SECOND));
}

proptest! {
    #[test]
    fn time_that_passes_in_pieces_is_told_as_by_brute_force(
        logins in vec(vec(0_i64..400, 0..6), 1..5),
        steps in vec(1_i64..900, 1..6),
        budgets in vec(1_usize..5, 1..40),
    ) {
        let plan = keen();
        let columns = columns(&plan, &logins);
        let mut following = followed(&plan, &columns, 0);
        let mut members: Vec<bool> =
            (0..).zip(&logins).map(|(slot, _)| following.members.contains(slot)).collect();
        let mut expected = Vec::new();
        let mut found = Vec::new();
        let mut budgets = budgets.into_iter();
        let mut now = 0;
        for step in steps {
            for second in now + 1..=now + step {
                for (slot, times) in (0..).zip(&logins) {
                    let recent = times.iter().filter(|time| **time > second - 100 && **time <= second);
                    let is_member = recent.count() >= 2;
                    if is_member != members[usize::from(slot)] {
                        members[usize::from(slot)] = is_member;
                        let direction = if is_member { Direction::Entered } else { Direction::Left };
                        expected.push((second, slot, direction));
                    }
                }
            }
            now += step;
            loop {
                let mut budget = budgets.next().unwrap_or(100);
                following.pass(&columns, (now * SECOND, everything), &mut budget);
                found.extend(told(&following.take().1));
                if following.next().is_none_or(|next| next > now * SECOND) {
                    break;
                }
            }
        }
        found.sort_by_key(|(second, slot, _)| (*second, *slot));
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn few_changes_are_written_beside_until_one_was_erased_of_whom_they_tell() {
    let plan = keen();
    let columns = columns(&plan, &[vec![10, 20], vec![15, 25], vec![95, 99]]);
    let mut following = followed(&plan, &columns, 100 * SECOND);
    following.stored = Some(Version { number: 1, digest: 0 });
    let form = |following: &mut Following| following.take().0;
    assert_eq!(form(&mut following), None);
    following.pass(&columns, (110 * SECOND, everything), &mut 100);
    assert_eq!(form(&mut following), Some(Form::Beside(vec![0, 0])));
    following.pass(&columns, (115 * SECOND, everything), &mut 100);
    assert_eq!(form(&mut following), Some(Form::Beside(vec![0, 0, 1, 0])));

    let erased = |slot| Change {
        id: 1,
        cause: Cause::ContactErased,
        age: 0,
        slots: Some(vec![slot]),
        names: None,
        times: Vec::new(),
    };
    // Of this one nothing is stored but what is whole, which is not wrong.
    let now = 116 * SECOND;
    let others = Causes::new(&[erased(7)], plan.mentions(), now);
    following.reconsider(&columns, &others, now);
    assert_eq!(form(&mut following), None);
    let of_one_who_left = Causes::new(&[erased(1)], plan.mentions(), now);
    following.reconsider(&columns, &of_one_who_left, now);
    assert_eq!(form(&mut following), Some(Form::Whole));
}
