//! What segments are about to do, and which deserve to exist: computed on demand from one moment's data, one block in
//! memory at a time.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_ambient::Ambient;
use cursus_audience::{
    Bitset, Block, Explanation, Mentions, Operator, Plan, Reach, Rule, SLOTS, Value,
};
use cursus_ids::{ContactName, SegmentId, SegmentName, WorkspaceId};
use cursus_statistics::Alpha;
use sqlx::{PgConnection, PgPool};

use crate::advice::{Cells, Kind, Set};
use crate::attribute::{CREATE_TIME, Vocabulary};
use crate::block::{self, BlockName, position};
use crate::blocks::{self, Extent};
use crate::error::{Error, What};
use crate::packed;
use crate::questions::Questions;
use crate::references;
use crate::segments::SNAPSHOT;
use crate::store;
use crate::store::blocks::{EventRow, EventsWanted};

/// At how many moments of the horizon sizes are told, its ends included.
const MOMENTS: i32 = 5;

/// Answers questions about segments as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Insights {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) questions: Questions,
}

/// How large a segment is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) time: DateTime<Utc>,
    pub(crate) members: i64,
}

/// A day in which nothing happens but time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) size: Size,
    pub(crate) entered: i64,
    pub(crate) left: i64,
}

/// A segment's near future.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    pub(crate) revision: i64,
    pub(crate) now: Size,
    pub(crate) days: Vec<Day>,
}

/// The same of some contacts.
#[derive(Clone, Debug)]
struct Prospect {
    now: Size,
    days: Vec<Day>,
}

/// By what segments are told apart.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) event: String,
    /// Summed; `None` asks whether it happened.
    pub(crate) property: Option<String>,
}

/// What segments are asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) workspace: WorkspaceId,
    pub(crate) segments: Vec<SegmentId>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) horizon: TimeDelta,
    pub(crate) alpha: Alpha,
}

/// What their members did, from which everything else follows.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
    pub(crate) revisions: Vec<i64>,
    /// By segment, over the horizon.
    pub(crate) sizes: Vec<Vec<Size>>,
    pub(crate) cells: Cells,
}

/// A segment as it is asked.
struct Asked {
    revision: i64,
    plan: Plan,
}

/// Why a contact is in a segment or is not, told in a form of the caller's.
#[derive(Debug)]
pub(crate) struct Explained<T> {
    pub(crate) revision: i64,
    pub(crate) time: DateTime<Utc>,
    pub(crate) explanation: T,
}

