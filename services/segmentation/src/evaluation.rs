//! Evaluating blocks: one transaction takes what changed in some of a partition's blocks and lets time pass in them,
//! and writes who is in the segments and who entered and left.
//!
//! Blocks stay in memory between evaluations, so only contacts to whom something happened are read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use cursus_audience::Plan;
use cursus_feed::Feed;
use cursus_ids::{SegmentName, WorkspaceId};
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::attribute::Vocabulary;
use crate::bells::{Bells, NewVersion};
use crate::bitmaps::{Bitmap, Bitmaps, Named};
use crate::block::{BlockName, Change};
use crate::error::Error;
use crate::membership::{Place, Stored, Version};
use crate::metrics;
use crate::promotion;
use crate::recent::Recent;
use crate::references;
use crate::resident::{Resident, Source, Wanted, is_mass};
use crate::residents::Tenancy;
use crate::store;
use crate::store::containers::Write;
use crate::store::segments::Revision;
use crate::transition::{Cause, Crossing};
use crate::transitions;

/// How many compiled rules a replica remembers.
const PLANS: usize = 5_000;

/// Evaluates blocks, some of one partition at a time.
#[derive(Clone, Debug)]
pub(crate) struct Evaluator {
    ambient: Ambient,
    bitmaps: Bitmaps,
    feed: Feed,
    bells: Bells,
    /// A revision means one rule for ever.
    plans: Arc<Recent<(WorkspaceId, Revision), Arc<Plan>>>,
}

/// What is to be evaluated together: blocks and what happened to them, which may be nothing but time.
pub(crate) type Batch = BTreeMap<BlockName, Vec<Change>>;

/// What an evaluation found.
#[derive(Default)]
struct Findings {
    /// The blocks, to be kept once this is committed.
    residents: Vec<(BlockName, Box<Resident>)>,
    writes: Vec<Write>,
    crossings: Vec<(BlockName, Crossing)>,
    /// Blocks whose rules changed, and the revisions whose containers stay.
    kept: Vec<(BlockName, Vec<Revision>)>,
    next_changes: Vec<(BlockName, Option<DateTime<Utc>>)>,
}

impl Evaluator {
    pub(crate) fn new(ambient: Ambient, bitmaps: Bitmaps, (feed, bells): (Feed, Bells)) -> Self {
        Self { ambient, bitmaps, feed, bells, plans: Arc::new(Recent::new(PLANS)) }
    }

    /// Brings every segment up to date in some blocks, and says when each block is due next. As many contacts as the
    /// budget allows enter or leave by time alone; for the others their blocks are due still.
    pub(crate) async fn evaluate(
        &self,
        tx: sqlx::Transaction<'_, sqlx::Postgres>,
        tenancy: &Tenancy,
        (partition, batch): (i16, Batch),
        mut budget: usize,
    ) -> Result<Evaluated, Error> {
        let mut tx = tx;
        let begun = Instant::now();
        let now = self.ambient.now();
        let mut findings = Findings::default();
        for (block, changes) in &batch {
            let resident = tenancy.take(block).filter(|_| !is_mass(changes));
            metrics::evaluated(resident.is_none());
            let found = self.find(&mut tx, (block, changes), resident, (now, &mut budget)).await?;
            findings.add(block, found, now);
        }
        let ids: Vec<i64> = batch.values().flatten().map(|change| change.id).collect();
        let record_time = self.ambient.now();
        let versions = findings.write(&mut tx, (partition, &ids), record_time).await?;
        tx.commit().await?;
        let committed = self.ambient.now();
        let is_first = findings.writes.iter().any(|write| write.stored.is_none());
        let next = findings.next();
        let Findings { residents, writes, crossings, .. } = findings;
        let news = news(&writes, &versions);
        self.copy(writes, &versions).await;
        for (workspace, versions) in news {
            self.bells.announce_versions(workspace.as_ref(), versions);
        }
        if !crossings.is_empty() {
            self.feed.announce(transitions::FEED);
        }
        for (block, resident) in residents {
            tenancy.put(block, resident);
        }
        metrics::transitions(crossings.iter().map(|(_, crossing)| crossing), committed);
        let ages = batch.values().flatten().filter(|change| change.cause != Cause::RuleChanged);
        metrics::changes_visible(ages.map(|change| change.age), begun.elapsed());
        Ok(Evaluated { next, is_first })
    }

