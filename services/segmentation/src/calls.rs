//! Taking calls of the tracking API: what a request says is written in one transaction, and each message takes effect
//! once. Only who was anonymous and became somebody is merged after it, one by one: see `merges`.

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
use crate::edit::Edit;
use crate::error::Error;
use crate::event::{self, Source};
use crate::events::Events;
use crate::merges;
use crate::ordinals::Ordinals;
use crate::refusal::Refusal;
use crate::store;

/// The most attributes of a workspace up to which traits declare new ones. It leaves room for those that people declare:
/// whoever has a write key can make up names.
const MOST_DECLARED: usize = 500;

/// What takes calls.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) attributes: Attributes,
    pub(crate) contacts: Contacts,
    pub(crate) events: Events,
    pub(crate) ordinals: Ordinals,
}

/// What became of the calls of a request.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// How many took effect.
    pub(crate) new: usize,
    /// How many had taken effect before.
    pub(crate) repeated: usize,
    /// Those that had none, by their place in the request.
    pub(crate) refused: Vec<(usize, Refusal)>,
    /// Fields of calls that could not be taken, while the rest was.
    pub(crate) dropped: Vec<(usize, Refusal)>,
}

/// A call with its place in the request, and the id under which its effect is remembered.
type Identified = (usize, String, Call);

/// What is to be written for the calls of a request.
#[derive(Debug, Default)]
struct Work {
    /// Whom the calls are about, in their order, and the traits told.
    contacts: Vec<(usize, ContactId, BTreeMap<String, Json>)>,
    events: Vec<event::Draft>,
    /// Who was anonymous and became somebody, by the id of the call that says so.
    known_better: Vec<(String, ContactId, ContactId)>,
}

impl Calls {
    /// Writes what the calls say. When this returns it is committed.
    pub(crate) async fn take(&self, workspace: &WorkspaceId, told: Told) -> Result<Taken, Error> {
        let mut taken = Taken::default();
        let calls = self.identified(told, &mut taken);
        let mut tx = self.pool.begin().await?;
        let first = first_told(&mut tx, workspace, calls, &mut taken).await?;
        let count = first.len();
        let mut work = Work::new(first, &mut taken);
        let wanted = work.attributes();
        let vocabulary =
            self.attributes.declare(&mut tx, workspace, &wanted, MOST_DECLARED).await?;
        let drafts = work.drafts(&vocabulary, &mut taken);
        let written = self.contacts.write_in(&mut tx, (workspace, &vocabulary), &drafts).await?;
        let refused = work.without(&written.erased);
        let events = &work.events;
        let recorded = self.events.record_in(&mut tx, workspace, events, Source::Caller).await?;
        tx.commit().await?;
        self.events.announce(&recorded);
        taken.new = count - refused.len();
        taken.refused.extend(refused);
        self.merge(workspace, work.known_better).await?;
        Ok(taken)
    }

    /// The calls that can be taken.
    fn identified(&self, told: Told, taken: &mut Taken) -> Vec<Identified> {
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

    /// Gives what is known of the anonymous to whom they turned out to be, unless they became somebody already: a device
    /// on which another one logs in does not make the two one person. Each with the id of its call, so that it is done
    /// again should we end in between.
    async fn merge(
        &self,
        workspace: &WorkspaceId,
        known_better: Vec<(String, ContactId, ContactId)>,
    ) -> Result<(), Error> {
        let mut merged = false;
        for (id, source, target) in known_better {
            let mut tx = self.pool.begin().await?;
            store::events::claim(&mut tx, workspace, Source::Caller, &[id]).await?;
            let now = self.ambient.now();
            merged |= merges::merge_own(&mut tx, workspace, (&source, &target), now).await?;
            tx.commit().await?;
        }
        if merged {
            let mut conn = self.pool.acquire().await?;
            self.ordinals.refresh(&mut conn).await?;
        }
        Ok(())
    }
}

/// The calls whose ids are told for the first time. Events take their ids when they are recorded, and who becomes somebody
/// when that is done; for the other calls they are taken here.
async fn first_told(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    calls: Vec<Identified>,
    taken: &mut Taken,
) -> Result<Vec<Identified>, Error> {
    let mut later = BTreeSet::new();
    // In order, so that two who take the same ids wait for each other instead of for ever.
    let mut now = BTreeSet::new();
    for (_, id, call) in &calls {
        let ids = match &call.says {
            Says::Did { .. } | Says::Is { before: Some(_), .. } => &mut later,
            Says::Is { before: None, .. } | Says::BelongsTo { .. } => &mut now,
        };
        ids.insert(id.clone());
    }
    let now: Vec<String> = now.into_iter().collect();
    let claimed = store::events::claim(tx, workspace, Source::Caller, &now).await?;
    let later: Vec<String> = later.into_iter().collect();
    let known = store::events::known(tx, workspace, Source::Caller, &later).await?;
    let known: HashSet<String> = known.into_iter().collect();
    let mut fresh: HashSet<String> =
        later.into_iter().filter(|id| !known.contains(id)).chain(claimed).collect();
    let told = calls.len();
    let first: Vec<_> = calls.into_iter().filter(|(_, id, _)| fresh.remove(id)).collect();
    taken.repeated = told - first.len();
    Ok(first)
}

impl Work {
    fn new(calls: Vec<Identified>, taken: &mut Taken) -> Self {
        let mut work = Self::default();
        for (place, id, call) in calls {
            let Call { contact, says, dropped, .. } = call;
            taken.dropped.extend(dropped.into_iter().map(|refusal| (place, refusal)));
            let traits = match says {
                Says::Is { traits, before } => {
                    let better = before.map(|before| (id, before, contact.clone()));
                    work.known_better.extend(better);
                    traits
                }
                Says::BelongsTo { .. } => {
                    let message = "groups are not taken; write accounts instead, and which of them the contact is of";
                    taken.dropped.push((place, Refusal::invalid("groupId", message)));
                    BTreeMap::new()
                }
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

    /// What is to be written about contacts, each once.
    fn drafts(&mut self, vocabulary: &Vocabulary, taken: &mut Taken) -> Vec<contact::Draft> {
        let mut drafts = Vec::with_capacity(self.contacts.len());
        for (place, id, traits) in &mut self.contacts {
            let mut dropped = Vec::new();
            let traits = std::mem::take(traits);
            let (email, attributes) = traits::admitted(traits, vocabulary, &mut dropped);
            let told = contact::Told { id: id.clone(), email, account: Edit::Keep, attributes };
            match contact::Draft::check(told, vocabulary) {
                Ok(draft) => drafts.push(draft),
                Err(refusal) => dropped.push(refusal),
            }
            taken.dropped.extend(dropped.into_iter().map(|refusal| (*place, refusal)));
        }
        contacts::merged(drafts)
    }

    /// Leaves out what concerns contacts that were erased, and says which calls that are.
    fn without(&mut self, erased: &HashSet<ContactId>) -> Vec<(usize, Refusal)> {
        self.events.retain(|event| !erased.contains(&event.contact));
        self.known_better.retain(|(_, _, target)| !erased.contains(target));
        let refused = self.contacts.iter().filter(|(_, id, _)| erased.contains(id));
        refused.map(|(place, id, _)| (*place, contacts::erased(id))).collect()
    }
}
