//! Queries about transitions: who entered and left segments.

use chrono::{DateTime, NaiveDate, Utc};
use cursus_ids::SegmentName;
use sqlx::PgConnection;

use super::id;
use super::segments::Revision;
use crate::block::{BlockName, pack_slots, unpack_slots};
use crate::error::Error;
use crate::transition::{Cause, Crossing, Direction};

/// More contacts than these that cross together have one row together. Fewer have a row each, which is found by contact.
const MOST_ROWS: usize = 512;

/// What was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) sequence: i64,
    pub(crate) block: i32,
    pub(crate) crossing: Crossing,
    pub(crate) record_time: DateTime<Utc>,
}

struct Row {
    sequence: i64,
    segment_id: String,
    revision: i64,
    block: i32,
    slot: Option<i32>,
    entered: Option<bool>,
    entered_slots: Option<Vec<u8>>,
    left_slots: Option<Vec<u8>>,
    cause: String,
    time: DateTime<Utc>,
    record_time: DateTime<Utc>,
}

/// Columns to be written, a row each.
#[derive(Default)]
struct Columns {
    workspaces: Vec<String>,
    segments: Vec<String>,
    revisions: Vec<i64>,
    blocks: Vec<i32>,
    slots: Vec<Option<i32>>,
    entered: Vec<Option<bool>>,
    causes: Vec<String>,
    times: Vec<DateTime<Utc>>,
    entered_slots: Vec<Option<Vec<u8>>>,
    left_slots: Vec<Option<Vec<u8>>>,
}

/// Adds what happened, in order.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    crossings: &[(BlockName, Crossing)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut columns = Columns::default();
    for (block, crossing) in crossings {
        columns.add(block, crossing);
    }
    sqlx::query!(
        "insert into transitions
             (workspace_id, segment_id, revision, block, slot, entered, cause, time, record_time,
              entered_slots, left_slots)
         select workspace_id, segment_id, revision, block, slot, entered, cause, time, $11,
             entered_slots, left_slots
         from unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::int[], $6::bool[],
                 $7::text[], $8::timestamptz[], $9::bytea[], $10::bytea[])
             with ordinality as added (workspace_id, segment_id, revision, block, slot, entered,
                 cause, time, entered_slots, left_slots, position)
         order by position",
        &columns.workspaces,
        &columns.segments,
        &columns.revisions,
        &columns.blocks,
        &columns.slots as _,
        &columns.entered as _,
        &columns.causes,
        &columns.times,
        &columns.entered_slots as _,
        &columns.left_slots as _,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what a contact did alone. What it did together with others tells nobody's name.