    /// Does what a crash between an evaluation and the promotion after it left undone.
    pub(crate) async fn promote_all(&self, conn: &mut PgConnection) -> Result<(), Error> {
        for workspace in store::segments::computing(conn).await? {
            self.promote(conn, &workspace).await?;
        }
        Ok(())
    }

    /// Has what is computed read. Of those who finish the last blocks together, the later sees what the other committed.
    pub(crate) async fn promote(
        &self,
        conn: &mut PgConnection,
        workspace: &WorkspaceId,
    ) -> Result<(), Error> {
        promotion::promote_computed(conn, workspace, self.ambient.now()).await
    }

    /// Asks everybody who is due, and those to whom something happened.
    async fn find(
        &self,
        tx: &mut PgConnection,
        (block, changes): (&BlockName, &[Change]),
        resident: Option<Box<Resident>>,
        (now, budget): (DateTime<Utc>, &mut usize),
    ) -> Result<(Box<Resident>, bool), Error> {
        let micros = now.timestamp_micros();
        let happened = changes.iter().any(|change| change.cause != Cause::RuleChanged);
        let is_other = changes.iter().any(|change| change.cause == Cause::RuleChanged);
        let contact_count = if happened || is_other || resident.is_none() {
            store::contact_count(tx, &block.workspace).await?
        } else {
            0
        };
        let source = Source { block, contact_count, now };
        let Some(mut resident) = resident else {
            let (vocabulary, wanted) = self.wanted(tx, block).await?;
            let next = store::blocks::next_change(tx, block).await?;
            let mut resident =
                Resident::load(tx, source, (vocabulary, wanted), (changes, next)).await?;
            resident.pass(changes, micros, budget, true);
            resident.reconsider(changes, micros);
            return Ok((Box::new(resident), true));
        };
        let mut new = Vec::new();
        if is_other {
            let (vocabulary, wanted) = self.wanted(tx, block).await?;
            resident.vocabulary = vocabulary;
            new = resident.refollow(wanted);
        }
        resident.pass(changes, micros, budget, false);
        if happened {
            resident.patch(tx, source, changes).await?;
            resident.reconsider(changes, micros);
        }
        if is_other {
            resident.take_up(tx, source, new, changes).await?;
        }
        Ok((resident, is_other))
    }

    /// What is to be followed in a block, with what is stored of it.
    async fn wanted(
        &self,
        tx: &mut PgConnection,
        block: &BlockName,
    ) -> Result<(Arc<Vocabulary>, Vec<(Wanted, Option<Stored>)>), Error> {
        let vocabulary = store::attributes::all(tx, &block.workspace).await?;
        let mut stored: HashMap<Revision, Stored> =
            store::containers::members(tx, block).await?.into_iter().collect();
        let mut wanted = Vec::new();
        for (revision, served) in store::segments::followed(tx, &block.workspace).await? {
            let stored = stored.remove(&revision);
            match self.plan(tx, &block.workspace, &vocabulary, &revision).await {
                Ok(plan) => wanted.push(((revision, served, plan), stored)),
                // It was checked when it was written; the other segments must not suffer.
                Err(Error::Rule(error)) => tracing::error!(
                    workspace.id = %block.workspace,
                    segment.id = %revision.segment,
                    %error,
                    "a stored rule no longer makes sense"
                ),
                Err(error) => return Err(error),
            }
        }
        Ok((Arc::new(vocabulary), wanted))
    }

