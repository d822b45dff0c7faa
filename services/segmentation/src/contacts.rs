//! Writing contacts and reading them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use cursus_ambient::Ambient;
use cursus_audience::DEALS;
use cursus_ids::{ContactId, ContactName, WorkspaceId};
use sqlx::{PgConnection, PgPool};

use crate::accounts;
use crate::attribute::{EMAIL, Vocabulary};
use crate::block;
use crate::contact::{Changed, Contact, Draft, Holding};
use crate::erasures;
use crate::error::{Error, What};
use crate::events::Others;
use crate::packed;
use crate::page::{self, Page};
use crate::refusal::{Reason, Refusal};
use crate::store;
use crate::store::contacts::{Stored, Write};

/// How often a contact may depart between being found and being locked.
const ATTEMPTS: u32 = 4;

/// The contacts of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Contacts {
    pool: PgPool,
    ambient: Ambient,
}

/// How many rows were new and how many were known, and which were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) refused: Vec<(usize, Refusal)>,
}

impl Written {
    /// Refuses everything when one row is refused.
    pub(crate) fn all_or_none(mut self) -> Result<Self, Error> {
        if self.refused.is_empty() {
            return Ok(self);
        }
        let (row, refusal) = self.refused.swap_remove(0);
        Err(Error::Refused { row: Some(row), refusal })
    }
}

/// What became of drafts, one for each contact.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    created: i64,
    /// Not written: they are not to come back.
    pub(crate) erased: HashSet<ContactId>,
}