pub(crate) async fn delete_of_contact(
    conn: &mut PgConnection,
    block: &BlockName,
    slot: u16,
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from transitions where workspace_id = $1 and block = $2 and slot = $3",
        block.workspace.as_ref(),
        block.index,
        i32::from(slot),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` of a segment that were recorded before one, or up to it, the latest first.
pub(crate) async fn of_segment(
    conn: &mut PgConnection,
    segment: &SegmentName,
    last: i64,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select sequence, segment_id, revision, block, slot, entered, entered_slots, left_slots,
             cause, time, record_time
         from transitions
         where workspace_id = $1 and segment_id = $2 and sequence <= $3
         order by sequence desc
         limit $4",
        segment.workspace.as_ref(),
        segment.id.as_ref(),
        last,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(recorded).collect()
}

/// Up to `limit` of a contact that were recorded before one, or up to it, the latest first; among them such of many
/// together as it may be one of.
pub(crate) async fn of_contact(
    conn: &mut PgConnection,
    block: &BlockName,
    slot: u16,
    last: i64,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select sequence as "sequence!", segment_id as "segment_id!", revision as "revision!",
             block as "block!", slot, entered, entered_slots, left_slots, cause as "cause!",
             time as "time!", record_time as "record_time!"
         from (
             (select * from transitions
              where workspace_id = $1 and block = $2 and slot = $3 and sequence <= $4
              order by sequence desc
              limit $5)
             union all
             (select * from transitions
              where workspace_id = $1 and block = $2 and slot is null and sequence <= $4
              order by sequence desc
              limit $5)
         ) as found
         order by sequence desc
         limit $5"#,
        block.workspace.as_ref(),
        block.index,
        i32::from(slot),
        last,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(recorded).collect()
}

/// The latest of a contact in each of some segments, of those it did not make together with many.
pub(crate) async fn latest_of_contact(
    conn: &mut PgConnection,
    block: &BlockName,
    slot: u16,
    segments: &[String],
) -> Result<Vec<Recorded>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select distinct on (segment_id) sequence, segment_id, revision, block, slot, entered,
             entered_slots, left_slots, cause, time, record_time
         from transitions
         where workspace_id = $1 and block = $2 and slot = $3 and segment_id = any($4)
         order by segment_id, sequence desc",
        block.workspace.as_ref(),
        block.index,
        i32::from(slot),
        segments,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(recorded).collect()
}

/// Up to `limit` that many contacts of a block made together, in some segments, before one or up to it, the latest first.
pub(crate) async fn of_many(
    conn: &mut PgConnection,
    block: &BlockName,
    segments: &[String],
    last: i64,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select sequence, segment_id, revision, block, slot, entered, entered_slots, left_slots,
             cause, time, record_time
         from transitions
         where workspace_id = $1
             and block = $2
             and slot is null
             and segment_id = any($3)
             and sequence <= $4
         order by sequence desc
         limit $5",
        block.workspace.as_ref(),
        block.index,
        segments,
        last,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(recorded).collect()
}

/// Makes the partition of a month, unless it is there.
pub(crate) async fn create_partition(
    conn: &mut PgConnection,
    month: NaiveDate,
) -> sqlx::Result<()> {
    sqlx::query!("select create_transitions_partition($1)", month).fetch_one(conn).await?;
    Ok(())
}

/// Forgets months that end before a moment.
pub(crate) async fn drop_before(
    conn: &mut PgConnection,
    moment: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("select drop_transitions_before($1)", moment).fetch_one(conn).await?;
    Ok(())
}

impl Columns {
    fn add(&mut self, block: &BlockName, crossing: &Crossing) {
        if crossing.len() > MOST_ROWS {
            self.add_row(block, crossing);
            self.slots.push(None);
            self.entered.push(None);
            self.entered_slots.push(Some(pack_slots(&crossing.entered)));
            self.left_slots.push(Some(pack_slots(&crossing.left)));
            return;
        }
        for (slot, direction) in crossing.each() {
            self.add_row(block, crossing);
            self.slots.push(Some(slot.into()));
            self.entered.push(Some(direction == Direction::Entered));
            self.entered_slots.push(None);
            self.left_slots.push(None);
        }
    }

    fn add_row(&mut self, block: &BlockName, crossing: &Crossing) {
        self.workspaces.push(block.workspace.to_string());
        self.segments.push(crossing.revision.segment.to_string());
        self.revisions.push(crossing.revision.number);
        self.blocks.push(block.index);
        self.causes.push(crossing.cause.as_str().to_owned());
        self.times.push(crossing.time);
    }
}

fn recorded(row: Row) -> Result<Recorded, Error> {
    let (entered, left) = if let (Some(slot), Some(entered)) = (row.slot, row.entered) {
        let slots = vec![u16::try_from(slot).map_err(|_| Error::Corrupt("slot"))?];
        if entered { (slots, Vec::new()) } else { (Vec::new(), slots) }
    } else {
        let slots = |bytes: Option<Vec<u8>>| unpack_slots(&bytes.unwrap_or_default());
        (slots(row.entered_slots)?, slots(row.left_slots)?)
    };
    let crossing = Crossing {
        revision: Revision { segment: id(&row.segment_id)?, number: row.revision },
        cause: Cause::stored(&row.cause)?,
        time: row.time,
        entered,
        left,
    };
    let Row { sequence, block, record_time, .. } = row;
    Ok(Recorded { sequence, block, crossing, record_time })
}
