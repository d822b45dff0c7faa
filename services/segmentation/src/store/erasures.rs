//! Queries about erasures: receipts, the ids that are not to come back, and how far each is.

use chrono::{DateTime, Utc};
use cursus_ids::WorkspaceId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::id;
use crate::erasure::{Counts, Erasure, Running, Salt, Stage};
use crate::error::Error;

struct Row {
    erasure_id: Uuid,
    requested_by: String,
    create_time: DateTime<Utc>,
    complete_time: Option<DateTime<Utc>>,
    contact_hash: Vec<u8>,
    alias_count: i64,
    event_count: i64,
    fact_count: i64,
    snapshot_count: i64,
    answer_count: i64,
}

impl Row {
    fn erasure(self, workspace: &WorkspaceId) -> Erasure {
        Erasure {
            workspace: workspace.clone(),
            id: self.erasure_id,
            requested_by: self.requested_by,
            create_time: self.create_time,
            complete_time: self.complete_time,
            contact_hash: self.contact_hash,
            counts: Counts {
                aliases: self.alias_count,
                events: self.event_count,
                facts: self.fact_count,
                snapshots: self.snapshot_count,
                answers: self.answer_count,
            },
        }
    }
}

/// Locks a workspace against whoever else adds or erases contacts, and returns its salt: this one, if it had none.
pub(crate) async fn lock_salt(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    salt: &[u8],
) -> sqlx::Result<Salt> {
    let salt = sqlx::query_scalar!(
        r#"insert into workspaces (workspace_id, erasure_salt) values ($1, $2)
         on conflict (workspace_id) do update
         set erasure_salt = coalesce(workspaces.erasure_salt, excluded.erasure_salt)
         returning erasure_salt as "erasure_salt!""#,
        workspace.as_ref(),
        salt,
    );
    Ok(Salt::new(salt.fetch_one(conn).await?))
}

/// The salt of a workspace in which somebody was erased.
pub(crate) async fn salt(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> sqlx::Result<Option<Salt>> {
    let salt = sqlx::query_scalar!(
        "select erasure_salt from workspaces where workspace_id = $1",
        workspace.as_ref(),
    );
    Ok(salt.fetch_optional(conn).await?.flatten().map(Salt::new))
}

/// Which of some hashes are of ids that were erased.
pub(crate) async fn erased(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    hashes: &[Vec<u8>],
) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar!(
        "select id_hash from erased_ids where workspace_id = $1 and id_hash = any($2)",
        workspace.as_ref(),
        hashes,
    )
    .fetch_all(conn)
    .await
}

/// The receipt of the contact that an id stood for, by its hash.
pub(crate) async fn of(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    hash: &[u8],
) -> sqlx::Result<Option<Erasure>> {
    let row = sqlx::query_as!(
        Row,
        "select erasure_id, requested_by, create_time, complete_time, contact_hash, alias_count,
             event_count, fact_count, snapshot_count, answer_count
         from erased_ids join erasures using (workspace_id, erasure_id)
         where workspace_id = $1 and id_hash = $2",
        workspace.as_ref(),
        hash,
    );
    Ok(row.fetch_optional(conn).await?.map(|row| row.erasure(workspace)))
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    erasure: Uuid,
) -> sqlx::Result<Option<Erasure>> {
    let row = sqlx::query_as!(
        Row,
        "select erasure_id, requested_by, create_time, complete_time, contact_hash, alias_count,
             event_count, fact_count, snapshot_count, answer_count
         from erasures
         where workspace_id = $1 and erasure_id = $2",
        workspace.as_ref(),
        erasure,
    );
    Ok(row.fetch_optional(conn).await?.map(|row| row.erasure(workspace)))
}