impl Insights {
    /// Why a contact is in a segment or is not.
    pub(crate) async fn explain<T>(
        &self,
        segment: &SegmentName,
        contact: &ContactName,
        tell: impl FnOnce(&Explanation<'_>) -> T,
    ) -> Result<Explained<T>, Error> {
        let workspace = &segment.workspace;
        let mut tx = self.pool.begin_with(SNAPSHOT).await?;
        let time = self.ambient.now();
        let vocabulary = store::attributes::all(&mut tx, workspace).await?;
        let Asked { revision, plan } = asked(&mut tx, segment, &vocabulary).await?;
        let found =
            store::contacts::ordinals(&mut tx, workspace, &[contact.id.to_string()]).await?;
        let nobody = || Error::no_such(What::Contact, contact);
        let (_, ordinal) = found.into_iter().next().ok_or_else(nobody)?;
        let (index, slot) = position(ordinal);
        let block = BlockName::new(workspace.clone(), index);
        let contact_count = store::contact_count(&mut tx, workspace).await?;
        let extent = Extent { block: &block, contact_count, slots: Some(&[slot]) };
        // Since when something is so may lie further back than the rule looks.
        let wanted = plan.mentions().clone().with_all_of_the_past();
        let columns = blocks::load(&mut tx, extent, &vocabulary, wanted, time).await?;
        let explanation =
            plan.explain(&columns, slot, time.timestamp_micros()).ok_or_else(nobody)?;
        Ok(Explained { revision, time, explanation: tell(&explanation) })
    }

    /// How large a segment is at the end of each of the next days.
    pub(crate) async fn forecast(&self, name: &SegmentName, days: i32) -> Result<Forecast, Error> {
        let mut tx = self.pool.begin_with(SNAPSHOT).await?;
        let now = self.ambient.now();
        let vocabulary = store::attributes::all(&mut tx, &name.workspace).await?;
        let Asked { revision, plan } = asked(&mut tx, name, &vocabulary).await?;
        let contact_count = store::contact_count(&mut tx, &name.workspace).await?;
        let blocks: Vec<BlockName> = block::all(&name.workspace, contact_count).collect();
        let mentions = plan.mentions().clone();
        let plan = Arc::new(plan);
        let look = move |_: &BlockName, columns: &Block, now: DateTime<Utc>| {
            Prospect::new(now, days, |time| plan.evaluate(columns, time.timestamp_micros()).bits)
        };
        let mut seen = self.questions.ask(&blocks, &mentions, look.clone()).await;
        let mut total = Prospect::new(now, days, |_| Bitset::default());
        for block in blocks {
            let prospect = if let Some(prospect) = seen.remove(&block) {
                prospect
            } else {
                let extent = Extent { block: &block, contact_count, slots: None };
                let wanted = mentions.clone();
                let columns = blocks::load(&mut tx, extent, &vocabulary, wanted, now).await?;
                look(&block, &columns, now)
            };
            total.add(&prospect);
        }
        let Prospect { now, days } = total;
        Ok(Forecast { revision, now, days })
    }

    /// What the members that segments had at the beginning of the horizon did until its end, which is now.
    pub(crate) async fn observe(&self, question: &Question) -> Result<Observed, Error> {
        let workspace = &question.workspace;
        let mut tx = self.pool.begin_with(SNAPSHOT).await?;
        let end = self.ambient.now();
        let start = end - question.horizon;
        let vocabulary = store::attributes::all(&mut tx, workspace).await?;
        let mut segments = Vec::with_capacity(question.segments.len());
        for id in &question.segments {
            let name = SegmentName::new(workspace.clone(), id.clone());
            segments.push(asked(&mut tx, &name, &vocabulary).await?);
        }
        let moments: Vec<_> =
            (0..MOMENTS).map(|n| start + question.horizon * n / (MOMENTS - 1)).collect();
        let existed = moments
            .iter()
            .map(|time| existing(*time, &vocabulary))
            .collect::<Result<Vec<_>, _>>()?;
        let mut wanted = existed[0].mentions().clone();
        for asked in &segments {
            wanted.merge(&longer(asked.plan.mentions(), question.horizon));
        }
        let kind = |outcome: &Outcome| match outcome.property {
            Some(_) => Kind::Amount,
            None => Kind::Happened,
        };
        let size = |time: &DateTime<Utc>| Size { time: *time, members: 0 };
        let mut observed = Observed {
            start,
            end,
            revisions: segments.iter().map(|asked| asked.revision).collect(),
            sizes: vec![moments.iter().map(size).collect(); segments.len()],
            cells: Cells::new(segments.len(), question.outcomes.iter().map(kind).collect()),
        };
        let contact_count = store::contact_count(&mut tx, workspace).await?;
        for block in block::all(workspace, contact_count) {
            let extent = Extent { block: &block, contact_count, slots: None };
            let columns = blocks::load(&mut tx, extent, &vocabulary, wanted.clone(), end).await?;
            let members = observed.measure(&columns, &segments, &existed);
            let there = existed[0].evaluate(&columns, start.timestamp_micros()).bits;
            let mut did = Vec::with_capacity(question.outcomes.len());
            for outcome in &question.outcomes {
                did.push(amounts(&mut tx, extent, outcome, (start, end)).await?);
            }
            observed.count(&there, &members, &did);
        }
        Ok(observed)
    }
}

impl Prospect {
    /// Of a block, which can be asked who belongs at a moment.
    fn new(now: DateTime<Utc>, days: i32, belong: impl Fn(DateTime<Utc>) -> Bitset) -> Self {
        let size = |time, members: &Bitset| Size { time, members: i64::from(members.len()) };
        let mut before = belong(now);
        let mut prospect = Self { now: size(now, &before), days: Vec::new() };
        let difference = |mut of: Bitset, other: &Bitset| {
            of -= other;
            i64::from(of.len())
        };
        for day in 1..=days.into() {
            let time = now + TimeDelta::days(day);
            let after = belong(time);
            prospect.days.push(Day {
                size: size(time, &after),
                entered: difference(after.clone(), &before),
                left: difference(before, &after),
            });
            before = after;
        }
        prospect
    }