impl Contacts {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
    }

    /// What rows are checked against.
    pub(crate) async fn vocabulary(&self, workspace: &WorkspaceId) -> Result<Vocabulary, Error> {
        let mut conn = self.pool.acquire().await?;
        store::attributes::all(&mut conn, workspace).await
    }

    /// Writes contacts in one transaction. What is said twice about one is written once, and the later wins. Rows that name
    /// an unknown account or a contact that was erased are refused; are the others written all the same?
    pub(crate) async fn write(
        &self,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        drafts: Vec<Draft>,
        others: Others,
    ) -> Result<Written, Error> {
        let mut tx = self.pool.begin().await?;
        let said = drafts.len();
        let (drafts, mut refused) = self.joined(&mut tx, workspace, drafts).await?;
        let rows: Vec<_> = drafts.iter().map(|(row, draft)| (*row, draft.id.clone())).collect();
        let drafts = merged(drafts.into_iter().map(|(_, draft)| draft).collect());
        let outcome = self.write_in(&mut tx, (workspace, vocabulary), &drafts).await?;
        let rows = rows.iter().filter(|(_, id)| outcome.erased.contains(id));
        refused.extend(rows.map(|(row, id)| (*row, erased(id))));
        refused.sort_unstable_by_key(|(row, _)| *row);
        let written = i64::try_from(said - refused.len()).unwrap_or(i64::MAX);
        let Outcome { created, .. } = outcome;
        let mut written = Written { created, updated: written - created, refused };
        if others == Others::Refused {
            written = written.all_or_none()?;
        }
        tx.commit().await?;
        Ok(written)
    }

    /// Writes one contact, and reads it.
    pub(crate) async fn write_one(
        &self,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        draft: Draft,
    ) -> Result<Contact, Error> {
        let id = draft.id.clone();
        let written = self.write(workspace, vocabulary, vec![draft], Others::Refused).await;
        written.map_err(Error::of_only_row)?;
        self.get(&ContactName::new(workspace.clone(), id)).await
    }

    pub(crate) async fn get(&self, name: &ContactName) -> Result<Contact, Error> {
        let found = self.get_many(&name.workspace, std::slice::from_ref(&name.id)).await?;
        let found = found.into_iter().next().map(|(_, contact)| contact);
        found.ok_or_else(|| Error::no_such(What::Contact, name))
    }

    /// The contacts that exist, in the order asked for and each with the id asked for. One that was merged into another is
    /// that other.
    pub(crate) async fn get_many(
        &self,
        workspace: &WorkspaceId,
        ids: &[ContactId],
    ) -> Result<Vec<(ContactId, Contact)>, Error> {
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut conn = self.pool.acquire().await?;
        // Contacts first: the attributes that they carry are then known.
        let stored = store::contacts::by_id(&mut conn, workspace, &texts).await?;
        let vocabulary = store::attributes::all(&mut conn, workspace).await?;
        let mut found = HashMap::new();
        for (asked, stored) in stored {
            found.insert(asked, stored.into_contact(workspace, &vocabulary)?);
        }
        let asked = |id: &ContactId| Some((id.clone(), found.get(id.as_ref())?.clone()));
        Ok(ids.iter().filter_map(asked).collect())
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

    /// What is to be written without the rows that name an unknown account, each with its number.
    async fn joined(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        drafts: Vec<Draft>,
    ) -> Result<(Vec<(usize, Draft)>, Vec<(usize, Refusal)>), Error> {
        if drafts.iter().any(|draft| draft.account.value().is_some()) {
            let ids: HashSet<&str> = drafts.iter().map(|draft| draft.id.as_ref()).collect();
            let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
            // Whoever adds contacts locks the workspace, and everybody does so before accounts.
            if store::contacts::ordinals(tx, workspace, &ids).await?.len() < ids.len() {
                store::lock_workspace(tx, workspace).await?;
            }
        }
        accounts::joined(tx, workspace, drafts).await
    }

    /// Writes in the caller's transaction, one draft for each contact, whose accounts are known. Whoever is merged or erased
    /// between being found and being locked is looked for again.
    pub(crate) async fn write_in(
        &self,
        tx: &mut PgConnection,
        (workspace, vocabulary): (&WorkspaceId, &Vocabulary),
        drafts: &[Draft],
    ) -> Result<Outcome, Error> {
        let mut changes = Changes::default();
        let mut outcome = Outcome::default();
        let mut left: Vec<&Draft> = drafts.iter().collect();
        for _ in 0..ATTEMPTS {
            left = self.write_found(tx, workspace, left, (&mut changes, &mut outcome)).await?;
            if left.is_empty() {
                changes.store(tx, workspace, vocabulary).await?;
                return Ok(outcome);
            }
        }
        Err(Error::Contended)
    }

    /// Writes those that are new and those that are found, and returns those that departed meanwhile.
    async fn write_found<'a>(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        drafts: Vec<&'a Draft>,
        (changes, outcome): (&mut Changes, &mut Outcome),
    ) -> Result<Vec<&'a Draft>, Error> {
        let ids: Vec<String> = drafts.iter().map(|draft| draft.id.to_string()).collect();
        let mut known = store::contacts::by_id(tx, workspace, &ids).await?;
        let mut first = None;
        if known.len() < ids.len() {
            first = Some(store::lock_workspace(tx, workspace).await?);
            // Whoever held the lock before may have added some of them.
            known = store::contacts::by_id(tx, workspace, &ids).await?;
        }
        let known_ids: HashSet<String> = known.iter().map(|(asked, _)| asked.clone()).collect();
        let is_known = |draft: &&Draft| known_ids.contains(draft.id.as_ref());
        let (said, fresh): (Vec<&Draft>, Vec<&Draft>) = drafts.into_iter().partition(is_known);
        let departed = self.update(tx, workspace, (said, known), changes).await?;
        if let Some(first) = first {
            let ids = fresh.iter().map(|draft| &draft.id);
            let erased = erasures::among(tx, workspace, ids).await?;
            let (erased, fresh): (Vec<&Draft>, Vec<&Draft>) =
                fresh.into_iter().partition(|draft| erased.contains(&draft.id));
            outcome.erased.extend(erased.into_iter().map(|draft| draft.id.clone()));
            outcome.created += i64::try_from(fresh.len()).unwrap_or(i64::MAX);
            self.insert(tx, workspace, (first, fresh), changes).await?;
        }
        Ok(departed)
    }

    /// Writes what differs from what is known. Rows are locked only for that, and in the order of their ordinals, so that
    /// writers wait for each other and never in a circle; what was read before the lock is read again under it. Returns
    /// what is said about those who are no longer there.
    async fn update<'a>(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        (said, known): (Vec<&'a Draft>, Vec<(String, Stored)>),
        changes: &mut Changes,
    ) -> Result<Vec<&'a Draft>, Error> {
        let ordinals: HashMap<&str, i32> =
            known.iter().map(|(asked, stored)| (asked.as_str(), stored.ordinal)).collect();
        // Several ids may stand for one contact.
        let mut drafts: BTreeMap<i32, Vec<&Draft>> = BTreeMap::new();
        for draft in said {
            if let Some(ordinal) = ordinals.get(draft.id.as_ref()) {
                drafts.entry(*ordinal).or_default().push(draft);
            }
        }
        for (_, stored) in &known {
            let is_said = |drafts: &Vec<&Draft>| difference(drafts, stored);
            if drafts.get(&stored.ordinal).map(is_said).transpose()?.flatten().is_none() {
                drafts.remove(&stored.ordinal);
            }
        }
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let mut writes = Vec::with_capacity(drafts.len());
        let ordinals: Vec<i32> = drafts.keys().copied().collect();
        for stored in store::contacts::lock(tx, workspace, &ordinals).await? {
            let said = drafts.remove(&stored.ordinal).unwrap_or_default();
            if let Some((differs, holding)) = difference(&said, &stored)? {
                changes.add(stored.ordinal, differs);
                writes.push((stored.ordinal, write(stored.contact_id, holding)));
            }
        }
        let now = self.ambient.now();
        store::contacts::update(tx, workspace, writes, now).await?;
        Ok(drafts.into_values().flatten().collect())
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
        self.changed.account |= changed.account;
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
            store::changes::insert(tx, workspace, &blocks, None).await?;
        }
        if !self.ordinals.is_empty() {
            let email = self.changed.email.then_some(EMAIL);
            let attributes =
                self.changed.numbers.iter().filter_map(|number| vocabulary.name(*number));
            let mut names: Vec<String> =
                email.into_iter().chain(attributes).map(str::to_owned).collect();
            if self.changed.account {
                names.extend(vocabulary.of_accounts());
                names.push(DEALS.to_owned());
            }
            let blocks = block::changed(workspace, self.ordinals);
            store::changes::insert(tx, workspace, &blocks, Some(&names)).await?;
        }
        Ok(())
    }
}

/// What a contact is to hold after all that is said about it, and in what that differs, if it does.
fn difference(drafts: &[&Draft], stored: &Stored) -> Result<Option<(Changed, Holding)>, Error> {
    let mut holding = stored.holding()?;
    let mut changed = Changed::default();
    for draft in drafts {
        let also = (*draft).clone().apply(&mut holding);
        changed.email |= also.email;
        changed.account |= also.account;
        changed.numbers.extend(also.numbers);
    }
    Ok(if changed.is_empty() { None } else { Some((changed, holding)) })
}

pub(crate) fn erased(id: &ContactId) -> Refusal {
    let message = format!("the contact `{id}` was erased and is not to come back; leave it out");
    Refusal::new(Reason::ErasedContact, "contact.name", message)
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
    let account_id = holding.account.map(Into::into);
    Write { contact_id, email: holding.email, account_id, attributes }
}
