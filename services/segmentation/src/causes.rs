//! What brought a change of membership about: something that happened to the contact, or else nothing but time.

use std::collections::BTreeMap;

use cursus_audience::Mentions;

use crate::block::Change;
use crate::transition::Cause;

/// What happened to the contacts of a block that a plan may care about.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    slots: BTreeMap<u16, Happened>,
    /// What may have happened to anybody.
    anybody: Option<Happened>,
}

/// What explains most, and when the first of it was.
#[derive(Clone, Copy, Debug)]
struct Happened {
    cause: Cause,
    moment: i64,
}

impl Causes {
    /// Of what a plan mentions. Changes are as old as they say at `now`.
    pub(crate) fn new(changes: &[Change], mentions: &Mentions, now: i64) -> Self {
        let mut causes = Self::default();
        for change in changes.iter().filter(|change| concerns(change, mentions)) {
            let happened = Happened { cause: change.cause, moment: now - change.age.max(0) };
            match &change.slots {
                None => causes.anybody = Some(happened.and(causes.anybody)),
                Some(slots) => {
                    for slot in slots {
                        let known = causes.slots.get(slot).copied();
                        causes.slots.insert(*slot, happened.and(known));
                    }
                }
            }
        }
        causes
    }

    /// What happened to a contact, if anything did.
    pub(crate) fn of(&self, slot: u16) -> Option<Cause> {
        self.at(slot).map(|happened| happened.cause)
    }

    /// When something first happened to a contact.
    pub(crate) fn moment(&self, slot: u16) -> Option<i64> {
        self.at(slot).map(|happened| happened.moment)
    }

    /// To whom something happened; `None` if it may be anybody.
    pub(crate) fn slots(&self) -> Option<Vec<u16>> {
        self.anybody.is_none().then(|| self.slots.keys().copied().collect())
    }

    /// Who was erased.
    pub(crate) fn erased(&self) -> impl Iterator<Item = u16> {
        let erased = self.slots.iter().filter(|(_, it)| it.cause == Cause::ContactErased);
        erased.map(|(slot, _)| *slot)
    }

    fn at(&self, slot: u16) -> Option<Happened> {
        self.slots.get(&slot).copied().or(self.anybody)
    }
}

impl Happened {
    fn and(self, known: Option<Self>) -> Self {
        known.map_or(self, |known| Self {
            cause: self.cause.min(known.cause),
            moment: self.moment.min(known.moment),
        })
    }
}

/// Whether a change is of something that is mentioned.
fn concerns(change: &Change, mentions: &Mentions) -> bool {
    let Some(names) = &change.names else { return true };
    names.iter().any(|name| {
        mentions.events.contains_key(name)
            || mentions.attributes.iter().any(|field| field.name == *name)
    })
}

#[cfg(test)]
mod tests {
    use cursus_audience::{EventMention, Field, Kind};

    use super::*;

    fn change(cause: Cause, age: i64, slots: Option<&[u16]>, names: Option<&[&str]>) -> Change {
        Change {
            id: 0,
            cause,
            age,
            slots: slots.map(<[u16]>::to_vec),
            names: names.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            times: Vec::new(),
        }
    }

    fn mentions() -> Mentions {
        let mut mentions = Mentions::default();
        mentions.attributes.insert(Field { name: "plan".to_owned(), kind: Kind::Text });
        mentions.events.insert("login".to_owned(), EventMention::default());
        mentions
    }

    #[test]
    fn only_those_are_asked_about_of_whom_something_changed_that_is_mentioned() {
        let check = |changes: &[Change], expected: Option<&[u16]>| {
            let causes = Causes::new(changes, &mentions(), 100);
            assert_eq!(causes.slots().as_deref(), expected, "{changes:?}");
        };
        let attribute = |slots, names| change(Cause::Attribute, 0, slots, names);
        check(&[], Some(&[]));
        check(&[attribute(Some(&[3]), Some(&["email", "logout"]))], Some(&[]));
        check(&[attribute(None, Some(&["email"]))], Some(&[]));
        check(&[attribute(Some(&[]), Some(&[]))], Some(&[]));
        check(&[attribute(Some(&[3]), Some(&["email", "plan"]))], Some(&[3]));
        let several = [attribute(Some(&[3, 9]), None), attribute(Some(&[1]), Some(&["login"]))];
        check(&several, Some(&[1, 3, 9]));
        check(&[attribute(None, Some(&["plan"]))], None);
    }

    #[test]
    fn the_cause_that_explains_most_is_told_and_the_first_moment_counts() {
        let changes = [
            change(Cause::Attribute, 30, Some(&[1, 2]), Some(&["plan"])),
            change(Cause::Event, 10, Some(&[2]), Some(&["login"])),
            change(Cause::ContactCreated, 20, Some(&[3]), None),
        ];
        let causes = Causes::new(&changes, &mentions(), 100);
        let told = |slot| (causes.of(slot), causes.moment(slot));
        assert_eq!(told(1), (Some(Cause::Attribute), Some(70)));
        assert_eq!(told(2), (Some(Cause::Event), Some(70)));
        assert_eq!(told(3), (Some(Cause::ContactCreated), Some(80)));
        assert_eq!(told(4), (None, None));
    }
}