    fn add(&mut self, block: &Self) {
        self.now.members += block.now.members;
        for (all, day) in self.days.iter_mut().zip(&block.days) {
            all.size.members += day.size.members;
            all.entered += day.entered;
            all.left += day.left;
        }
    }
}

impl Observed {
    /// Adds the sizes in a block at each moment, and returns who was in each segment at the first.
    fn measure(&mut self, columns: &Block, segments: &[Asked], existed: &[Plan]) -> Vec<Bitset> {
        let mut first = Vec::with_capacity(segments.len());
        for (asked, sizes) in segments.iter().zip(&mut self.sizes) {
            for (size, existed) in sizes.iter_mut().zip(existed) {
                let time = size.time.timestamp_micros();
                let mut members = asked.plan.evaluate(columns, time).bits;
                members &= &existed.evaluate(columns, time).bits;
                size.members += i64::from(members.len());
                if size.time == self.start {
                    first.push(members);
                }
            }
        }
        first
    }

    fn count(&mut self, there: &Bitset, members: &[Bitset], did: &[Vec<Option<f64>>]) {
        for slot in there.iter() {
            let is_in = members.iter().enumerate().filter(|(_, members)| members.contains(slot));
            let set = is_in.fold(Set::default(), |set, (segment, _)| set.union(Set::of(segment)));
            let did: Vec<Option<f64>> = did.iter().map(|did| did[usize::from(slot)]).collect();
            self.cells.count(set, &did);
        }
    }
}

async fn asked(
    tx: &mut PgConnection,
    name: &SegmentName,
    vocabulary: &Vocabulary,
) -> Result<Asked, Error> {
    let found = store::segments::by_id(tx, &name.workspace, &[name.id.to_string()]).await?;
    let segment = found.into_iter().next().ok_or_else(|| Error::no_such(What::Segment, name))?;
    let revision = segment.in_force();
    let plan = references::compile(tx, &name.workspace, vocabulary, &revision).await?;
    Ok(Asked { revision: revision.number, plan })
}

/// Who had been written by a moment.
fn existing(time: DateTime<Utc>, vocabulary: &Vocabulary) -> Result<Plan, Error> {
    let rule = Rule::Compare {
        attribute: CREATE_TIME.to_owned(),
        operator: Operator::LessOrEqual,
        value: cursus_audience::Literal::Time(time),
    };
    blocks::compile(&rule, vocabulary)
}

/// What is read to look back from a moment up to `by` ago.
fn longer(mentions: &Mentions, by: TimeDelta) -> Mentions {
    let mut mentions = mentions.clone();
    for event in mentions.events.values_mut() {
        if let Reach::Last(length) = event.reach {
            event.reach = Reach::Last(length + by);
        }
    }
    mentions
}

/// What each contact of a block did of an outcome after `start` and until `end`, by slot.
async fn amounts(
    tx: &mut PgConnection,
    extent: Extent<'_>,
    outcome: &Outcome,
    (start, end): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<Option<f64>>, Error> {
    let mut did = vec![None; SLOTS];
    let wanted = EventsWanted {
        name: &outcome.event,
        since: Some(start),
        with_properties: outcome.property.is_some(),
    };
    let each = |row: EventRow| {
        if row.event_time <= start || row.event_time > end {
            return Ok(());
        }
        if let Some(amount) = amount(&row, outcome)? {
            *did[usize::from(position(row.ordinal).1)].get_or_insert(0.0) += amount;
        }
        Ok(())
    };
    let BlockName { workspace, .. } = extent.block;
    let ordinals = extent.block.ordinals(extent.contact_count);
    store::blocks::each_event(tx, workspace, ordinals, wanted, each).await?;
    Ok(did)
}

/// What an event adds to an outcome; nothing if it lacks what is summed.
fn amount(row: &EventRow, outcome: &Outcome) -> Result<Option<f64>, Error> {
    let Some(property) = &outcome.property else { return Ok(Some(1.0)) };
    for read in packed::properties(row.properties.as_deref().unwrap_or_default()) {
        if let (name, Value::Number(number)) = read?
            && name == property
        {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
