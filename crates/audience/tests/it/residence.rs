//! A block that stays in memory, through whatever changes, answers as one loaded afresh from the same data.

use std::collections::BTreeMap;

use cursus_audience::{
    Block, BlockBuilder, EventMention, Limits, Mentions, Patch, Plan, RuleText, Schema,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::data::{EVENTS, SECOND, World, clocks, load, load_rows, whole_seconds, worlds};
use crate::oracle::Contact;
use crate::properties::plan;
use crate::rules::rules;

/// What happens to a resident block.
#[derive(Clone, Debug)]
enum Change {
    /// Contacts are replaced by others, or by nobody.
    Replace(BTreeMap<u16, Option<Contact>>),
    /// Contacts who are there have done what others did of one name, or nothing; all else of theirs stays.
    Events(&'static str, BTreeMap<u16, Option<Contact>>),
    /// Contacts who are there do more of one name.
    MoreEvents(&'static str, BTreeMap<u16, Contact>),
    /// A plan comes; what it reads and the block lacks is loaded.
    Absorb(usize),
    /// Only one plan is still of interest.
    Forget(usize),
    Compact,
}

/// Rules about the same contacts.
const RULES: usize = 3;

fn changes(world: &World) -> impl Strategy<Value = Vec<Change>> + use<> {
    let contacts: Vec<Contact> = world.contacts.values().cloned().collect();
    let replaced = if contacts.is_empty() {
        Just(None).boxed()
    } else {
        proptest::option::weighted(0.8, select(contacts.clone())).boxed()
    };
    let slots = prop_oneof![30 => 0_u16..70, 1 => 300_u16..400];
    let replace = proptest::collection::btree_map(slots, replaced.clone(), 1..10);
    let events = proptest::collection::btree_map(0_u16..70, replaced, 1..10);
    let events = (select(&EVENTS[..]), events);
    let more = if contacts.is_empty() {
        Just(BTreeMap::new()).boxed()
    } else {
        proptest::collection::btree_map(0_u16..70, select(contacts), 1..10).boxed()
    };
    let more = (select(&EVENTS[..]), more);
    vec(
        prop_oneof![
            6 => replace.prop_map(Change::Replace),
            4 => more.prop_map(|(name, contacts)| Change::MoreEvents(name, contacts)),
            4 => events.prop_map(|(name, contacts)| Change::Events(name, contacts)),
            1 => (0..RULES).prop_map(Change::Absorb),
            1 => (0..RULES).prop_map(Change::Forget),
            1 => Just(Change::Compact),
        ],
        1..12,
    )
}

/// Worlds of one schema that differ in their rules, and what happens to them.
fn histories() -> impl Strategy<Value = (Vec<World>, Vec<Change>)> {
    let worlds = worlds().prop_flat_map(|world| {
        let rules = vec(rules(&world.attributes, &["s0", "s1", "s2"]), RULES);
        rules.prop_map(move |rules| {
            rules.into_iter().map(|rule| World { rule, ..world.clone() }).collect::<Vec<_>>()
        })
    });
    let worlds = (worlds, any::<bool>()).prop_map(|(mut worlds, is_whole)| {
        if is_whole {
            worlds.iter_mut().for_each(whole_seconds);
        }
        worlds
    });
    worlds.prop_flat_map(|worlds| {
        let changes = changes(&worlds[0]);
        (Just(worlds), changes)
    })
}

/// Loads what a block has to know of some slots, whoever has them.
fn patch(contacts: &BTreeMap<u16, Contact>, wanted: &Mentions, slots: &[u16]) -> Patch {
    let mut patch = Patch::new(wanted.clone(), slots.iter().copied());
    // A loader may find more than it looked for.
    load_rows(contacts, patch.rows());
    patch
}

fn extend(block: &mut Block, plan: &Plan, contacts: &BTreeMap<u16, Contact>) {
    let missing = block.mentions().missing(plan.mentions());
    block.absorb(load(contacts, &missing));
    assert!(block.mentions().covers(plan.mentions()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_resident_block_answers_as_a_fresh_one((worlds, changes) in histories(), now in clocks()) {
        let plans: Vec<Plan> = worlds.iter().map(plan).collect();
        let mut contacts = worlds[0].contacts.clone();
        let mut block = load(&contacts, plans[0].mentions());
        for change in changes {
            match change {
                Change::Replace(replaced) => {
                    for (slot, contact) in &replaced {
                        match contact {
                            Some(contact) => drop(contacts.insert(*slot, contact.clone())),
                            None => drop(contacts.remove(slot)),
                        }
                    }
                    let slots: Vec<u16> = replaced.into_keys().collect();
                    let patch = patch(&contacts, block.mentions(), &slots);
                    block.replace(patch, now);
                }
                Change::Events(name, others) => {
                    let mut slots = Vec::new();
                    for (slot, other) in others {
                        let Some(contact) = contacts.get_mut(&slot) else { continue };
                        contact.events.retain(|event| event.name != name);
                        let did = other.into_iter().flat_map(|other| other.events);
                        contact.events.extend(did.filter(|event| event.name == name));
                        slots.push(slot);
                    }
                    let mut patch = Patch::of_event(block.mentions(), name, slots);
                    load_rows(&contacts, patch.rows());
                    block.replace(patch, now);
                }
                Change::MoreEvents(name, others) => {
                    let is_read = |event: &EventMention| !event.properties.is_empty();
                    if block.mentions().events.get(name).is_some_and(is_read) {
                        continue;
                    }
                    let mut more = BTreeMap::new();
                    for (slot, other) in others {
                        let Some(contact) = contacts.get_mut(&slot) else { continue };
                        let mut other = other.clone();
                        other.events.retain(|event| event.name == name);
                        contact.events.extend(other.events.iter().cloned());
                        more.insert(slot, other);
                    }
                    let slots = more.keys().copied();
                    let mut patch = Patch::more_of_event(block.mentions(), name, slots);
                    load_rows(&more, patch.rows());
                    block.replace(patch, now);
                }
                Change::Absorb(index) => extend(&mut block, &plans[index], &contacts),
                Change::Forget(index) => {
                    block.forget(plans[index].mentions());
                    prop_assert!(plans[index].mentions().covers(block.mentions()));
                }
                Change::Compact => block.compact(now),
            }
            for (plan, world) in plans.iter().zip(&worlds) {
                if !block.mentions().covers(plan.mentions()) {
                    continue;
                }
                let fresh = load(&contacts, plan.mentions());
                prop_assert_eq!(plan.evaluate(&block, now), plan.evaluate(&fresh, now));
                let expected: Vec<u16> = contacts
                    .iter()
                    .filter(|(_, contact)| world.holds(&world.rule, contact, now))
                    .map(|(slot, _)| *slot)
                    .collect();
                prop_assert_eq!(plan.evaluate(&block, now).bits.iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}

fn logins() -> Plan {
    let text = r#"events("login").within("1000s").count() >= 3"#;
    let limits = Limits::default();
    let rule = RuleText::parse(text, &limits).expect("it is a rule");
    rule.compile(&Schema::default(), limits).expect("the rule is sound")
}

/// Follows a contact who logs in every second, and is replaced each time, far longer than the window.
#[test]
fn memory_does_not_grow_for_ever() {
    let plan = logins();
    let mut rows = BlockBuilder::new(plan.mentions().clone());
    for slot in 0..64 {
        rows.live(slot);
        (0..100).for_each(|second| rows.event(slot, "login", second * SECOND, &[]));
    }
    let mut block = rows.build();
    let before = block.bytes();
    let mut most = 0;
    for now in 100..5_000 {
        let mut patch = Patch::new(plan.mentions().clone(), [7]);
        patch.rows().live(7);
        let recent = (now - 100).max(0)..=now;
        recent.for_each(|second| patch.rows().event(7, "login", second * SECOND, &[]));
        block.replace(patch, now * SECOND);
        most = most.max(block.bytes());
    }
    assert!(most < before + 200_000, "{before} bytes became {most}");
    let found = plan.evaluate(&block, 5_000 * SECOND);
    assert_eq!(found.bits.iter().collect::<Vec<_>>(), [7]);
    assert_eq!(found.next_change, Some(5_997 * SECOND));
}

#[test]
fn a_patch_that_was_loaded_for_less_is_refused() {
    let plan = logins();
    let mut block = BlockBuilder::new(plan.mentions().clone()).build();
    let patch = Patch::new(Mentions::default(), [7]);
    let replace = std::panic::AssertUnwindSafe(|| block.replace(patch, 0));
    assert!(std::panic::catch_unwind(replace).is_err());
}
