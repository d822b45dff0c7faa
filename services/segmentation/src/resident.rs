//! A block in memory: the columns that the segments' rules ask about, and each revision that is followed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cursus_audience::{Block, Mentions, Patch, Plan};
use sqlx::PgConnection;

use crate::attribute::Vocabulary;
use crate::block::{BlockName, Change, few};
use crate::blocks::{self, Extent};
use crate::causes::Causes;
use crate::error::Error;
use crate::following::{Following, earlier, moment};
use crate::membership::Stored;
use crate::store::segments::Revision;
use crate::transition::Cause;

/// A block as of the last evaluation.
#[derive(Debug)]
pub(crate) struct Resident {
    pub(crate) columns: Block,
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) followed: Vec<Following>,
    /// What Postgres has as the moment of the next change, which is never too late.
    pub(crate) stored_next: Option<DateTime<Utc>>,
}

/// A revision to be followed: whether it is the one that is read, and its rule.
pub(crate) type Wanted = (Revision, bool, Arc<Plan>);

/// Where a block is read from, and as of when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) block: &'a BlockName,
    pub(crate) contact_count: i32,
    pub(crate) now: DateTime<Utc>,
}

impl Resident {
    /// Reads a block of which nothing is known, as it was when something in it was due next, and lets the time pass
    /// since then. What changed meanwhile is taken in as of now.
    pub(crate) async fn load(
        tx: &mut PgConnection,
        source: Source<'_>,
        (vocabulary, wanted): (Arc<Vocabulary>, Vec<(Wanted, Option<Stored>)>),
        (changes, stored_next): (&[Change], Option<DateTime<Utc>>),
    ) -> Result<Self, Error> {
        let now = source.now.timestamp_micros();
        let due = stored_next.map(|next| next.timestamp_micros()).filter(|next| *next <= now);
        let as_of = due.map_or(now, |due| due - 1);
        let mut mentions = Mentions::default();
        for ((_, _, plan), _) in &wanted {
            mentions.merge(plan.mentions());
        }
        let extent =
            Extent { block: source.block, contact_count: source.contact_count, slots: None };
        let columns = blocks::load(tx, extent, &vocabulary, mentions, moment(as_of)).await?;
        let follow = |(wanted, stored): (Wanted, Option<Stored>)| {
            let causes = Causes::new(changes, wanted.2.mentions(), now);
            match stored {
                Some(stored) => Following::resume(wanted, stored, &columns, (as_of, &causes)),
                None => Following::begin(wanted, &columns, (now, &causes)),
            }
        };
        let followed = wanted.into_iter().map(follow).collect();
        Ok(Self { columns, vocabulary, followed, stored_next })
    }

    /// Lets time pass, as far as the budget allows. Contacts to whom something happened stay what they were, from then
    /// on; of a block that was just read, from the start, for what was before is not known.
    pub(crate) fn pass(&mut self, changes: &[Change], now: i64, budget: &mut usize, is_new: bool) {
        let Self { columns, followed, .. } = self;
        for following in followed.iter_mut().filter(|it| it.next().is_some_and(|it| it <= now)) {
            let causes = Causes::new(changes, following.plan.mentions(), now);
            let until = |slot| match causes.moment(slot) {
                Some(_) if is_new => i64::MIN,
                Some(happened) => happened,
                None => now,
            };
            following.pass(columns, (now, until), budget);
        }
    }

    /// Reads those again to whom something happened. Time must have passed before.
    pub(crate) async fn patch(
        &mut self,
        tx: &mut PgConnection,
        source: Source<'_>,
        changes: &[Change],
    ) -> Result<(), Error> {
        let mentions = self.columns.mentions().clone();
        let Touched { slots, events, more } = Touched::of(changes, &mentions);
        let Source { block, contact_count, now } = source;
        let mut patches = blocks::read_events(tx, block, (&mentions, now), &events).await?;
        patches.extend(more.into_iter().map(|(name, times)| {
            let slots = times.iter().map(|(slot, _)| *slot);
            let mut patch = Patch::more_of_event(&mentions, name, slots);
            for (slot, time) in times {
                patch.rows().event(slot, name, time, &[]);
            }
            patch
        }));
        if !slots.is_empty() {
            let slots: Vec<u16> = slots.into_iter().collect();
            let mut patch = Patch::new(mentions.clone(), slots.iter().copied());
            let extent = Extent { block, contact_count, slots: Some(&slots) };
            blocks::read(tx, extent, &self.vocabulary, &mentions, (now, patch.rows())).await?;
            patches.push(patch);
        }
        // What is due still was not asked about yet, so nothing that it depends on may be forgotten.
        let now = now.timestamp_micros();
        let asked = self.next().map_or(now, |next| (next - 1).min(now));
        for patch in patches {
            self.columns.replace(patch, asked);
        }
        Ok(())
    }

    /// Asks again about those to whom something happened, and whose columns are new.
    pub(crate) fn reconsider(&mut self, changes: &[Change], now: i64) {
        let Self { columns, followed, .. } = self;
        for following in followed {
            let causes = Causes::new(changes, following.plan.mentions(), now);
            following.reconsider(columns, &causes, now);
        }
    }

