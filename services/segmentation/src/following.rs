//! A revision of a rule as it is followed in one block: who is a member, and when each contact's answer may change by
//! time alone. Pure.
//!
//! Moments before a horizon are kept contact by contact; of those beyond, of which there are many more, only the first.
//! When that one comes, everybody is asked again up to the next horizon, so however late this is noticed, each moment is
//! found and is told as it was.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cursus_audience::{Bitset, Block, Outlook, Plan};

use crate::causes::Causes;
use crate::drift::{Drift, Form};
use crate::membership::{Stored, Version};
use crate::store::segments::Revision;
use crate::transition::{Cause, Crossing, Crossings, Direction, difference};

/// How far ahead contacts are remembered with their moments: ten minutes.
const HORIZON: i64 = 600_000_000;
/// After so many moments of one contact the rest is not told one by one: only whether it is a member now.
const MOST_MOMENTS: usize = 1_000;

/// A revision, with what is known of it in a block.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) revision: Revision,
    /// Whether its members are those of the segment, so that their changes are transitions.
    pub(crate) served: bool,
    pub(crate) plan: Arc<Plan>,
    pub(crate) members: Bitset,
    /// What is stored of the members; nothing where they were never computed.
    pub(crate) stored: Option<Version>,
    drift: Drift,
    is_changed: bool,
    due: Due,
    crossings: Crossings,
}

/// When contacts are to be asked again.
#[derive(Debug, Default)]
struct Due {
    moments: HashMap<u16, i64>,
    order: BTreeSet<(i64, u16)>,
    /// Up to where contacts are remembered.
    until: i64,
    /// The first moment from there on.
    later: Option<i64>,
}

impl Following {
    /// Takes a revision up with the members that are stored of it, as they were at a moment up to which nothing is
    /// missing.
    pub(crate) fn resume(
        (revision, served, plan): (Revision, bool, Arc<Plan>),
        Stored { members, drift, version }: Stored,
        columns: &Block,
        (as_of, causes): (i64, &Causes),
    ) -> Self {
        let mut following = Self::new((revision, served, plan), Some(version));
        (following.members, following.drift) = (members, drift);
        let found = following.look_ahead(columns, as_of);
        // Nothing but what happened to contacts should differ, and they are asked about by themselves.
        let (entered, left) = difference(&following.members, &found);
        let at = moment(as_of);
        for slot in entered.into_iter().chain(left).filter(|slot| causes.of(*slot).is_none()) {
            following.turn(slot, (at, Cause::Time));
        }
        following
    }

    /// Takes a revision up that was never computed in the block.
    pub(crate) fn begin(
        (revision, served, plan): (Revision, bool, Arc<Plan>),
        columns: &Block,
        (now, causes): (i64, &Causes),
    ) -> Self {
        let mut following = Self::new((revision, served, plan), None);
        following.is_changed = true;
        let found = following.look_ahead(columns, now);
        for slot in found.iter() {
            let cause = causes.of(slot).unwrap_or(Cause::ContactCreated);
            following.turn(slot, (moment(now), cause));
        }
        following
    }

    fn new((revision, served, plan): (Revision, bool, Arc<Plan>), stored: Option<Version>) -> Self {
        Self {
            revision,
            served,
            plan,
            members: Bitset::new(),
            stored,
            drift: Drift::default(),
            is_changed: false,
            due: Due::default(),
            crossings: Crossings::default(),
        }
    }

    /// Lets time pass: whoever is due up to now enters or leaves at its moment, the earliest first and at most as many
    /// as the budget allows. Contacts to whom something happened are left out from when it did; they are to be
    /// [reconsidered](Self::reconsider).
    pub(crate) fn pass(
        &mut self,
        columns: &Block,
        (now, until): (i64, impl Fn(u16) -> i64),
        budget: &mut usize,
    ) {
        loop {
            while let Some((first, slot)) = self.due.first().filter(|(first, _)| *first <= now) {
                if *budget == 0 {
                    return;
                }
                *budget -= 1;
                let until = until(slot).min(now);
                self.due.set(slot, None);
                if first <= until {
                    let next = self.walk(columns, slot, (first, until));
                    self.due.set(slot, next);
                }
            }
            if self.due.later.is_none_or(|later| later > now) {
                return;
            }
            // Everybody is asked as of just before what is due next, so that nothing is skipped.
            let as_of = self.due.until - 1;
            self.look_ahead_to(columns, as_of, now.saturating_add(HORIZON));
        }
    }