    async fn plan(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        revision: &Revision,
    ) -> Result<Arc<Plan>, Error> {
        let key = (workspace.clone(), revision.clone());
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let plan = Arc::new(references::compile(tx, workspace, vocabulary, revision).await?);
        self.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    /// Copies what was committed to where it is read from.
    async fn copy(&self, writes: Vec<Write>, versions: &[Version]) {
        let copies = writes.into_iter().zip(versions).map(|(write, version)| {
            let Revision { segment, number: revision } = write.revision;
            let segment = SegmentName::new(write.block.workspace, segment);
            let place = Place { segment, revision };
            let named = |version| Named::new(&place, write.block.index, version);
            Bitmap {
                name: named(*version),
                members: write.members,
                instead: write.stored.map(named),
            }
        });
        self.bitmaps.fill(copies.collect()).await;
    }
}

/// What is new in each workspace.
fn news(writes: &[Write], versions: &[Version]) -> BTreeMap<WorkspaceId, Vec<NewVersion>> {
    let mut news: BTreeMap<WorkspaceId, Vec<NewVersion>> = BTreeMap::new();
    for (write, version) in writes.iter().zip(versions) {
        let Revision { segment, number } = &write.revision;
        news.entry(write.block.workspace.clone()).or_default().push(NewVersion {
            segment: segment.clone(),
            revision: *number,
            block: write.block.index,
            version: *version,
        });
    }
    news
}

/// What became of a batch: when each of its blocks is due next, and whether a revision was computed for the first time.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) next: Vec<(BlockName, Option<DateTime<Utc>>)>,
    pub(crate) is_first: bool,
}

impl Findings {
    /// Takes in a block as it is now.
    fn add(
        &mut self,
        block: &BlockName,
        (mut resident, is_other): (Box<Resident>, bool),
        now: DateTime<Utc>,
    ) {
        for following in &mut resident.followed {
            let (form, crossings) = following.take();
            self.crossings.extend(crossings.into_iter().map(|it| (block.clone(), it)));
            if let Some(form) = form {
                self.writes.push(Write {
                    block: block.clone(),
                    revision: following.revision.clone(),
                    members: following.members.clone(),
                    form,
                    served: following.served,
                    stored: following.stored,
                });
            }
        }
        if is_other {
            let revisions = resident.followed.iter().map(|following| following.revision.clone());
            self.kept.push((block.clone(), revisions.collect()));
        }
        if let Some(next) = resident.next_to_store(now.timestamp_micros()) {
            resident.stored_next = next;
            self.next_changes.push((block.clone(), next));
        }
        self.residents.push((block.clone(), resident));
    }

    /// Writes it. Nothing was written before everything was found: whoever watches a feed waits for transactions that
    /// write.
    async fn write(
        &mut self,
        tx: &mut PgConnection,
        (partition, changes): (i16, &[i64]),
        now: DateTime<Utc>,
    ) -> Result<Vec<Version>, Error> {
        if !self.writes.is_empty() || !self.kept.is_empty() {
            let written = self.residents.iter().map(|(block, _)| block.workspace.to_string());
            store::segments::exclude_promotions(tx, &written.collect::<Vec<_>>()).await?;
        }
        let fresh = self.writes.iter().filter(|write| write.stored.is_none());
        let fresh: Vec<SegmentName> = fresh
            .map(|write| {
                SegmentName::new(write.block.workspace.clone(), write.revision.segment.clone())
            })
            .collect();
        if !fresh.is_empty() {
            store::segments::hold(tx, &fresh).await?;
        }
        for (block, revisions) in &self.kept {
            store::containers::delete_others(tx, block, revisions).await?;
        }
        let mut versions = Vec::new();
        if !self.writes.is_empty() {
            // In one order, so that evaluations and promotions never wait for each other in a circle.
            self.writes.sort_by(|one, other| one.revision.cmp(&other.revision));
            versions = store::containers::write(tx, &self.writes).await?;
            self.remember(&versions);
        }
        transitions::record(tx, &self.crossings, now).await?;
        if !changes.is_empty() {
            store::changes::delete(tx, partition, changes).await?;
        }
        if !self.next_changes.is_empty() {
            store::blocks::set_next_changes(tx, &self.next_changes).await?;
        }
        Ok(versions)
    }

    /// The blocks know what is stored of them, should this be committed.
    fn remember(&mut self, versions: &[Version]) {
        let written = self.writes.iter().map(|write| (&write.block, &write.revision));
        let written: HashMap<_, _> = written.zip(versions).collect();
        for (block, resident) in &mut self.residents {
            for following in &mut resident.followed {
                if let Some(version) = written.get(&(&*block, &following.revision)) {
                    following.stored = Some(**version);
                }
            }
        }
    }

    fn next(&self) -> Vec<(BlockName, Option<DateTime<Utc>>)> {
        let next = |(block, resident): &(BlockName, Box<Resident>)| {
            (block.clone(), resident.next().map(crate::following::moment))
        };
        self.residents.iter().map(next).collect()
    }
}
