//! The table of facts: appending to it, and reading it in an order that no late commit can upset.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{Cursor, Error};

/// One stream of facts among those a service publishes. A constant of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub(crate) &'static str);

/// A fact to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub workspace_id: String,
    pub kind: &'static str,
    /// An encoded protobuf message. What the fact is about, and when it happened, are in here.
    pub payload: Vec<u8>,
}

/// A fact as read back.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Fact {
    /// Resuming after this cursor continues with the next fact.
    #[sqlx(flatten)]
    pub cursor: Cursor,
    pub workspace_id: String,
    pub kind: String,
    pub payload: Vec<u8>,
    /// When it was recorded, by the database's clock; it decides how long the fact is kept, and nothing else.
    pub time: DateTime<Utc>,
}

/// The facts after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub facts: Vec<Fact>,
    /// Where to read on. It passes over facts that the workspace filter left out, so it may move with no facts.
    pub next: Cursor,
    /// Whether committed facts wait for an older transaction to end, so that reading again soon is worth it.
    pub(crate) withheld: bool,
}

impl Topic {
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Appends facts in the caller's transaction, in order, and wakes those who follow when it commits.
pub async fn append(conn: &mut PgConnection, topic: Topic, entries: &[Entry]) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    append_unannounced(conn, topic, entries).await?;
    wake(conn, topic).await
}

/// Wakes those who follow a topic when the caller's transaction commits. Transactions that do this commit one at a time.
pub async fn wake(conn: &mut PgConnection, topic: Topic) -> Result<(), Error> {
    // Postgres delivers equal notifications of one transaction once.
    sqlx::query("select pg_notify('facts', $1)").bind(topic.0).execute(conn).await?;
    Ok(())
}

/// Appends facts in the caller's transaction, in order. Those who follow find them by polling, unless the caller
/// [announces](crate::Feed::announce) them once they are committed.
pub async fn append_unannounced(
    conn: &mut PgConnection,
    topic: Topic,
    entries: &[Entry],
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let workspaces: Vec<&str> = entries.iter().map(|e| e.workspace_id.as_str()).collect();
    let kinds: Vec<&str> = entries.iter().map(|e| e.kind).collect();
    let payloads: Vec<&[u8]> = entries.iter().map(|e| e.payload.as_slice()).collect();
    sqlx::query(
        "insert into facts (topic, workspace_id, kind, payload)
         select $1, workspace_id, kind, payload
         from unnest($2::text[], $3::text[], $4::bytea[])
             with ordinality as entry (workspace_id, kind, payload, position)
         order by position",
    )
    .bind(topic.0)
    .bind(workspaces)
    .bind(kinds)
    .bind(payloads)
    .execute(conn)
    .await?;
    Ok(())
}

/// Empties facts that nobody is to read any more, such as those about somebody who is to be forgotten, and says how many.
/// They keep their places, so that every cursor stays good, and readers pass over them.
pub async fn blank(conn: &mut PgConnection, topic: Topic, facts: &[Cursor]) -> Result<u64, Error> {
    let xids: Vec<i64> = facts.iter().map(|fact| fact.xid).collect();
    let sequences: Vec<i64> = facts.iter().map(|fact| fact.sequence).collect();
    let blanked = sqlx::query(
        "update facts set kind = '', payload = ''
         from unnest($2::bigint[], $3::bigint[]) as blank (xid, sequence)
         where topic = $1
             and facts.xid = blank.xid::text::xid8
             and facts.sequence = blank.sequence
             and kind <> ''",
    )
    .bind(topic.0)
    .bind(xids)
    .bind(sequences)
    .execute(conn)
    .await?;
    Ok(blanked.rows_affected())
}

/// Reads up to `limit` facts after a cursor, of one workspace or of all.
pub async fn read(
    conn: &mut PgConnection,
    topic: Topic,
    workspace_id: Option<&str>,
    after: Cursor,
    limit: u16,
) -> Result<Page, Error> {
    let extent = extent(conn, topic).await?;
    let end = extent.end();
    if after > end {
        return Err(Error::Unknown);
    }
    if after != Cursor::START && after < extent.floor {
        return Err(Error::Expired);
    }
    if after == end {
        return Ok(Page { facts: Vec::new(), next: after, withheld: extent.withheld });
    }
    let facts = between(conn, topic, workspace_id, (after, end), limit).await?;
    let is_full = facts.len() == usize::from(limit);
    let next = facts.last().filter(|_| is_full).map_or(end, |fact| fact.cursor);
    Ok(Page { facts, next, withheld: extent.withheld })
}

