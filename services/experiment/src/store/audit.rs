//! What was done to experiments.

use cursus_ids::ExperimentName;
use sqlx::PgConnection;

use super::{decoded, from_json, to_json};
use crate::audit::{Detail, Entry, Kind};
use crate::experiment::By;

/// Adds an entry. The experiment is locked, or nobody else can see it yet, so no two entries get the same number.
pub(crate) async fn add(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    kind: Kind,
    by: &By,
    detail: &Detail,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit (workspace_id, experiment_id, number, kind, actor, entry_time, detail)
         select $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6
         from audit
         where workspace_id = $1 and experiment_id = $2",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        kind.as_str(),
        by.actor,
        by.now,
        to_json(detail)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those after a number, oldest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    after: i64,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let rows = sqlx::query!(
        "select number, kind, actor, entry_time, detail
         from audit
         where workspace_id = $1 and experiment_id = $2 and number > $3
         order by number
         limit $4",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == row.kind);
        entries.push(Entry {
            number: row.number,
            kind: decoded(kind.ok_or("not a kind of entry"))?,
            actor: row.actor,
            time: row.entry_time,
            detail: from_json(row.detail)?,
        });
    }
    Ok(entries)
}
