//! Queries about what happened to blocks and was not taken in yet: a queue for each partition.

use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

use super::{id, position};
use crate::block::{BlockName, Change};
use crate::error::Error;
use crate::transition::Cause;

/// Says that contacts were written: new ones, of which everything changed, or known ones, of which some attributes did.
/// Nothing by name means that the rules did, and no contact.
pub(crate) async fn insert(
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
    insert_caused(conn, workspace, &Changed::each(names, changes), cause).await
}

/// Says that blocks changed, and wakes the owners of their partitions when the transaction commits.
pub(crate) async fn insert_caused(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    changed: &[Changed<'_>],
    cause: Cause,
) -> sqlx::Result<()> {
    note(conn, workspace, changed, cause).await?;
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
        changes
            .iter()
            .map(|(block, slots)| Self { block, slots: slots.as_deref(), names, times: &[] })
            .collect()
    }

    /// A slot in two bytes, and microseconds in eight.
    fn packed_times(&self) -> Vec<u8> {
        let pack =
            |(slot, time): &(u16, i64)| slot.to_le_bytes().into_iter().chain(time.to_le_bytes());
        self.times.iter().flat_map(pack).collect()
    }
}

/// Says that blocks changed. The owners of their partitions are to be woken once the transaction is committed.
pub(crate) async fn note(
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
pub(crate) async fn take(
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
pub(crate) async fn delete(
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