/// Receipts in the order of their ids, which is that of their times.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Erasure>> {
    let rows = sqlx::query_as!(
        Row,
        "select erasure_id, requested_by, create_time, complete_time, contact_hash, alias_count,
             event_count, fact_count, snapshot_count, answer_count
         from erasures
         where workspace_id = $1 and erasure_id > $2
         order by erasure_id
         limit $3",
        workspace.as_ref(),
        after,
        limit,
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| row.erasure(workspace)).collect())
}

/// Keeps a receipt, and the ids by which what is left is found.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    erasure: &Erasure,
    ordinal: i32,
    contact_ids: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into erasures
             (workspace_id, erasure_id, ordinal, contact_ids, contact_hash, requested_by,
              create_time, alias_count, stage)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        erasure.workspace.as_ref(),
        erasure.id,
        ordinal,
        contact_ids,
        erasure.contact_hash,
        erasure.requested_by,
        erasure.create_time,
        erasure.counts.aliases,
        Stage::Events.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps ids from coming back.
pub(crate) async fn insert_ids(
    conn: &mut PgConnection,
    erasure: &Erasure,
    hashes: &[Vec<u8>],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into erased_ids (workspace_id, erasure_id, id_hash)
         select $1, $2, id_hash from unnest($3::bytea[]) as erased (id_hash)",
        erasure.workspace.as_ref(),
        erasure.id,
        hashes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` erasures of any workspace that are not complete, the oldest first.
pub(crate) async fn running(
    conn: &mut PgConnection,
    (time, after): (DateTime<Utc>, Uuid),
    limit: i64,
) -> Result<Vec<(DateTime<Utc>, Running)>, Error> {
    let rows = sqlx::query!(
        r#"select workspace_id, erasure_id, ordinal, contact_ids, stage, create_time,
             horizon::text::bigint as horizon, fact_cursor
         from erasures
         where complete_time is null and (create_time, erasure_id) > ($1, $2)
         order by create_time, erasure_id
         limit $3"#,
        time,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let mut running = Vec::with_capacity(rows.len());
    for row in rows {
        let erasure = Running {
            workspace: id(&row.workspace_id)?,
            id: row.erasure_id,
            ordinal: row.ordinal,
            contact_ids: row.contact_ids,
            stage: Stage::named(&row.stage).ok_or(Error::Corrupt("stage of an erasure"))?,
            horizon: row.horizon,
            fact_cursor: row.fact_cursor,
        };
        running.push((row.create_time, erasure));
    }
    Ok(running)
}

/// Writes how far an erasure is, and adds to what it found.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    erasure: &Running,
    found: Counts,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update erasures
         set stage = $3,
             horizon = $4::bigint::text::xid8,
             fact_cursor = $5,
             event_count = event_count + $6,
             fact_count = fact_count + $7,
             snapshot_count = snapshot_count + $8,
             answer_count = answer_count + $9
         where workspace_id = $1 and erasure_id = $2",
        erasure.workspace.as_ref(),
        erasure.id,
        erasure.stage.as_str(),
        erasure.horizon,
        erasure.fact_cursor,
        found.events,
        found.facts,
        found.snapshots,
        found.answers,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets whose erasure it was.
pub(crate) async fn complete(
    conn: &mut PgConnection,
    erasure: &Running,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update erasures set contact_ids = '{}', fact_cursor = '', complete_time = $3
         where workspace_id = $1 and erasure_id = $2",
        erasure.workspace.as_ref(),
        erasure.id,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The present transaction: whoever began to write before has a lower number.
pub(crate) async fn transaction(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select pg_current_xact_id()::text::bigint as "xid!""#)
        .fetch_one(conn)
        .await
}

/// Deletes what is kept of requests of a workspace for their repetition, where the answer holds one of some names, and
/// says how much. A name is written behind its length, so that it is not found in a longer one.
pub(crate) async fn delete_answers(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    names: &[Vec<u8>],
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from requests
         where workspace_id = $1
             and exists (
                 select from unnest($2::bytea[]) as wanted (name)
                 where position(name in response) > 0)",
        workspace.as_ref(),
        names,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
