//! For any workspace, contacts, rule and moment, plans find what the oracle finds, and know until when it holds.

use std::collections::BTreeMap;

use cursus_audience::{Bitset, Block, BlockBuilder, Limits, Plan, Rule};
use proptest::prelude::*;

use crate::data::{World, clocks, load, worlds};
use crate::oracle::Contact;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn members_are_those_of_the_oracle(world in worlds(), now in clocks()) {
        let (plan, block) = prepared(&world);
        let members: Vec<u16> = plan.evaluate(&block, now).bits.iter().collect();
        prop_assert_eq!(members, expected(&world, now));
    }

    #[test]
    fn one_at_a_time_agrees_with_the_whole_block(world in worlds(), now in clocks()) {
        let (plan, block) = prepared(&world);
        let membership = plan.evaluate(&block, now);
        let mut next_change: Option<i64> = None;
        for slot in world.contacts.keys() {
            let (belongs, next) = plan.evaluate_one(&block, *slot, now);
            prop_assert_eq!(belongs, membership.bits.contains(*slot));
            next_change = next_change.into_iter().chain(next).min();
        }
        prop_assert_eq!(next_change, membership.next_change);
    }

    #[test]
    fn nothing_changes_before_the_next_change(world in worlds(), now in clocks()) {
        let (plan, block) = prepared(&world);
        let (members, next) = (expected(&world, now), plan.evaluate(&block, now).next_change);
        prop_assert!(next.is_none_or(|next| next > now));
        for moment in world.moments().range(now + 1..) {
            if next.is_none_or(|next| *moment < next) {
                prop_assert_eq!(&expected(&world, *moment), &members, "at {} already", moment);
            }
        }
    }

    #[test]
    fn each_contact_stays_as_it_is_until_its_own_next_change(world in worlds(), now in clocks()) {
        let (plan, block) = prepared(&world);
        let moments = world.moments();
        for (slot, contact) in &world.contacts {
            let (belongs, next) = plan.evaluate_one(&block, *slot, now);
            prop_assert!(next.is_none_or(|next| next > now));
            for moment in moments.range(now + 1..) {
                if next.is_none_or(|next| *moment < next) {
                    prop_assert_eq!(world.holds(&world.rule, contact, *moment), belongs, "{}", moment);
                }
            }
        }
    }

    /// A scheduler that wakes at each next change sees every exit and entry, and does not wake for nothing for ever.
    #[test]
    fn following_next_changes_sees_all_of_the_future(world in worlds(), start in clocks()) {
        let (plan, block) = prepared(&world);
        let moments = world.moments();
        let mut timeline = BTreeMap::new();
        let mut now = Some(start);
        while let Some(moment) = now {
            let membership = plan.evaluate(&block, moment);
            timeline.insert(moment, membership.bits.iter().collect::<Vec<_>>());
            let next = membership.next_change;
            prop_assert!(next.is_none_or(|next| next > moment), "time stood still");
            prop_assert!(next.is_none_or(|next| moments.contains(&next)), "woke for nothing");
            now = next;
        }
        for moment in moments.range(start..) {
            let (_, members) = timeline.range(..=moment).next_back().unwrap();
            prop_assert_eq!(members, &expected(&world, *moment));
        }
    }

    #[test]
    fn a_funnel_removes_clause_by_clause(world in worlds(), now in clocks()) {
        let (plan, block) = prepared(&world);
        let clauses = match &world.rule {
            Rule::All(clauses) => clauses.clone(),
            rule => vec![rule.clone()],
        };
        let funnel = plan.funnel(&block, now);
        prop_assert_eq!(funnel.len(), clauses.len());
        for (index, step) in funnel.iter().enumerate() {
            let left = |contact: &&Contact| {
                clauses[..=index].iter().all(|clause| world.holds(clause, contact, now))
            };
            prop_assert_eq!(step.remaining as usize, world.contacts.values().filter(left).count());
            prop_assert_eq!(&step.text, &clauses[index].to_string());
        }
    }

    #[test]
    fn who_is_not_live_is_in_nothing(world in worlds(), now in clocks()) {
        let plan = plan(&world);
        let everybody = load(&world.contacts, plan.mentions());
        let mut nobody = BlockBuilder::new(plan.mentions().clone());
        for (slot, contact) in &world.contacts {
            for event in &contact.events {
                nobody.event(*slot, &event.name, event.time, &[]);
            }
        }
        let nobody = nobody.build();
        prop_assert_eq!(plan.evaluate(&nobody, now).bits, Bitset::new());
        prop_assert_eq!(plan.evaluate(&nobody, now).next_change, None);
        for slot in (0..=200).filter(|slot| !everybody.live().contains(*slot)) {
            prop_assert_eq!(plan.evaluate_one(&everybody, slot, now), (false, None));
        }
    }

    #[test]
    fn a_block_loaded_for_two_plans_answers_both(left in worlds(), right in worlds(), now in clocks()) {
        let mut right = right;
        right.attributes.clone_from(&left.attributes);
        let Ok(second) = Plan::compile(&right.rule, &right.schema(), Limits::default()) else {
            return Ok(());
        };
        let first = plan(&left);
        let mut wanted = first.mentions().clone();
        wanted.merge(second.mentions());
        prop_assert!(wanted.covers(first.mentions()) && wanted.covers(second.mentions()));
        let both = load(&left.contacts, &wanted);
        for plan in [first, second] {
            let alone = load(&left.contacts, plan.mentions());
            prop_assert_eq!(plan.evaluate(&both, now), plan.evaluate(&alone, now));
        }
    }
}

pub(crate) fn plan(world: &World) -> Plan {
    Plan::compile(&world.rule, &world.schema(), Limits::default()).expect("random rules are sound")
}

/// The plan, and a block loaded for it.
fn prepared(world: &World) -> (Plan, Block) {
    let plan = plan(world);
    let block = load(&world.contacts, plan.mentions());
    (plan, block)
}

fn expected(world: &World, now: i64) -> Vec<u16> {
    let members =
        world.contacts.iter().filter(|(_, contact)| world.holds(&world.rule, contact, now));
    members.map(|(slot, _)| *slot).collect()
}
