//! Freezing an audience: evaluated over all contacts as of one moment, whatever background work has got to.

pub(crate) mod erasing;
mod persons;

use std::collections::BTreeMap;

use cursus_ambient::Ambient;
use cursus_audience::{Bitset, Mentions, Plan};
use cursus_ids::{SegmentId, SegmentName, SnapshotName};
use prost::Message;
use sqlx::PgPool;

use crate::asked::{Asked, Begin};
use crate::block::{self, BlockName};
use crate::blocks::{self, Extent};
use crate::error::{Error, What};
use crate::page::{self, Page, Sizes};
use crate::references;
use crate::segments::SNAPSHOT;
use crate::snapshot::{Draft, Member, Snapshot};
use crate::store;
use crate::store::snapshots::Block;

const MEMBERS: Sizes = Sizes { usual: 1_000, most: 5_000 };
/// How many blocks are read at once for a page.
const BLOCKS: i64 = 4;

/// The snapshots of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    pool: PgPool,
    ambient: Ambient,
}

impl Snapshots {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
    }

    /// Takes one. The audience is computed before anything is written, in a transaction that only reads: one that
    /// writes and takes seconds would hold back everybody who watches.
    pub(crate) async fn create<R>(
        &self,
        draft: Draft,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Snapshot>,
    {
        if let Some(answer) = self.answered(&draft, &asked).await? {
            return Ok(answer);
        }
        let Taken { mut snapshot, blocks, horizon } = self.take(&draft).await?;
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, &draft.name.workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        if !store::snapshots::insert(&mut tx, &snapshot).await? {
            return Err(exists(&draft.name));
        }
        for block in &blocks {
            store::snapshots::insert_block(&mut tx, &draft.name, block).await?;
        }
        // After it was written: whoever erases waits for those who wrote before, and is seen by those who look after.
        if erasing::take_out_erased(&mut tx, &draft.name, horizon).await? {
            snapshot = store::snapshots::get(&mut tx, &draft.name).await?.unwrap_or(snapshot);
        }
        let answer = R::from(snapshot);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    pub(crate) async fn get(&self, name: &SnapshotName) -> Result<Snapshot, Error> {
        let mut conn = self.pool.acquire().await?;
        let found = store::snapshots::get(&mut conn, name).await?;
        found.ok_or_else(|| Error::no_such(What::Snapshot, name))
    }

    /// The members in the order in which they were first written, with the addresses they have now. A page has fewer of
    /// them where some have departed.
    pub(crate) async fn members(
        &self,
        name: &SnapshotName,
        (size, token): (i32, &str),
    ) -> Result<Page<Member>, Error> {
        let collection = name.to_string();
        let asked = page::Asked::new(&collection, size, token, MEMBERS)?;
        let mut conn = self.pool.acquire().await?;
        if store::snapshots::get(&mut conn, name).await?.is_none() {
            return Err(Error::no_such(What::Snapshot, name));
        }
        let mut wanted = Wanted {
            first: asked.after_ordinal()?.map_or(0, |after| after.saturating_add(1)),
            // One more tells whether there is another page.
            count: asked.size + 1,
            found: BTreeMap::new(),
        };
        while wanted.found.len() < wanted.count {
            let first = block::position(wanted.first).0;
            let blocks = store::snapshots::blocks(&mut conn, name, first, BLOCKS).await?;
            let Some(last) = blocks.last().map(|block| block.index) else { break };
            for block in blocks {
                wanted.take(name, &block)?;
            }
            wanted.first = BlockName::new(name.workspace.clone(), last + 1).ordinal(0);
        }
        let ordinals: Vec<i32> = wanted.found.keys().copied().collect();
        let page = Page::new(&collection, &asked, ordinals, ToString::to_string);
        let persons = persons::of(&mut conn, name, &page.items).await?;
        let members = persons.into_iter().map(|(ordinal, (contact, email))| {
            let labels = wanted.found.remove(&ordinal).unwrap_or_default();
            Member { contact, email, labels }
        });
        Ok(Page { items: members.collect(), next_token: page.next_token })
    }

    /// The answer that was given already, if this was asked before.
    async fn answered<R: Message + Default>(
        &self,
        draft: &Draft,
        asked: &Asked<'_, impl Message>,
    ) -> Result<Option<R>, Error> {
        let mut tx = self.pool.begin().await?;
        if let Begin::Repeat(answer) = asked.begin(&mut tx, &draft.name.workspace).await? {
            return Ok(Some(answer));
        }
        match store::snapshots::get(&mut tx, &draft.name).await? {
            Some(_) => Err(exists(&draft.name)),
            None => Ok(None),
        }
    }

    /// Evaluates the segments, one block in memory at a time.
    async fn take(&self, draft: &Draft) -> Result<Taken, Error> {
        let workspace = &draft.name.workspace;
        let mut tx = self.pool.begin_with(SNAPSHOT).await?;
        let now = self.ambient.now();
        let horizon = store::departures::horizon(&mut tx).await?;
        let vocabulary = store::attributes::all(&mut tx, workspace).await?;
        let ids: Vec<String> = draft.segments().map(ToString::to_string).collect();
        let mut audience = Audience::default();
        for segment in store::segments::by_id(&mut tx, workspace, &ids).await? {
            let plan =
                references::compile(&mut tx, workspace, &vocabulary, &segment.in_force()).await?;
            audience.mentions.merge(plan.mentions());
            audience.plans.insert(segment.name.id, (segment.revision, plan));
        }
        let revision = |id: &SegmentId| {
            let name = SegmentName::new(workspace.clone(), id.clone());
            let found = audience.plans.get(id).map(|(revision, _)| *revision);
            found.ok_or_else(|| Error::no_such(What::Segment, &name))
        };
        let mut snapshot = Snapshot {
            name: draft.name.clone(),
            include: draft.include.clone(),
            exclude: draft.exclude.clone(),
            labels: draft.labels.clone(),
            member_count: 0,
            label_counts: vec![0; draft.labels.len()],
            revisions: draft.segments().map(revision).collect::<Result<_, _>>()?,
            create_time: now,
            expire_time: now + draft.retention,
        };
        let contact_count = store::contact_count(&mut tx, workspace).await?;
        let mut blocks = Vec::new();
        for block in block::all(workspace, contact_count) {
            let extent = Extent { block: &block, contact_count, slots: None };
            let wanted = audience.mentions.clone();
            let columns = blocks::load(&mut tx, extent, &vocabulary, wanted, now).await?;
            let evaluate = |plan: &Plan| plan.evaluate(&columns, now.timestamp_micros()).bits;
            blocks.extend(audience.freeze(&mut snapshot, block.index, evaluate));
        }
        Ok(Taken { snapshot, blocks, horizon })
    }
}

fn exists(name: &SnapshotName) -> Error {
    Error::Exists { what: What::Snapshot, name: name.to_string() }
}

/// A snapshot that is not written yet.
struct Taken {
    snapshot: Snapshot,
    blocks: Vec<Block>,
    /// What departed in transactions below it was seen.
    horizon: i64,
}

/// The segments of a snapshot, each evaluated once however often it is named.
#[derive(Default)]
struct Audience {
    plans: BTreeMap<SegmentId, (i64, Plan)>,
    mentions: Mentions,
}

impl Audience {
    /// Adds a block to a snapshot, and returns what is to be kept of it, if anything.
    fn freeze(
        &self,
        snapshot: &mut Snapshot,
        index: i32,
        evaluate: impl Fn(&Plan) -> Bitset,
    ) -> Option<Block> {
        let found: BTreeMap<&SegmentId, Bitset> =
            self.plans.iter().map(|(id, (_, plan))| (id, evaluate(plan))).collect();
        let mut members = Bitset::new();
        for id in &snapshot.include {
            members |= &found[id];
        }
        for id in &snapshot.exclude {
            members -= &found[id];
        }
        if members.is_empty() {
            return None;
        }
        snapshot.member_count += i64::from(members.len());
        let mut labels = Vec::with_capacity(snapshot.labels.len());
        for (id, count) in snapshot.labels.iter().zip(&mut snapshot.label_counts) {
            let mut label = found[id].clone();
            label &= &members;
            *count += i64::from(label.len());
            labels.push(label.to_roaring_bytes());
        }
        Some(Block { index, members: members.to_roaring_bytes(), labels })
    }
}

/// The members a page is filled with.
struct Wanted {
    first: i32,
    count: usize,
    /// Their ordinals and labels.
    found: BTreeMap<i32, Vec<usize>>,
}

impl Wanted {
    fn take(&mut self, name: &SnapshotName, block: &Block) -> Result<(), Error> {
        if self.found.len() >= self.count {
            return Ok(());
        }
        let members = Bitset::from_roaring_bytes(&block.members)?;
        let labels: Vec<Bitset> = block
            .labels
            .iter()
            .map(|label| Bitset::from_roaring_bytes(label))
            .collect::<Result<_, _>>()?;
        let block = BlockName::new(name.workspace.clone(), block.index);
        for slot in members.iter() {
            let ordinal = block.ordinal(slot);
            if ordinal < self.first {
                continue;
            }
            if self.found.len() >= self.count {
                break;
            }
            let carried = labels.iter().enumerate().filter(|(_, label)| label.contains(slot));
            self.found.insert(ordinal, carried.map(|(index, _)| index).collect());
        }
        Ok(())
    }
}
