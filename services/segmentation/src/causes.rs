//! What brought a change of membership about: something that happened to the contact, or else nothing but time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cursus_audience::{Block, Mentions, Plan};

use crate::block::Change;
use crate::transition::{Cause, Direction};

/// After so many moments the rest is not told one by one: only who is a member now.
const MOST_MOMENTS: usize = 1_000;

/// What happened to the contacts of a block that a plan may care about.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    slots: HashMap<u16, Cause>,
    /// What may have happened to anybody.
    anybody: Option<Cause>,
}

impl Causes {
    /// Of what a plan mentions.
    pub(crate) fn new(changes: &[Change], mentions: &Mentions) -> Self {
        let mut causes = Self::default();
        for change in changes.iter().filter(|change| concerns(change, mentions)) {
            match &change.slots {
                None => causes.anybody = earlier(causes.anybody, change.cause),
                Some(slots) => {
                    for slot in slots {
                        let known = causes.slots.get(slot).copied();
                        causes.slots.extend(earlier(known, change.cause).map(|it| (*slot, it)));
                    }
                }
            }
        }
        causes
    }

    /// What happened to a contact, if anything did.
    pub(crate) fn of(&self, slot: u16) -> Option<Cause> {
        self.slots.get(&slot).copied().or(self.anybody)
    }
}

/// Whether a change is of something that is mentioned.
pub(crate) fn concerns(change: &Change, mentions: &Mentions) -> bool {
    let Some(names) = &change.names else { return true };
    names.iter().any(|name| {
        mentions.events.contains_key(name)
            || mentions.attributes.iter().any(|field| field.name == *name)
    })
}

/// The moments from one on and up to now at which a contact entered or left by time alone.
pub(crate) fn moments(
    (plan, columns): (&Plan, &Block),
    slot: u16,
    was_member: bool,
    (from, now): (i64, i64),
) -> Vec<(DateTime<Utc>, Direction)> {
    let mut found = Vec::new();
    let mut is_member = was_member;
    let mut moment = from.min(now);
    for asked in 0.. {
        let (holds, next) = plan.evaluate_one(columns, slot, moment);
        if holds != is_member {
            let direction = if holds { Direction::Entered } else { Direction::Left };
            found.extend(DateTime::from_timestamp_micros(moment).map(|time| (time, direction)));
            is_member = holds;
        }
        moment = match next {
            _ if asked == MOST_MOMENTS => break,
            Some(next) if next <= now && asked + 1 < MOST_MOMENTS => next,
            Some(next) if next <= now => now,
            _ => break,
        };
    }
    found
}

/// Of two causes the one that explains more.
fn earlier(known: Option<Cause>, cause: Cause) -> Option<Cause> {
    Some(known.map_or(cause, |known| known.min(cause)))
}
