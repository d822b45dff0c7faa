//! Blocks with many contacts, in which words of bits are full: every way to ask about some finds the same.

use std::collections::BTreeMap;

use cursus_audience::{Bitset, Outlook};
use proptest::collection::btree_set;
use proptest::prelude::*;

use crate::data::{SECOND, World, clocks, load, whole_seconds, worlds};
use crate::oracle::{Contact, Stored};
use crate::properties::plan;

/// A world whose contacts are on many slots, each a little older than the one before.
fn crowds() -> impl Strategy<Value = World> {
    let worlds = worlds().prop_filter("somebody is there", |world| !world.contacts.is_empty());
    (worlds, any::<bool>()).prop_map(|(mut world, is_whole)| {
        if is_whole {
            whole_seconds(&mut world);
        }
        let someone: Vec<Contact> = world.contacts.values().cloned().collect();
        let repeated = (0_u16..150).zip(someone.iter().cycle());
        let crowd: BTreeMap<u16, Contact> = repeated
            .map(|(slot, contact)| (slot, older(contact.clone(), i64::from(slot / 8) * SECOND)))
            .collect();
        World { contacts: crowd, ..world }
    })
}

fn older(mut contact: Contact, by: i64) -> Contact {
    contact.events.iter_mut().for_each(|event| event.time -= by);
    for value in contact.attributes.values_mut() {
        if let Stored::Time(time) = value {
            *time -= by;
        }
    }
    contact
}

/// Whether the one moment comes before the other or with it; none is never.
fn is_no_later(one: Option<i64>, other: Option<i64>) -> bool {
    other.is_none_or(|other| one.is_some_and(|one| one <= other))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn members_of_a_crowd_are_those_of_the_oracle(world in crowds(), now in clocks()) {
        let plan = plan(&world);
        let found = plan.evaluate(&load(&world.contacts, plan.mentions()), now);
        let members = world.contacts.iter();
        let members = members.filter(|(_, contact)| world.holds(&world.rule, contact, now));
        prop_assert_eq!(found.bits, members.map(|(slot, _)| *slot).collect::<Bitset>());
    }

    #[test]
    fn who_is_due_in_a_crowd_is_who_is_due_alone(
        world in crowds(),
        now in clocks(),
        ahead in 0_i64..20,
    ) {
        let plan = plan(&world);
        let block = load(&world.contacts, plan.mentions());
        let until = now + ahead * SECOND;
        let membership = plan.evaluate(&block, now);
        let outlook = plan.outlook(&block, now, until);
        prop_assert_eq!(&outlook.bits, &membership.bits);
        prop_assert_eq!(outlook.next_change(), membership.next_change);
        let alone = |slot: &u16| Some((*slot, plan.evaluate_one(&block, *slot, now).1?));
        let due: Vec<(u16, i64)> = world.contacts.keys().filter_map(alone).collect();
        let (soon, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, at)| *at < until);
        prop_assert_eq!(&outlook.due, &soon);
        let first = later.into_iter().map(|(_, moment)| moment).min();
        // Somebody who is due may have a reason to be due again, perhaps before all others.
        prop_assert!(is_no_later(outlook.later, first), "{:?} {first:?}", outlook.later);
        prop_assert!(outlook.later.is_none_or(|later| later >= until));
        if soon.is_empty() {
            prop_assert_eq!(outlook.later, first);
        }
    }

    #[test]
    fn asking_about_some_finds_what_asking_about_all_does(
        world in crowds(),
        slots in prop_oneof![btree_set(0_u16..160, 0..10), btree_set(0_u16..160, 65..140)],
        now in clocks(),
        ahead in 0_i64..20,
    ) {
        let plan = plan(&world);
        let block = load(&world.contacts, plan.mentions());
        let until = now + ahead * SECOND;
        let slots: Vec<u16> = slots.into_iter().collect();
        let Outlook { bits, due, later } = plan.outlook_of(&slots, &block, now, until);
        let all = plan.outlook(&block, now, until);
        let mut asked: Bitset = slots.iter().copied().collect();
        let expected_due: Vec<_> =
            all.due.iter().copied().filter(|(slot, _)| asked.contains(*slot)).collect();
        asked &= &all.bits;
        prop_assert_eq!(bits, asked);
        prop_assert_eq!(due, expected_due);
        prop_assert!(is_no_later(all.later, later), "{:?} {later:?}", all.later);
    }
}
