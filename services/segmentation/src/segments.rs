//! Creating segments, changing them, and asking what a rule would do. Their members are computed in the background.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use cursus_audience::{Block, BlockBuilder, ClauseCount, Plan};
use cursus_ids::{SegmentName, WorkspaceId};
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::asked::{Asked, Begin};
use crate::block::{self, BlockName};
use crate::blocks::{self, Extent};
use crate::contact::Contact;
use crate::error::{Error, What};
use crate::membership::Place;
use crate::page::{self, Page};
use crate::promotion;
use crate::questions::Questions;
use crate::references;
use crate::segment::{Change, DisplayName, Draft, Segment, Written};
use crate::store;
use crate::store::segments::Revision;

const LIST: &str = "segments";

/// The segments of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    pool: PgPool,
    ambient: Ambient,
    questions: Questions,
}

/// What a rule would do now.
#[derive(Debug, Default)]
pub(crate) struct Preview {
    pub(crate) rule_text: String,
    pub(crate) contact_count: i64,
    pub(crate) member_count: i64,
    /// Each clause, and how many contacts are left after it.
    pub(crate) clauses: Vec<(String, i64)>,
    pub(crate) sample: Vec<Contact>,
}

impl Segments {
    pub(crate) fn new(pool: PgPool, ambient: Ambient, questions: Questions) -> Self {
        Self { pool, ambient, questions }
    }