    /// Follows other revisions from now on, or the same in another part. Those that are new are to be
    /// [taken up](Self::take_up) and are returned.
    pub(crate) fn refollow(
        &mut self,
        wanted: Vec<(Wanted, Option<Stored>)>,
    ) -> Vec<(Wanted, Option<Stored>)> {
        let mut kept = Vec::new();
        let mut new = Vec::new();
        for (wanted, stored) in wanted {
            let known = self.followed.iter().position(|it| it.revision == wanted.0);
            match known.map(|index| self.followed.swap_remove(index)) {
                Some(mut following) => {
                    following.served = wanted.1;
                    kept.push(following);
                }
                None => new.push((wanted, stored)),
            }
        }
        self.followed = kept;
        new
    }

    /// Takes up revisions whose columns may not be there yet.
    pub(crate) async fn take_up(
        &mut self,
        tx: &mut PgConnection,
        source: Source<'_>,
        new: Vec<(Wanted, Option<Stored>)>,
        changes: &[Change],
    ) -> Result<(), Error> {
        let mut mentions = Mentions::default();
        for it in &self.followed {
            mentions.merge(it.plan.mentions());
        }
        for ((_, _, plan), _) in &new {
            mentions.merge(plan.mentions());
        }
        self.columns.forget(&mentions);
        self.widen(tx, source, &mentions).await?;
        let now = source.now.timestamp_micros();
        for (wanted, stored) in new {
            let causes = Causes::new(changes, wanted.2.mentions(), now);
            self.followed.push(match stored {
                Some(stored) => Following::resume(wanted, stored, &self.columns, (now, &causes)),
                None => Following::begin(wanted, &self.columns, (now, &causes)),
            });
        }
        Ok(())
    }

    /// Reads the columns that are not there of those that are mentioned. Everything that the transaction sees must have
    /// been taken in.
    pub(crate) async fn widen(
        &mut self,
        tx: &mut PgConnection,
        source: Source<'_>,
        mentions: &Mentions,
    ) -> Result<(), Error> {
        let missing = self.columns.mentions().missing(mentions);
        if missing != Mentions::default() {
            let Source { block, contact_count, now } = source;
            let extent = Extent { block, contact_count, slots: None };
            let columns = blocks::load(tx, extent, &self.vocabulary, missing, now).await?;
            self.columns.absorb(columns);
        }
        Ok(())
    }

    /// When somebody is to be asked next.
    pub(crate) fn next(&self) -> Option<i64> {
        self.followed.iter().map(Following::next).fold(None, earlier)
    }

    /// What Postgres is to have as the moment of the next change (none is a moment, too), if that is not enough which it
    /// has.
    #[expect(clippy::option_option, reason = "one is whether to store, the other what")]
    pub(crate) fn next_to_store(&self, now: i64) -> Option<Option<DateTime<Utc>>> {
        let stored = self.stored_next.map(|stored| stored.timestamp_micros());
        let next = self.next();
        let is_enough = match (stored, next) {
            (None, None) => true,
            (Some(stored), Some(next)) => stored == next || stored > now && stored < next,
            (Some(stored), None) => stored > now,
            (None, Some(_)) => false,
        };
        (!is_enough).then(|| next.map(moment))
    }

    /// Roughly how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.columns.bytes()
            + self.followed.iter().map(Following::bytes).sum::<usize>()
    }

    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        Self {
            columns: cursus_audience::BlockBuilder::new(Mentions::default()).build(),
            vocabulary: Arc::new(Vocabulary::new([])),
            followed: Vec::new(),
            stored_next: None,
        }
    }
}

/// What is to be read again after some changes.
#[derive(Debug, Default)]
struct Touched<'a> {
    /// Of whom anything may have changed.
    slots: BTreeSet<u16>,
    /// By name, who of the others did something of which more is read than when it was, or not even that is known.
    events: BTreeMap<&'a str, BTreeSet<u16>>,
    /// By name, when somebody did what else there is: that need not be read.
    more: BTreeMap<&'a str, Vec<(u16, i64)>>,
}

impl<'a> Touched<'a> {
    fn of(changes: &'a [Change], mentions: &Mentions) -> Self {
        let mut touched = Self::default();
        let is_plain =
            |name: &str| mentions.events.get(name).is_none_or(|event| event.properties.is_empty());
        for change in changes {
            let slots = change.slots.iter().flatten().copied();
            match change.names.as_deref() {
                Some([name]) if !change.times.is_empty() && is_plain(name) => {
                    touched.more.entry(name).or_default().extend(&change.times);
                }
                Some(names) if change.cause == Cause::Event => {
                    for name in names {
                        touched.events.entry(name).or_default().extend(slots.clone());
                    }
                }
                _ => touched.slots.extend(slots),
            }
        }
        let Self { slots, events, more } = &mut touched;
        for those in events.values_mut() {
            those.retain(|slot| !slots.contains(slot));
        }
        events.retain(|_, those| !those.is_empty());
        for (name, times) in more.iter_mut() {
            let read = events.get(name);
            let is_read =
                |slot: &u16| slots.contains(slot) || read.is_some_and(|it| it.contains(slot));
            times.retain(|(slot, _)| !is_read(slot));
        }
        more.retain(|name, times| !times.is_empty() && mentions.events.contains_key(*name));
        touched
    }
}

/// Whether a block has so many changes, or such that may be of anybody, that it is better read as a whole.
pub(crate) fn is_mass(changes: &[Change]) -> bool {
    let all = |change: &Change| change.slots.is_none();
    let slots = changes.iter().filter_map(|change| change.slots.as_ref()).flatten();
    changes.iter().any(all) || few(slots.copied().collect()).is_none()
}
