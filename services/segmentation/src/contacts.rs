//! Writing contacts and reading them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cursus_ambient::Ambient;
use cursus_ids::{ContactId, ContactName, WorkspaceId};
use sqlx::{PgConnection, PgPool};

use crate::attribute::{EMAIL, Vocabulary};
use crate::block;
use crate::contact::{Changed, Contact, Draft, Holding};
use crate::error::{Error, What};
use crate::packed;
use crate::page::{self, Page};
use crate::recent::Recent;
use crate::store;
use crate::store::contacts::{Stored, Write};

/// How many ordinals a replica remembers at least: about 150 bytes each, and at most twice as many.
const ORDINALS: usize = 100_000;

/// The contacts of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Contacts {
    pool: PgPool,
    ambient: Ambient,
    /// A contact keeps its ordinal for ever.
    ordinals: Arc<Recent<ContactName, i32>>,
}

/// How many contacts were new and how many were known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

impl Contacts {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient, ordinals: Arc::new(Recent::new(ORDINALS)) }
    }

    /// What rows are checked against.
    pub(crate) async fn vocabulary(&self, workspace: &WorkspaceId) -> Result<Vocabulary, Error> {
        let mut conn = self.pool.acquire().await?;
        store::attributes::all(&mut conn, workspace).await
    }

    /// Writes contacts in one transaction. What is said twice about one is written once, and the later wins.
    pub(crate) async fn write(
        &self,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        drafts: Vec<Draft>,
    ) -> Result<Written, Error> {
        let said = i64::try_from(drafts.len()).unwrap_or(i64::MAX);
        let drafts = merged(drafts);
        let mut tx = self.pool.begin().await?;
        let created = self.write_in(&mut tx, (workspace, vocabulary), &drafts).await?;
        tx.commit().await?;
        Ok(Written { created, updated: said - created })
    }

    /// Writes one contact, and reads it.
    pub(crate) async fn write_one(
        &self,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        draft: Draft,
    ) -> Result<Contact, Error> {
        let id = draft.id.clone();
        self.write(workspace, vocabulary, vec![draft]).await?;
        self.get(&ContactName::new(workspace.clone(), id)).await
    }

    pub(crate) async fn get(&self, name: &ContactName) -> Result<Contact, Error> {
        let found = self.get_many(&name.workspace, std::slice::from_ref(&name.id)).await?;
        found.into_iter().next().ok_or_else(|| Error::no_such(What::Contact, name))
    }

    /// The contacts that exist, in the order asked for.
    pub(crate) async fn get_many(
        &self,
        workspace: &WorkspaceId,
        ids: &[ContactId],
    ) -> Result<Vec<Contact>, Error> {
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut conn = self.pool.acquire().await?;
        // Contacts first: the attributes that they carry are then known.
        let stored = store::contacts::by_id(&mut conn, workspace, &texts).await?;
        let vocabulary = store::attributes::all(&mut conn, workspace).await?;
        let mut found = HashMap::new();
        for stored in stored {
            let contact = stored.into_contact(workspace, &vocabulary)?;
            found.insert(contact.name.id.clone(), contact);
        }
        Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
    }

    /// The contacts in the order in which they were first written.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        (size, token): (i32, &str),
    ) -> Result<Page<Contact>, Error> {
        const LIST: &str = "contacts";
        let asked = page::Asked::new(LIST, size, token, page::USUAL)?;
        let after = asked.after_ordinal()?.unwrap_or(-1);
        let limit = i64::try_from(asked.size + 1).unwrap_or(i64::MAX);
        let mut conn = self.pool.acquire().await?;
        let stored = store::contacts::list(&mut conn, workspace, after, limit).await?;
        let vocabulary = store::attributes::all(&mut conn, workspace).await?;
        let key = |stored: &Stored| stored.ordinal.to_string();
        let Page { items, next_token } = Page::new(LIST, &asked, stored, key);
        let contacts = items.into_iter().map(|stored| stored.into_contact(workspace, &vocabulary));
        Ok(Page { items: contacts.collect::<Result<_, _>>()?, next_token })
    }

    /// The ordinals of the contacts that exist. Asks the database only for those not asked for lately.
    pub(crate) async fn ordinals(
        &self,
        conn: &mut PgConnection,
        names: &[ContactName],
    ) -> Result<HashMap<ContactName, i32>, Error> {
        let mut found = self.remembered(names);
        let Some(first) = names.first() else { return Ok(found) };
        let missing: Vec<String> = names
            .iter()
            .filter(|name| !found.contains_key(name))
            .map(|name| name.id.to_string())
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        for (id, ordinal) in store::contacts::ordinals(conn, &first.workspace, &missing).await? {
            let id = id.parse().map_err(|_| Error::Corrupt("id"))?;
            let name = ContactName::new(first.workspace.clone(), id);
            self.ordinals.insert(name.clone(), ordinal);
            found.insert(name, ordinal);
        }
        Ok(found)
    }

    /// The ordinals that are known without asking the database.
    pub(crate) fn remembered(&self, names: &[ContactName]) -> HashMap<ContactName, i32> {
        let known = |name: &ContactName| Some((name.clone(), self.ordinals.get(name)?));
        names.iter().filter_map(known).collect()
    }

    /// Writes each contact once in the caller's transaction, and says how many are new.
    pub(crate) async fn write_in(
        &self,
        tx: &mut PgConnection,
        (workspace, vocabulary): (&WorkspaceId, &Vocabulary),
        drafts: &[Draft],
    ) -> Result<i64, Error> {
        let ids: Vec<String> = drafts.iter().map(|draft| draft.id.to_string()).collect();
        let mut known = store::contacts::by_id(tx, workspace, &ids).await?;
        let mut first = None;
        if known.len() < ids.len() {
            first = Some(store::lock_workspace(tx, workspace).await?);
            // Whoever held the lock before may have added some of them.
            known = store::contacts::by_id(tx, workspace, &ids).await?;
        }
        let mut changes = Changes::default();
        let known_ids: HashSet<String> =
            known.iter().map(|stored| stored.contact_id.clone()).collect();
        self.update(tx, workspace, (drafts, known), &mut changes).await?;
        let is_fresh = |draft: &&Draft| !known_ids.contains(draft.id.as_ref());
        let fresh: Vec<&Draft> = drafts.iter().filter(is_fresh).collect();
        let created = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
        if let Some(first) = first {
            self.insert(tx, workspace, (first, fresh), &mut changes).await?;
        }
        changes.store(tx, workspace, vocabulary).await?;
        Ok(created)
    }

    /// Writes what differs from what is known. Rows are locked only for that, and in the order of their ordinals, so that
    /// writers wait for each other and never in a circle; what was read before the lock is read again under it.
    async fn update(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        (drafts, known): (&[Draft], Vec<Stored>),
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let drafts: HashMap<&str, &Draft> =
            drafts.iter().map(|draft| (draft.id.as_ref(), draft)).collect();
        let mut ordinals = Vec::new();
        for stored in &known {
            if difference(&drafts, stored)?.is_some() {
                ordinals.push(stored.ordinal);
            }
        }
        if ordinals.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(ordinals.len());
        for stored in store::contacts::lock(tx, workspace, &ordinals).await? {
            if let Some((differs, holding)) = difference(&drafts, &stored)? {
                changes.add(stored.ordinal, differs);
                writes.push((stored.ordinal, write(stored.contact_id, holding)));
            }
        }
        let now = self.ambient.now();
        Ok(store::contacts::update(tx, workspace, writes, now).await?)
    }

    async fn insert(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        (first, fresh): (i32, Vec<&Draft>),
        changes: &mut Changes,
    ) -> Result<(), Error> {
        if fresh.is_empty() {
            return Ok(());
        }
        let count = i32::try_from(fresh.len()).unwrap_or(i32::MAX);
        let Some(end) = first.checked_add(count) else { return Err(Error::Corrupt("ordinal")) };
        let writes = fresh.into_iter().map(|draft| {
            let mut holding = Holding::default();
            draft.clone().apply(&mut holding);
            write(draft.id.to_string(), holding)
        });
        changes.added.extend(first..end);
        let now = self.ambient.now();
        Ok(store::contacts::insert(tx, workspace, first, writes.collect(), now).await?)
    }
}

