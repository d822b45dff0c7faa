//! Recording events: appended and told to those who watch, in one transaction; evaluation follows by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cursus_ambient::Ambient;
use cursus_feed::{Entry, Feed, Topic};
use cursus_ids::WorkspaceId;
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::bells::Bells;
use crate::block::{self, Happened};
use crate::error::Error;
use crate::event::{Draft, Source};
use crate::grpc::convert;
use crate::ordinals::{self, Held};
use crate::refusal::{Reason, Refusal};
use crate::store;
use crate::store::changes::Changed;
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
    feed: Feed,
    bells: Bells,
}

/// What became of events: how many were new, how many were known, and which rows are of nobody.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// The partitions whose blocks changed.
    partitions: BTreeSet<u16>,
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
    pub(crate) fn new(pool: PgPool, ambient: Ambient, feed: Feed, bells: Bells) -> Self {
        Self { pool, ambient, feed, bells }
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
        self.announce(&recorded);
        Ok(recorded)
    }

    /// Wakes those who evaluate, and those who watch: what was recorded is committed.
    pub(crate) fn announce(&self, recorded: &Recorded) {
        if recorded.new > 0 {
            recorded.partitions.iter().for_each(|partition| self.bells.announce(*partition));
            self.feed.announce(FEED);
        }
    }

    /// Records in the caller's transaction, who is to [announce](Self::announce) it when that is committed.
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
        recorded.partitions = tell(tx, workspace, &fresh, (&held, source)).await?;
        Ok(recorded)
    }
}

/// Tells those who evaluate, and those who watch. Returns the partitions of the former.
async fn tell(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    fresh: &[&Draft],
    (held, source): (&HashMap<String, Held>, Source),
) -> Result<BTreeSet<u16>, Error> {
    if fresh.is_empty() {
        return Ok(BTreeSet::new());
    }
    // Each name by itself and with the times, so that whoever evaluates need not read all that these contacts ever did.
    let mut events: BTreeMap<&str, Vec<(i32, i64)>> = BTreeMap::new();
    for draft in fresh {
        let event = |held: &Held| (held.ordinal, draft.time.timestamp_micros());
        events.entry(&draft.name).or_default().extend(held.get(draft.contact.as_ref()).map(event));
    }
    let happened: Vec<([String; 1], Vec<Happened>)> = events
        .into_iter()
        .map(|(name, events)| ([name.to_owned()], block::happened(workspace, events)))
        .collect();
    let changed = happened.iter().flat_map(|(name, happened)| {
        happened.iter().map(|it| Changed {
            block: &it.block,
            slots: it.slots.as_deref(),
            names: Some(name),
            times: &it.times,
        })
    });
    let changed: Vec<Changed<'_>> = changed.collect();
    store::changes::note(tx, workspace, &changed, Cause::Event).await?;
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
        cursus_feed::append_unannounced(tx, FEED, &entries).await?;
    }
    let partition = |it: &Changed<'_>| u16::try_from(it.block.partition()).ok();
    Ok(changed.iter().filter_map(partition).collect())
}

fn unknown(draft: &Draft) -> Refusal {
    let message = format!("no contact `{}` is known; write it first", draft.contact);
    Refusal::new(Reason::UnknownContact, "event.contact", message)
}
