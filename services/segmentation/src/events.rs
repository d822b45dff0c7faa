//! Recording events: appended and told to those who watch, in one transaction; evaluation follows by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cursus_ambient::Ambient;
use cursus_feed::{Entry, Topic};
use cursus_ids::WorkspaceId;
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::block;
use crate::error::Error;
use crate::event::{Draft, Source};
use crate::grpc::convert;
use crate::ordinals::{self, Held};
use crate::refusal::{Reason, Refusal};
use crate::store;
use crate::store::blocks::Changed;
use crate::transition::Cause;

/// What was recorded from outside.
pub(crate) const FEED: Topic = Topic::new("events");

/// The kind of fact that is an event. One whose contact was erased since is of another kind, and is passed over.
pub(crate) const TOLD: &str = "event";

/// The events of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pool: PgPool,
    ambient: Ambient,
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
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
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
        let asked: BTreeSet<&str> = drafts.iter().map(|draft| draft.contact.as_ref()).collect();
        let asked = asked.into_iter().map(str::to_owned).collect();
        let held = ordinals::hold(tx, workspace, asked).await?;
        let mut recorded = Recorded::default();
        let mut told: BTreeMap<&str, (i32, &Draft)> = BTreeMap::new();
        for (row, draft) in drafts.iter().enumerate() {
            match held.get(draft.contact.as_ref()) {
                None => recorded.refused.push((row, unknown(draft))),
                Some(_) if told.contains_key(draft.id.as_str()) => recorded.known += 1,
                Some(held) => drop(told.insert(&draft.id, (held.ordinal, draft))),
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
            .filter(|draft| held.contains_key(draft.contact.as_ref()) && first.remove(&draft.id))
            .collect();
        tell(tx, workspace, &fresh, (&held, source)).await?;
        Ok(recorded)
    }
}

/// Tells those who evaluate, and those who watch.
async fn tell(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    fresh: &[&Draft],
    (held, source): (&HashMap<String, Held>, Source),
) -> Result<(), Error> {
    if fresh.is_empty() {
        return Ok(());
    }
    let mut ordinals: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for draft in fresh {
        let held = held.get(draft.contact.as_ref());
        ordinals.entry(&draft.name).or_default().extend(held.map(|held| held.ordinal));
    }
    // Each name by itself, so that whoever evaluates reads what is new and not all that these contacts ever did.
    let changed: Vec<([String; 1], Vec<_>)> = ordinals
        .into_iter()
        .map(|(name, ordinals)| ([name.to_owned()], block::changed(workspace, ordinals)))
        .collect();
    let changed: Vec<Changed<'_>> =
        changed.iter().map(|(name, blocks)| (Some(&name[..]), &blocks[..])).collect();
    store::blocks::insert_caused_changes(tx, workspace, &changed, Cause::Event).await?;
    if source == Source::Caller {
        // Of one who was merged, those who watch are told the contact it became.
        let entry = |draft: &&Draft| {
            let contact = &held.get(draft.contact.as_ref())?.id;
            Some(Entry {
                workspace_id: workspace.to_string(),
                kind: TOLD,
                payload: convert::encode_event(workspace, contact, draft).encode_to_vec(),
            })
        };
        let entries: Vec<Entry> = fresh.iter().filter_map(entry).collect();
        cursus_feed::append(tx, FEED, &entries).await?;
    }
    Ok(())
}

fn unknown(draft: &Draft) -> Refusal {
    let message = format!("no contact `{}` is known; write it first", draft.contact);
    Refusal::new(Reason::UnknownContact, "event.contact", message)
}