    /// Asks again about contacts to whom something happened.
    pub(crate) fn reconsider(&mut self, columns: &Block, causes: &Causes, now: i64) {
        let slots = causes.slots();
        let found = match &slots {
            None => {
                self.due = Due::default();
                self.look_ahead(columns, now)
            }
            Some(slots) if slots.is_empty() => return,
            Some(slots) => {
                let Outlook { bits, due, later } =
                    self.plan.outlook_of(slots, columns, now, self.due.until.max(now));
                for slot in slots {
                    self.due.set(*slot, None);
                }
                for (slot, moment) in due {
                    self.due.set(slot, Some(moment));
                }
                self.due.later = earlier(self.due.later, later);
                bits
            }
        };
        let turned: Vec<u16> = match slots {
            None => {
                let (entered, left) = difference(&self.members, &found);
                entered.into_iter().chain(left).collect()
            }
            Some(slots) => {
                let is_turned = |slot: &u16| self.members.contains(*slot) != found.contains(*slot);
                slots.into_iter().filter(is_turned).collect()
            }
        };
        for slot in turned {
            let cause = causes.of(slot).unwrap_or(Cause::Time);
            self.turn(slot, (moment(now), cause));
        }
        if causes.erased().any(|slot| self.drift.contains(slot)) {
            self.drift.end();
            self.is_changed = true;
        }
    }

    /// When somebody is to be asked next.
    pub(crate) fn next(&self) -> Option<i64> {
        earlier(self.due.first().map(|(first, _)| first), self.due.later)
    }

    /// How the members are to be written if they are, and who crossed; both are forgotten by this.
    pub(crate) fn take(&mut self) -> (Option<Form>, Vec<Crossing>) {
        let crossings = std::mem::take(&mut self.crossings);
        if self.stored.is_none() {
            self.drift.end();
        }
        let form = std::mem::take(&mut self.is_changed).then(|| self.drift.pack());
        (form, crossings.of(&self.revision).collect())
    }

    /// Roughly how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.members.words()) + 64 * self.due.moments.len()
    }

    /// Follows a contact from one moment up to another, and says when it is due next.
    fn walk(&mut self, columns: &Block, slot: u16, (first, until): (i64, i64)) -> Option<i64> {
        let mut at = first;
        for asked in 0.. {
            let (holds, next) = self.plan.evaluate_one(columns, slot, at);
            if holds != self.members.contains(slot) {
                self.turn(slot, (moment(at), Cause::Time));
            }
            match next {
                Some(next) if next <= until && at < until => {
                    at = if asked < MOST_MOMENTS { next } else { until };
                }
                next => return next,
            }
        }
        None
    }

    /// Has a contact be on the other side.
    fn turn(&mut self, slot: u16, (time, cause): (DateTime<Utc>, Cause)) {
        let direction = if self.members.contains(slot) {
            self.members.remove(slot);
            Direction::Left
        } else {
            self.members.insert(slot);
            Direction::Entered
        };
        self.drift.turn(slot);
        self.is_changed = true;
        if self.served {
            self.crossings.add(slot, direction, (time, cause));
        }
    }

    /// Asks about everybody, and says who belongs.
    fn look_ahead(&mut self, columns: &Block, as_of: i64) -> Bitset {
        self.look_ahead_to(columns, as_of, as_of.saturating_add(HORIZON))
    }

    fn look_ahead_to(&mut self, columns: &Block, as_of: i64, until: i64) -> Bitset {
        let Outlook { bits, due, later } = self.plan.outlook(columns, as_of, until);
        self.due = Due { until, later, ..Due::default() };
        for (slot, moment) in due {
            self.due.set(slot, Some(moment));
        }
        bits
    }
}

impl Due {
    fn first(&self) -> Option<(i64, u16)> {
        self.order.first().copied()
    }

    /// Beyond the horizon only the first moment is kept.
    fn set(&mut self, slot: u16, moment: Option<i64>) {
        if let Some(before) = self.moments.remove(&slot) {
            self.order.remove(&(before, slot));
        }
        match moment {
            Some(moment) if moment < self.until => {
                self.moments.insert(slot, moment);
                self.order.insert((moment, slot));
            }
            moment => self.later = earlier(self.later, moment),
        }
    }
}

pub(crate) fn earlier<T: Ord>(left: Option<T>, right: Option<T>) -> Option<T> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, other) => one.or(other),
    }
}

/// The engine counts in what a moment of Postgres is made of.
pub(crate) fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