    pub(crate) async fn create<R>(
        &self,
        draft: Draft,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Segment>,
    {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, &draft.name.workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let now = self.ambient.now();
        let contact_count = store::lock_workspace(&mut tx, &draft.name.workspace).await?;
        check(&mut tx, &draft.name, &draft.rule).await?;
        let Some(number) = store::segments::insert(&mut tx, &draft, now).await? else {
            return Err(Error::Exists { what: What::Segment, name: draft.name.to_string() });
        };
        let revision = revise_rule(&mut tx, &draft.name, (number, &draft.rule), now).await?;
        compute(&mut tx, &draft.name.workspace, &[revision], (contact_count, now)).await?;
        let answer = R::from(get(&mut tx, &draft.name).await?);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    pub(crate) async fn update<R>(
        &self,
        change: Change,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Segment>,
    {
        let workspace = &change.name.workspace;
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let now = self.ambient.now();
        let contact_count = store::lock_workspace(&mut tx, workspace).await?;
        let before = get(&mut tx, &change.name).await?;
        if change.etag.is_some_and(|etag| etag != before.etag.to_string()) {
            return Err(Error::Stale(change.name.to_string()));
        }
        let display_name =
            change.display_name.map_or(before.display_name, DisplayName::into_string);
        let mut revised = Vec::new();
        if let Some(written) = change.rule.filter(|written| written.rule != before.rule) {
            check(&mut tx, &change.name, &written).await?;
            let number = before.revision + 1;
            let changed = revise_rule(&mut tx, &change.name, (number, &written), now).await?;
            revised = references::follow(&mut tx, workspace, changed, now).await?;
        }
        let revision = revised.first().map_or(before.revision, |first| first.number);
        store::segments::update(&mut tx, &change.name, &display_name, revision, now).await?;
        if !revised.is_empty() {
            compute(&mut tx, workspace, &revised, (contact_count, now)).await?;
        }
        let answer = R::from(get(&mut tx, &change.name).await?);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    pub(crate) async fn delete(
        &self,
        name: &SegmentName,
        asked: Asked<'_, impl Message>,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        store::segments::exclude_evaluations(&mut tx, &name.workspace).await?;
        let first = match asked.begin(&mut tx, &name.workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let contact_count = store::lock_workspace(&mut tx, &name.workspace).await?;
        let dependents = store::revisions::dependents(&mut tx, &name.workspace, &name.id).await?;
        if let Some(by) = dependents.first() {
            let by = SegmentName::new(name.workspace.clone(), by.segment.clone()).to_string();
            return Err(Error::InUse { segment: name.to_string(), by });
        }
        let Some((_, ready)) = store::segments::lock(&mut tx, name).await? else {
            return Err(Error::no_such(What::Segment, name));
        };
        let now = self.ambient.now();
        store::segments::delete(&mut tx, name, now).await?;
        if let Some(revision) = ready {
            let place = Place { segment: name.clone(), revision };
            promotion::retire(&mut tx, &place, now).await?;
        }
        revise(&mut tx, &name.workspace, contact_count).await?;
        store::containers::notify(&mut tx, &name.workspace).await?;
        first.finish(&mut tx, &()).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn get(&self, name: &SegmentName) -> Result<Segment, Error> {
        let mut conn = self.pool.acquire().await?;
        get(&mut conn, name).await
    }

    /// Segments in the order of their ids.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        (size, token): (i32, &str),
    ) -> Result<Page<Segment>, Error> {
        let asked = page::Asked::new(LIST, size, token, page::USUAL)?;
        let after = asked.after.as_deref().unwrap_or_default();
        let limit = i64::try_from(asked.size + 1).unwrap_or(i64::MAX);
        let mut conn = self.pool.acquire().await?;
        let segments = store::segments::list(&mut conn, workspace, after, limit).await?;
        Ok(Page::new(LIST, &asked, segments, |segment| segment.name.id.to_string()))
    }

    /// Evaluates a rule at this moment, over all contacts: in memory where this process has them, and otherwise as
    /// Postgres has them, one block in memory at a time.
    pub(crate) async fn preview(
        &self,
        workspace: &WorkspaceId,
        written: &Written,
        sample_size: usize,
    ) -> Result<Preview, Error> {
        let mut tx = self.pool.begin_with(SNAPSHOT).await?;
        let now = self.ambient.now();
        let vocabulary = store::attributes::all(&mut tx, workspace).await?;
        let rule = &written.rule;
        let plan = references::compile_new(&mut tx, workspace, &vocabulary, (None, rule)).await;
        let plan: Arc<Plan> = Arc::new(plan.map_err(|error| written.blame(error))?);
        let contact_count = store::contact_count(&mut tx, workspace).await?;
        let blocks: Vec<BlockName> = block::all(workspace, contact_count).collect();
        let asked = Arc::clone(&plan);
        let look = move |block: &BlockName, columns: &Block, now: DateTime<Utc>| {
            Glance::new(&asked, block, (columns, now), sample_size)
        };
        let mut seen = self.questions.ask(&blocks, plan.mentions(), look.clone()).await;
        // So that a workspace without contacts shows its clauses, too.
        let nobody = BlockBuilder::new(plan.mentions().clone()).build();
        let mut total =
            Glance { clauses: plan.funnel(&nobody, now.timestamp_micros()), ..Glance::default() };
        for block in blocks {
            let glance = if let Some(glance) = seen.remove(&block) {
                glance
            } else {
                let extent = Extent { block: &block, contact_count, slots: None };
                let wanted = plan.mentions().clone();
                let columns = blocks::load(&mut tx, extent, &vocabulary, wanted, now).await?;
                look(&block, &columns, now)
            };
            total.add(glance);
        }
        total.sample.truncate(sample_size);
        let mut sample = Vec::with_capacity(total.sample.len());
        for stored in store::contacts::by_ordinal(&mut tx, workspace, &total.sample).await? {
            sample.push(stored.into_contact(workspace, &vocabulary)?);
        }
        let clause = |clause: ClauseCount| (clause.text, i64::from(clause.remaining));
        Ok(Preview {
            rule_text: rule.to_string(),
            contact_count: total.contacts,
            member_count: total.members,
            clauses: total.clauses.into_iter().map(clause).collect(),
            sample,
        })
    }
}

/// What a preview sees in a block.
#[derive(Debug, Default)]
struct Glance {
    contacts: i64,
    members: i64,
    clauses: Vec<ClauseCount>,
    /// Ordinals of members.
    sample: Vec<i32>,
}

impl Glance {
    fn new(
        plan: &Plan,
        block: &BlockName,
        (columns, now): (&Block, DateTime<Utc>),
        sample_size: usize,
    ) -> Self {
        let now = now.timestamp_micros();
        let members = plan.evaluate(columns, now).bits;
        Self {
            contacts: i64::from(columns.live().len()),
            members: i64::from(members.len()),
            clauses: plan.funnel(columns, now),
            sample: members.iter().take(sample_size).map(|slot| block.ordinal(slot)).collect(),
        }
    }

    fn add(&mut self, block: Self) {
        self.contacts += block.contacts;
        self.members += block.members;
        self.sample.extend(block.sample);
        for (all, clause) in self.clauses.iter_mut().zip(block.clauses) {
            all.remaining += clause.remaining;
        }
    }
}

/// Reads only, and everything as of one moment.
pub(crate) const SNAPSHOT: &str = "begin isolation level repeatable read read only";

async fn get(conn: &mut PgConnection, name: &SegmentName) -> Result<Segment, Error> {
    let ids = [name.id.to_string()];
    let found = store::segments::by_id(conn, &name.workspace, &ids).await?;
    found.into_iter().next().ok_or_else(|| Error::no_such(What::Segment, name))
}

/// Refuses a rule that makes no sense in the workspace.
async fn check(tx: &mut PgConnection, name: &SegmentName, written: &Written) -> Result<(), Error> {
    let vocabulary = store::attributes::all(tx, &name.workspace).await?;
    let rule = (Some(&name.id), &written.rule);
    let compiled = references::compile_new(tx, &name.workspace, &vocabulary, rule).await;
    compiled.map_err(|error| written.blame(error))?;
    Ok(())
}

/// Keeps a revision of a rule with the revisions of the segments it refers to.
async fn revise_rule(
    tx: &mut PgConnection,
    name: &SegmentName,
    (number, written): (i64, &Written),
    now: DateTime<Utc>,
) -> Result<Revision, Error> {
    let revision = Revision { segment: name.id.clone(), number };
    let meant = references::in_force(tx, &name.workspace, &written.rule).await?;
    let key = (&name.workspace, &revision);
    store::revisions::insert_revision(tx, key, &written.rule, &meant, now).await?;
    Ok(revision)
}

/// Has new revisions computed. Without contacts they are ready already.
async fn compute(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    revisions: &[Revision],
    (contact_count, now): (i32, DateTime<Utc>),
) -> Result<(), Error> {
    if contact_count == 0 {
        for revision in revisions {
            let name = SegmentName::new(workspace.clone(), revision.segment.clone());
            store::segments::set_ready(tx, &name, revision.number, now).await?;
        }
    }
    revise(tx, workspace, contact_count).await
}

/// Has every block looked at because the segments have changed, though no contact did. The workspace is locked, so no
/// block is added meanwhile that would be overlooked.
pub(crate) async fn revise(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    contact_count: i32,
) -> Result<(), Error> {
    let blocks: Vec<(BlockName, Option<Vec<u16>>)> =
        block::all(workspace, contact_count).map(|block| (block, Some(Vec::new()))).collect();
    Ok(store::changes::insert(tx, workspace, &blocks, Some(&[])).await?)
}
