//! Taking calls of the tracking API: what a request says is written in one transaction, and each message takes effect
//! once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cursus_ambient::Ambient;
use cursus_audience::Kind;
use cursus_ids::{ContactId, WorkspaceId};
use serde_json::Value as Json;
use sqlx::{PgConnection, PgPool};

use crate::attribute::Vocabulary;
use crate::attributes::Attributes;
use crate::call::request::Calls as Told;
use crate::call::{Call, Says, traits};
use crate::contact;
use crate::contacts::{self, Contacts};
use crate::error::Error;
use crate::event::{self, Source};
use crate::events::Events;
use crate::refusal::Refusal;
use crate::store;

/// The most attributes of a workspace up to which traits declare new ones. It leaves room for those that people declare:
/// whoever has a write key can make up names.
const MOST_DECLARED: usize = 500;

/// What takes calls.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pool: PgPool,
    ambient: Ambient,
    attributes: Attributes,
    contacts: Contacts,
    events: Events,
}

/// What became of the calls of a request.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// How many took effect.
    pub(crate) taken: usize,
    /// How many had taken effect before.
    pub(crate) repeated: usize,
    /// Those that had none, by their place in the request.
    pub(crate) refused: Vec<(usize, Refusal)>,
    /// Fields of calls that could not be taken, while the rest was.
    pub(crate) dropped: Vec<(usize, Refusal)>,
}

/// What is to be written for the calls of a request.
#[derive(Debug, Default)]
struct Work {
    /// Whom the calls are about, in their order, and the traits told.
    contacts: Vec<(usize, ContactId, BTreeMap<String, Json>)>,
    events: Vec<event::Draft>,
}

impl Calls {
    pub(crate) fn new(
        (pool, ambient): (PgPool, Ambient),
        (contacts, events): (Contacts, Events),
    ) -> Self {
        let attributes = Attributes::new(pool.clone(), ambient.clone());
        Self { pool, ambient, attributes, contacts, events }
    }

    /// Writes what the calls say. When this returns it is committed.
    pub(crate) async fn take(&self, workspace: &WorkspaceId, told: Told) -> Result<Taken, Error> {
        let mut taken = Taken::default();
        let calls = self.identified(told, &mut taken);
        let mut tx = self.pool.begin().await?;
        let first = first_told(&mut tx, workspace, calls, &mut taken).await?;
        taken.taken = first.len();
        let work = Work::new(first, &mut taken);
        let wanted = work.attributes();
        let vocabulary =
            self.attributes.declare(&mut tx, workspace, &wanted, MOST_DECLARED).await?;
        let drafts = drafts(work.contacts, &vocabulary, &mut taken);
        self.contacts.write_in(&mut tx, (workspace, &vocabulary), &drafts).await?;
        self.events.record_in(&mut tx, workspace, &work.events, Source::Caller).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// The calls that can be taken, each with the id under which its effect is remembered.
    fn identified(&self, told: Told, taken: &mut Taken) -> Vec<(usize, String, Call)> {
        let mut calls = Vec::with_capacity(told.len());
        for (place, call) in told {
            match call {
                Ok(mut call) => {
                    let id = call.message_id.take();
                    let id = id.unwrap_or_else(|| self.ambient.mint().to_string());
                    calls.push((place, event::tracked_id(&id), call));
                }
                Err(refusal) => taken.refused.push((place, refusal)),
            }
        }
        calls
    }
}

/// The calls whose ids are told for the first time. Events take their ids when they are recorded; for the other calls
/// they are taken here.
async fn first_told(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    calls: Vec<(usize, String, Call)>,
    taken: &mut Taken,
) -> Result<Vec<(usize, String, Call)>, Error> {
    let mut events = BTreeSet::new();
    // In order, so that two who take the same ids wait for each other instead of for ever.
    let mut others = BTreeSet::new();
    for (_, id, call) in &calls {
        let ids = if matches!(call.says, Says::Did { .. }) { &mut events } else { &mut others };
        ids.insert(id.clone());
    }
    let others: Vec<String> = others.into_iter().collect();
    let claimed = store::events::claim(tx, workspace, Source::Caller, &others).await?;
    let events: Vec<String> = events.into_iter().collect();
    let known = store::events::known(tx, workspace, Source::Caller, &events).await?;
    let known: HashSet<String> = known.into_iter().collect();
    let mut fresh: HashSet<String> =
        events.into_iter().filter(|id| !known.contains(id)).chain(claimed).collect();
    let told = calls.len();
    let first: Vec<_> = calls.into_iter().filter(|(_, id, _)| fresh.remove(id)).collect();
    taken.repeated = told - first.len();
    Ok(first)
}

impl Work {
    fn new(calls: Vec<(usize, String, Call)>, taken: &mut Taken) -> Self {
        let mut work = Self::default();
        for (place, id, call) in calls {
            let Call { contact, says, dropped, .. } = call;
            taken.dropped.extend(dropped.into_iter().map(|refusal| (place, refusal)));
            let traits = match says {
                Says::Is { traits, .. } => traits,
                Says::BelongsTo { .. } => BTreeMap::new(),
                Says::Did { name, time, properties } => {
                    let contact = contact.clone();
                    work.events.push(event::Draft { id, contact, name, time, properties });
                    BTreeMap::new()
                }
            };
            work.contacts.push((place, contact, traits));
        }
        work
    }

    /// The attributes that traits name, each with the kind that the first value tells.
    fn attributes(&self) -> BTreeMap<String, Kind> {
        let mut kinds = BTreeMap::new();
        for (name, told) in self.contacts.iter().flat_map(|(_, _, traits)| traits) {
            if let Some(kind) = traits::inferred(name, told) {
                kinds.entry(name.clone()).or_insert(kind);
            }
        }
        kinds
    }
}

/// What is to be written about contacts, each once.
fn drafts(
    told: Vec<(usize, ContactId, BTreeMap<String, Json>)>,
    vocabulary: &Vocabulary,
    taken: &mut Taken,
) -> Vec<contact::Draft> {
    let mut drafts = Vec::with_capacity(told.len());
    for (place, id, traits) in told {
        let mut dropped = Vec::new();
        let (email, attributes) = traits::admitted(traits, vocabulary, &mut dropped);
        taken.dropped.extend(dropped.into_iter().map(|refusal| (place, refusal)));
        match contact::Draft::check(contact::Told { id, email, attributes }, vocabulary) {
            Ok(draft) => drafts.push(draft),
            Err(refusal) => taken.dropped.push((place, refusal)),
        }
    }
    contacts::merged(drafts)
}
