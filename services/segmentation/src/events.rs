//! Recording events: appended and told to those who watch, in one transaction; evaluation follows by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cursus_ambient::Ambient;
use cursus_feed::{Entry, Topic};
use cursus_ids::{ContactName, WorkspaceId};
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::block;
use crate::contacts::Contacts;
use crate::error::Error;
use crate::event::{Draft, Source};
use crate::grpc::convert;
use crate::refusal::{Reason, Refusal};
use crate::store;
use crate::transition::Cause;

/// What was recorded from outside.
pub(crate) const FEED: Topic = Topic::new("events");

/// The events of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pool: PgPool,
    ambient: Ambient,
    contacts: Contacts,
}

/// What became of events: how many were new, how many were known, and which rows are of nobody.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) new: i64,
    pub(crate) known: i64,
    pub(crate) refused: Vec<(usize, Refusal)>,
}

/// What becomes of the other events when one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Recorded,
    Refused,
}

impl Events {
    pub(crate) fn new(pool: PgPool, ambient: Ambient, contacts: Contacts) -> Self {
        Self { pool, ambient, contacts }
    }

    /// Records what a caller tells, in one transaction. Events of contacts that do not exist are refused; are the others
    /// recorded all the same?
    pub(crate) async fn record(
        &self,
        workspace: &WorkspaceId,
        drafts: &[Draft],
        others: Others,
    ) -> Result<Recorded, Error> {
        let mut tx = self.pool.begin().await?;
        let mut recorded = self.record_in(&mut tx, workspace, drafts, Source::Caller).await?;
        if others == Others::Refused && !recorded.refused.is_empty() {
            let (row, refusal) = recorded.refused.swap_remove(0);
            return Err(Error::Refused { row: Some(row), refusal });
        }
        tx.commit().await?;
        Ok(recorded)
    }

    /// Records in the caller's transaction.
    pub(crate) async fn record_in(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        drafts: &[Draft],
        source: Source,
    ) -> Result<Recorded, Error> {
        let ordinals = self.ordinals(tx, workspace, drafts).await?;
        let mut recorded = Recorded::default();
        let mut told: BTreeMap<&str, (i32, &Draft)> = BTreeMap::new();
        for (row, draft) in drafts.iter().enumerate() {
            match ordinals.get(draft.contact.as_ref()) {
                None => recorded.refused.push((row, unknown(draft))),
                Some(_) if told.contains_key(draft.id.as_str()) => recorded.known += 1,
                Some(ordinal) => drop(told.insert(&draft.id, (*ordinal, draft))),
            }
        }
        let now = self.ambient.now();
        let rows: Vec<(i32, &Draft)> = told.values().copied().collect();
        let new: HashSet<String> =
            store::events::insert(tx, workspace, source, &rows, now).await?.into_iter().collect();
        recorded.new = i64::try_from(new.len()).unwrap_or(i64::MAX);
        recorded.known += i64::try_from(rows.len() - new.len()).unwrap_or(i64::MAX);
        let mut first = new.clone();
        // In the order in which they were told.
        let fresh: Vec<&Draft> = drafts
            .iter()
            .filter(|draft| {
                ordinals.contains_key(draft.contact.as_ref()) && first.remove(&draft.id)
            })
            .collect();
        tell(tx, workspace, &fresh, (&ordinals, source)).await?;
        Ok(recorded)
    }

    async fn ordinals(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        drafts: &[Draft],
    ) -> Result<HashMap<String, i32>, Error> {
        let names: BTreeSet<ContactName> = drafts
            .iter()
            .map(|draft| ContactName::new(workspace.clone(), draft.contact.clone()))
            .collect();
        let names: Vec<ContactName> = names.into_iter().collect();
        let found = self.contacts.ordinals(tx, &names).await?;
        Ok(found.into_iter().map(|(name, ordinal)| (name.id.to_string(), ordinal)).collect())
    }
}

/// Tells those who evaluate, and those who watch.
async fn tell(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    fresh: &[&Draft],
    (ordinals, source): (&HashMap<String, i32>, Source),
) -> Result<(), Error> {
    if fresh.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<&str> = fresh.iter().map(|draft| draft.name.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let of = fresh.iter().filter_map(|draft| ordinals.get(draft.contact.as_ref()).copied());
    let blocks = block::changed(workspace, of);
    store::blocks::insert_caused_changes(tx, workspace, &blocks, Some(&names), Cause::Event)
        .await?;
    if source == Source::Caller {
        let entry = |draft: &&Draft| Entry {
            workspace_id: workspace.to_string(),
            kind: "event",
            payload: convert::encode_event(workspace, draft).encode_to_vec(),
        };
        let entries: Vec<Entry> = fresh.iter().map(entry).collect();
        cursus_feed::append(tx, FEED, &entries).await?;
    }
    Ok(())
}

fn unknown(draft: &Draft) -> Refusal {
    let message = format!("no contact `{}` is known; write it first", draft.contact);
    Refusal::new(Reason::UnknownContact, "event.contact", message)
}