/// Which contacts changed, and in what.
#[derive(Debug, Default)]
struct Changes {
    ordinals: Vec<i32>,
    changed: Changed,
    added: Vec<i32>,
}

impl Changes {
    fn add(&mut self, ordinal: i32, changed: Changed) {
        self.ordinals.push(ordinal);
        self.changed.email |= changed.email;
        self.changed.numbers.extend(changed.numbers);
    }

    /// Tells those who evaluate. A new contact may be in any segment, one that changed only in those that ask about
    /// what changed.
    async fn store(
        self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
    ) -> Result<(), Error> {
        if !self.added.is_empty() {
            let blocks = block::changed(workspace, self.added);
            store::blocks::insert_changes(tx, workspace, &blocks, None).await?;
        }
        if !self.ordinals.is_empty() {
            let email = self.changed.email.then_some(EMAIL);
            let attributes =
                self.changed.numbers.iter().filter_map(|number| vocabulary.name(*number));
            let names: Vec<String> =
                email.into_iter().chain(attributes).map(str::to_owned).collect();
            let blocks = block::changed(workspace, self.ordinals);
            store::blocks::insert_changes(tx, workspace, &blocks, Some(&names)).await?;
        }
        Ok(())
    }
}

/// What a contact is to hold and in what that differs, if it does.
fn difference(
    drafts: &HashMap<&str, &Draft>,
    stored: &Stored,
) -> Result<Option<(Changed, Holding)>, Error> {
    let Some(&draft) = drafts.get(stored.contact_id.as_str()) else { return Ok(None) };
    let mut holding = stored.holding()?;
    let changed = draft.clone().apply(&mut holding);
    Ok(if changed.is_empty() { None } else { Some((changed, holding)) })
}

/// One draft for each contact, in the order in which they are named first.
pub(crate) fn merged(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut places: HashMap<ContactId, usize> = HashMap::with_capacity(drafts.len());
    let mut merged: Vec<Draft> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        match places.entry(draft.id.clone()) {
            Entry::Occupied(place) => merged[*place.get()].then(draft),
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(draft);
            }
        }
    }
    merged
}

fn write(contact_id: String, holding: Holding) -> Write {
    let attributes = packed::pack_attributes(&holding.attributes);
    Write { contact_id, email: holding.email, attributes }
}
