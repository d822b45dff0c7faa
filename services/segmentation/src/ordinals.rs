//! Which ordinal a contact has: remembered, because nearly every question asks for it, and no longer believed once the
//! contact has departed, on whichever replica that was.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cursus_audience::Bitset;
use cursus_ids::{ContactId, ContactName, WorkspaceId};
use sqlx::PgConnection;

use crate::block::{BlockName, position};
use crate::error::Error;
use crate::recent::Recent;
use crate::store;

/// How many ordinals a replica remembers at least: about 150 bytes each, and at most twice as many.
const REMEMBERED: usize = 100_000;
/// How often a contact may depart between being found and being held.
const ATTEMPTS: u32 = 4;

/// The ordinals of contacts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ordinals {
    recent: Arc<Recent<ContactName, i32>>,
    departed: Arc<Mutex<Departed>>,
}

/// A contact that stays until the transaction ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) ordinal: i32,
    /// The one it has now; it may have been asked for by another.
    pub(crate) id: ContactId,
}

/// Which ordinals are nobody's any more. No ordinal ever comes back, so this only grows, by a bit each.
#[derive(Debug, Default)]
struct Departed {
    blocks: BTreeMap<BlockName, Bitset>,
    /// What departed in earlier transactions is known, or was so before anything was remembered.
    horizon: Option<i64>,
}

impl Ordinals {
    pub(crate) fn new() -> Self {
        Self { recent: Arc::new(Recent::new(REMEMBERED)), departed: Arc::default() }
    }

    /// The ordinals that are known without asking the database, in the order of the names.
    pub(crate) fn remembered(&self, names: &[ContactName]) -> Vec<Option<i32>> {
        let known = self.recent.get_each(names);
        let departed = self.lock();
        let living = |(ordinal, name): (Option<i32>, &ContactName)| {
            ordinal.filter(|ordinal| !departed.contains(&name.workspace, *ordinal))
        };
        known.into_iter().zip(names).map(living).collect()
    }

    /// The ordinals of the contacts that exist, in the order of the names, of which all are of one workspace. Asks the
    /// database only for those not asked for lately.
    pub(crate) async fn of(
        &self,
        conn: &mut PgConnection,
        names: &[ContactName],
    ) -> Result<Vec<Option<i32>>, Error> {
        let mut found = self.remembered(names);
        let Some(first) = names.first() else { return Ok(found) };
        let mut missing: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, name) in names.iter().enumerate().filter(|(place, _)| found[*place].is_none()) {
            missing.entry(name.id.to_string()).or_default().push(place);
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let asked: Vec<String> = missing.keys().cloned().collect();
        if self.lock().horizon.is_none() {
            // Before anything is remembered: whatever departs later is then heard of.
            let horizon = store::departures::horizon(conn).await?;
            self.lock().horizon.get_or_insert(horizon);
        }
        for (id, ordinal) in store::contacts::ordinals(conn, &first.workspace, &asked).await? {
            for place in missing.get(&id).into_iter().flatten() {
                self.recent.insert(names[*place].clone(), ordinal);
                found[*place] = Some(ordinal);
            }
        }
        Ok(found)
    }

    /// Hears of whoever departed since this was called last.
    pub(crate) async fn refresh(&self, conn: &mut PgConnection) -> Result<(), Error> {
        // Nothing is remembered yet that could be wrong.
        let Some(horizon) = self.lock().horizon else { return Ok(()) };
        let (departed, horizon) = store::departures::since(conn, horizon).await?;
        let mut known = self.lock();
        for (workspace, ordinal) in departed {
            known.insert(&workspace, ordinal);
        }
        // Of two at the same time, the earlier may end last.
        known.horizon = known.horizon.max(Some(horizon));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Departed> {
        // Bits are set one by one, whoever panicked.
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The contacts that exist, by the ids asked for, none of whom departs before the caller's transaction ends: what is
/// recorded for them is recorded for somebody who is there. Nothing remembered is used for it.
pub(crate) async fn hold(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: Vec<String>,
) -> Result<HashMap<String, Held>, Error> {
    let mut held = HashMap::with_capacity(ids.len());
    let mut left = ids;
    for _ in 0..ATTEMPTS {
        let living: HashMap<i32, ContactId> =
            store::contacts::hold(tx, workspace, &left).await?.into_iter().collect();
        for (ordinal, id) in &living {
            held.insert(id.to_string(), Held { ordinal: *ordinal, id: id.clone() });
        }
        left.retain(|id| !held.contains_key(id));
        if left.is_empty() {
            return Ok(held);
        }
        // Who is neither a contact nor became another one does not exist.
        let targets = store::departures::targets(tx, workspace, &left).await?;
        left.clear();
        for (alias, ordinal) in targets {
            match living.get(&ordinal) {
                Some(id) => drop(held.insert(alias, Held { ordinal, id: id.clone() })),
                // It was merged or erased just now.
                None => left.push(alias),
            }
        }
        if left.is_empty() {
            return Ok(held);
        }
    }
    Err(Error::Contended)
}

impl Departed {
    fn insert(&mut self, workspace: &WorkspaceId, ordinal: i32) {
        let (block, slot) = position(ordinal);
        self.blocks.entry(BlockName::new(workspace.clone(), block)).or_default().insert(slot);
    }

    fn contains(&self, workspace: &WorkspaceId, ordinal: i32) -> bool {
        if self.blocks.is_empty() {
            return false;
        }
        let (block, slot) = position(ordinal);
        let departed = self.blocks.get(&BlockName::new(workspace.clone(), block));
        departed.is_some_and(|slots| slots.contains(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinal_of_one_who_departed_is_not_believed_however_late_it_was_remembered() {
        let ordinals = Ordinals::new();
        let ana: ContactName = "workspaces/acme/contacts/ana".parse().unwrap();
        let elsewhere: ContactName = "workspaces/other/contacts/ana".parse().unwrap();
        ordinals.recent.insert(ana.clone(), 70_000);
        ordinals.recent.insert(elsewhere.clone(), 70_000);
        let names = [ana.clone(), elsewhere];
        assert_eq!(ordinals.remembered(&names), [Some(70_000), Some(70_000)]);
        ordinals.lock().insert(&ana.workspace, 70_000);
        ordinals.recent.insert(ana.clone(), 70_000);
        assert_eq!(ordinals.remembered(&names), [None, Some(70_000)]);
        ordinals.recent.insert(ana, 3);
        assert_eq!(ordinals.remembered(&names), [Some(3), Some(70_000)]);
    }
}