/// The cursor of one who wants what happens from now on, and nothing that is readable already.
pub async fn latest(conn: &mut PgConnection, topic: Topic) -> Result<Cursor, Error> {
    Ok(extent(conn, topic).await?.end())
}

/// What of a topic may be read: every transaction up to `last` has ended, and no earlier one can appear any more.
struct Extent {
    last: Cursor,
    floor: Cursor,
    withheld: bool,
}

impl Extent {
    fn end(&self) -> Cursor {
        self.last.max(self.floor)
    }
}

/// One statement, so one snapshot: no transaction below its `xmin` is still running, and those above it may be.
async fn extent(conn: &mut PgConnection, topic: Topic) -> Result<Extent, sqlx::Error> {
    let (xid, sequence, floor_xid, floor_sequence, withheld) = sqlx::query_as(
        "select
             coalesce(last.xid::text::bigint, 0),
             coalesce(last.sequence, 0),
             coalesce(floor.xid::text::bigint, 0),
             coalesce(floor.sequence, 0),
             exists (select from facts where topic = $1 and xid >= horizon.xid)
         from (select pg_snapshot_xmin(pg_current_snapshot()) as xid) as horizon
         left join lateral (
             select xid, sequence from facts
             where topic = $1 and xid < horizon.xid
             order by xid desc, sequence desc
             limit 1
         ) as last on true
         left join fact_floors as floor on floor.topic = $1",
    )
    .bind(topic.0)
    .fetch_one(conn)
    .await?;
    let floor = Cursor { xid: floor_xid, sequence: floor_sequence };
    Ok(Extent { last: Cursor { xid, sequence }, floor, withheld })
}

/// The order names the columns of the table, for by the columns of the result no index could give it.
const BETWEEN: &str = "
    select xid::text::bigint as xid, sequence, workspace_id, kind, payload, time
    from facts
    where topic = $1
        and (xid, sequence) > ($2::bigint::text::xid8, $3)
        and (xid, sequence) <= ($4::bigint::text::xid8, $5)
        and ($6::text is null or workspace_id = $6)
        and kind <> ''
    order by facts.xid, facts.sequence
    limit $7";

/// The upper bound comes from an earlier snapshot than the rows: whatever lies below it has committed by now.
async fn between(
    conn: &mut PgConnection,
    topic: Topic,
    workspace_id: Option<&str>,
    (after, end): (Cursor, Cursor),
    limit: u16,
) -> Result<Vec<Fact>, sqlx::Error> {
    sqlx::query_as(BETWEEN)
        .bind(topic.0)
        .bind(after.xid)
        .bind(after.sequence)
        .bind(end.xid)
        .bind(end.sequence)
        .bind(workspace_id)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, PgPool};

    use super::*;

    #[sqlx::test(migrations = false)]
    async fn a_page_is_read_from_the_index(pool: PgPool) {
        sqlx::raw_sql(include_str!("../schema/facts.sql")).execute(&pool).await.unwrap();
        let mut conn = pool.acquire().await.unwrap();
        crate::maintain(&mut conn, std::time::Duration::from_hours(1)).await.unwrap();
        let fact = Entry { workspace_id: "acme".into(), kind: "happened", payload: vec![0; 100] };
        append(&mut conn, Topic::new("outcomes"), &vec![fact; 5000]).await.unwrap();
        sqlx::raw_sql("analyze facts").execute(&mut *conn).await.unwrap();

        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain {BETWEEN}")))
            .bind("outcomes")
            .bind(1_i64)
            .bind(1_i64)
            .bind(i64::MAX)
            .bind(1_i64)
            .bind(None::<&str>)
            .bind(10_i64)
            .fetch_all(&mut *conn)
            .await
            .unwrap();

        let plan = plan.join("\n");
        assert!(plan.contains("Index Scan"), "{plan}");
        assert!(!plan.contains("->  Sort") && !plan.contains("Seq Scan"), "{plan}");
    }
}
