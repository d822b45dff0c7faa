//! Queries about blocks of contacts: what changed in them, when they change next, and what they hold.

use std::ops::Range;

use chrono::{DateTime, Utc};
use cursus_ids::WorkspaceId;
use futures::TryStreamExt;
use sqlx::PgConnection;

use super::id;
use crate::block::{BlockName, Change};
use crate::error::Error;
use crate::transition::Cause;

/// Says that contacts were written: new ones, of which everything changed, or known ones, of which some attributes did.
/// Nothing by name means that the rules did, and no contact.
pub(crate) async fn insert_changes(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    changes: &[(BlockName, Option<Vec<u16>>)],
    names: Option<&[String]>,
) -> sqlx::Result<()> {
    let cause = match names {
        None => Cause::ContactCreated,
        Some([]) => Cause::RuleChanged,
        Some(_) => Cause::Attribute,
    };
    insert_caused_changes(conn, workspace, &Changed::each(names, changes), cause).await
}

/// Says that blocks changed, and wakes the owners of their partitions when the transaction commits.
pub(crate) async fn insert_caused_changes(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    changed: &[Changed<'_>],
    cause: Cause,
) -> sqlx::Result<()> {
    note_changes(conn, workspace, changed, cause).await?;
    let partitions: Vec<i16> = changed.iter().map(|it| it.block.partition()).collect();
    sqlx::query!(
        "select pg_notify('block_changes', partition::text)
         from unnest($1::smallint[]) as changed (partition)",
        &partitions,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What changed in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed<'a> {
    pub(crate) block: &'a BlockName,
    /// Of whom; `None` is anybody.
    pub(crate) slots: Option<&'a [u16]>,
    /// Which attributes or events; `None` is everything.
    pub(crate) names: Option<&'a [String]>,
    /// When events happened and to whom.
    pub(crate) times: &'a [(u16, i64)],
}

impl<'a> Changed<'a> {
    /// The same in each block.
    pub(crate) fn each(
        names: Option<&'a [String]>,
        changes: &'a [(BlockName, Option<Vec<u16>>)],
    ) -> Vec<Self> {
        let changed =
            |(block, slots)| Self { block, slots: Option::as_deref(slots), names, times: &[] };
        changes.iter().map(|(block, slots)| (block, slots)).map(changed).collect()
    }

    /// A slot in two bytes, and microseconds in eight.
    fn packed_times(&self) -> Vec<u8> {
        let pack =
            |(slot, time): &(u16, i64)| slot.to_le_bytes().into_iter().chain(time.to_le_bytes());
        self.times.iter().flat_map(pack).collect()
    }
}

/// Says that blocks changed. The owners of their partitions are to be woken once the transaction is committed.
pub(crate) async fn note_changes(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    changed: &[Changed<'_>],
    cause: Cause,
) -> sqlx::Result<()> {
    let partitions: Vec<i16> = changed.iter().map(|it| it.block.partition()).collect();
    let blocks: Vec<i32> = changed.iter().map(|it| it.block.index).collect();
    let slots: Vec<Option<Vec<u8>>> = changed
        .iter()
        .map(|it| Some(it.slots?.iter().flat_map(|slot| slot.to_le_bytes()).collect()))
        .collect();
    let times: Vec<Vec<u8>> = changed.iter().map(Changed::packed_times).collect();
    // Each row has a slice of all names.
    let mut all_names = Vec::new();
    let slice = |it: &Changed<'_>| {
        let first = position(all_names.len() + 1);
        all_names.extend_from_slice(it.names.unwrap_or_default());
        (it.names.map(|_| first), position(all_names.len()))
    };
    let (firsts, lasts): (Vec<Option<i32>>, Vec<i32>) = changed.iter().map(slice).unzip();
    sqlx::query!(
        "insert into block_changes (partition, workspace_id, block, slots, times, names, cause)
         select partition, $1, block, slots, times,
             case when first_name is not null then ($8::text[])[first_name:last_name] end, $9
         from unnest($2::smallint[], $3::int[], $4::bytea[], $5::bytea[], $6::int[], $7::int[])
             as changed (partition, block, slots, times, first_name, last_name)",
        workspace.as_ref(),
        &partitions,
        &blocks,
        &slots as _,
        &times,
        &firsts as _,
        &lasts,
        &all_names,
        cause.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` things that happened to blocks of a partition, except some: what the rules do first, then the oldest.
/// Without a new rule nothing else can be understood that happened under it.
pub(crate) async fn changes(
    conn: &mut PgConnection,
    partition: i16,
    except: &[BlockName],
    limit: i64,
) -> Result<Vec<(BlockName, Change)>, Error> {
    let workspaces: Vec<String> = except.iter().map(|block| block.workspace.to_string()).collect();
    let blocks: Vec<i32> = except.iter().map(|block| block.index).collect();
    let rows = sqlx::query!(
        r#"select id, workspace_id, block, slots, times, names, cause,
             (extract(epoch from clock_timestamp() - time) * 1000000)::bigint as "age!"
         from block_changes
         where partition = $1
             and not exists (
                 select from unnest($2::text[], $3::int[]) as left_out (workspace_id, block)
                 where left_out.workspace_id = block_changes.workspace_id
                     and left_out.block = block_changes.block
             )
         order by cause is distinct from 'rule_changed', id
         limit $4"#,
        partition,
        &workspaces,
        &blocks,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let slots =
        |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    rows.into_iter()
        .map(|row| {
            let change = Change {
                id: row.id,
                cause: match (&row.cause, &row.names) {
                    (Some(cause), _) => Cause::stored(cause)?,
                    (None, Some(names)) if names.is_empty() => Cause::RuleChanged,
                    (None, _) => Cause::Attribute,
                },
                age: row.age,
                slots: row.slots.map(slots),
                names: row.names,
                times: unpack_times(&row.times)?,
            };
            Ok((BlockName::new(id(&row.workspace_id)?, row.block), change))
        })
        .collect()
}

fn unpack_times(bytes: &[u8]) -> Result<Vec<(u16, i64)>, Error> {
    let (rows, rest) = bytes.as_chunks::<10>();
    let [] = rest else { return Err(Error::Corrupt("set of times")) };
    let unpack =
        |[a, b, time @ ..]: &[u8; 10]| (u16::from_le_bytes([*a, *b]), i64::from_le_bytes(*time));
    Ok(rows.iter().map(unpack).collect())
}

/// Deletes changes that were taken in.
pub(crate) async fn delete_changes(
    conn: &mut PgConnection,
    partition: i16,
    ids: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from block_changes where partition = $1 and id = any($2)",
        partition,
        ids,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The blocks of a partition in which time alone changes something, and when it does next.
pub(crate) async fn scheduled(
    conn: &mut PgConnection,
    partition: i16,
) -> Result<Vec<(BlockName, DateTime<Utc>)>, Error> {
    let rows = sqlx::query!(
        r#"select workspace_id, block, next_change_time as "next_change_time!" from blocks
         where partition = $1 and next_change_time is not null"#,
        partition,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok((BlockName::new(id(&row.workspace_id)?, row.block), row.next_change_time)))
        .collect()
}

/// When a block changes next by time alone, as far as that is remembered.
pub(crate) async fn next_change(
    conn: &mut PgConnection,
    block: &BlockName,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let next = sqlx::query_scalar!(
        "select next_change_time from blocks where workspace_id = $1 and block = $2",
        block.workspace.as_ref(),
        block.index,
    );
    Ok(next.fetch_optional(conn).await?.flatten())
}

/// Remembers when blocks change next.
pub(crate) async fn set_next_changes(
    conn: &mut PgConnection,
    changes: &[(BlockName, Option<DateTime<Utc>>)],
) -> sqlx::Result<()> {
    let workspaces: Vec<String> =
        changes.iter().map(|(block, _)| block.workspace.to_string()).collect();
    let blocks: Vec<i32> = changes.iter().map(|(block, _)| block.index).collect();
    let partitions: Vec<i16> = changes.iter().map(|(block, _)| block.partition()).collect();
    let next: Vec<Option<DateTime<Utc>>> = changes.iter().map(|(_, next)| *next).collect();
    sqlx::query!(
        "insert into blocks (workspace_id, block, partition, next_change_time)
         select * from unnest($1::text[], $2::int[], $3::smallint[], $4::timestamptz[])
         on conflict (workspace_id, block) do update set next_change_time = excluded.next_change_time",
        &workspaces,
        &blocks,
        &partitions,
        &next as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is stored about one contact.
pub(crate) struct ContactRow {
    pub(crate) ordinal: i32,
    pub(crate) contact_id: String,
    pub(crate) email: String,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) attributes: Vec<u8>,
}

/// What is stored about one event.
pub(crate) struct EventRow {
    pub(crate) ordinal: i32,
    pub(crate) event_time: DateTime<Utc>,
    /// Only if they are asked for.
    pub(crate) properties: Option<Vec<u8>>,
}

/// Which events are read.
pub(crate) struct EventsWanted<'a> {
    pub(crate) name: &'a str,
    /// Those at this time or later; `None` for all.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) with_properties: bool,
}

/// Has every query of this transaction be planned for the values it is asked with. A plan for any values takes a block
/// for few rows and visits the table for each, where the index alone would do; and compiling takes longer than reading.
pub(crate) async fn plan_for_values(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Reads a run of contacts, one after another.
pub(crate) async fn each_contact(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
    mut each: impl FnMut(ContactRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        ContactRow,
        "select ordinal, contact_id, email, create_time, attributes from contacts
         where workspace_id = $1 and ordinal >= $2 and ordinal < $3",
        workspace.as_ref(),
        ordinals.start,
        ordinals.end,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Reads some contacts, one after another.
pub(crate) async fn each_contact_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: &[i32],
    mut each: impl FnMut(ContactRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        ContactRow,
        "select ordinal, contact_id, email, create_time, attributes from contacts
         where workspace_id = $1 and ordinal = any($2)",
        workspace.as_ref(),
        ordinals,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Reads the events of a run of contacts, one after another.
pub(crate) async fn each_event(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinals: Range<i32>,
    wanted: EventsWanted<'_>,
    mut each: impl FnMut(EventRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        EventRow,
        "select ordinal, event_time, case when $5 then properties end as properties from events
         where workspace_id = $1
             and event_name = $2
             and ordinal >= $3
             and ordinal < $4
             and event_time >= coalesce($6, '-infinity'::timestamptz)",
        workspace.as_ref(),
        wanted.name,
        ordinals.start,
        ordinals.end,
        wanted.with_properties,
        wanted.since,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        each(row)?;
    }
    Ok(())
}

/// Reads events of several names, each of some contacts, one after another.
pub(crate) async fn each_event_of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    wanted: &[(EventsWanted<'_>, Vec<i32>)],
    mut each: impl FnMut(&str, EventRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let names: Vec<String> = wanted.iter().map(|(wanted, _)| wanted.name.to_owned()).collect();
    let since: Vec<Option<DateTime<Utc>>> = wanted.iter().map(|(wanted, _)| wanted.since).collect();
    let with_properties: Vec<bool> =
        wanted.iter().map(|(wanted, _)| wanted.with_properties).collect();
    // Each name has a slice of all ordinals.
    let mut all_ordinals = Vec::new();
    let slice = |(_, ordinals): &(EventsWanted<'_>, Vec<i32>)| {
        let first = position(all_ordinals.len() + 1);
        all_ordinals.extend_from_slice(ordinals);
        (first, position(all_ordinals.len()))
    };
    let (firsts, lasts): (Vec<i32>, Vec<i32>) = wanted.iter().map(slice).unzip();
    let mut rows = sqlx::query!(
        r#"select wanted.event_name as "event_name!", ordinal as "ordinal!",
             event_time as "event_time!", properties
         from unnest($2::text[], $3::timestamptz[], $4::bool[], $5::int[], $6::int[])
             as wanted (event_name, since, with_properties, first_ordinal, last_ordinal)
         cross join lateral (
             select ordinal, event_time, case when with_properties then properties end as properties
             from events
             where workspace_id = $1
                 and events.event_name = wanted.event_name
                 and ordinal = any(($7::int[])[first_ordinal:last_ordinal])
                 and event_time >= coalesce(since, '-infinity'::timestamptz)
         ) as found"#,
        workspace.as_ref(),
        &names,
        &since as _,
        &with_properties,
        &firsts,
        &lasts,
        &all_ordinals,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let event = EventRow {
            ordinal: row.ordinal,
            event_time: row.event_time,
            properties: row.properties,
        };
        each(&row.event_name, event)?;
    }
    Ok(())
}

/// Where something is in an array of Postgres.
fn position(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// Whether a change of everything about one contact, as when it departed, waits for evaluation.
pub(crate) async fn awaits(
    conn: &mut PgConnection,
    block: &BlockName,
    slot: u16,
) -> sqlx::Result<bool> {
    let slots = slot.to_le_bytes();
    sqlx::query_scalar!(
        r#"select exists (
             select from block_changes
             where partition = $1
                 and workspace_id = $2
                 and block = $3
                 and slots = $4
                 and names is null) as "awaits!""#,
        block.partition(),
        block.workspace.as_ref(),
        block.index,
        slots.as_slice(),
    )
    .fetch_one(conn)
    .await
}
