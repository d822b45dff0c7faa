//! Counts that are told instead of facts.

use chrono::{DateTime, Utc};
use cursus_ids::ExperimentName;
use sqlx::PgConnection;

use super::{count, from_json, to_json};
use crate::aggregates::{Aggregate, Told};

/// Ticks of exposure further apart than this many do not change the clock of spending.
const MOST_TICKS: i64 = 10_000;

/// Keeps counts; `false` if the number was told before.
pub(crate) async fn keep(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    aggregate: &Aggregate,
) -> Result<bool, sqlx::Error> {
    let segments = Some(&aggregate.told.segments).filter(|segments| !segments.is_empty());
    let segments = segments.map(to_json).transpose()?;
    let inserted = sqlx::query!(
        "insert into aggregates (workspace_id, experiment_id, sequence, count_time, counts, segments)
         values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        aggregate.sequence,
        aggregate.time,
        to_json(&aggregate.told.whole)?,
        segments,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    sequence: i64,
) -> Result<Option<Aggregate>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select sequence, count_time, counts, segments
         from aggregates
         where workspace_id = $1 and experiment_id = $2 and sequence = $3",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        sequence,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::read).transpose()
}

/// The one with the highest number of those counted before a moment.
pub(crate) async fn latest(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    before: DateTime<Utc>,
) -> Result<Option<Aggregate>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select sequence, count_time, counts, segments
         from aggregates
         where workspace_id = $1 and experiment_id = $2 and count_time < $3
         order by sequence desc
         limit 1",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        before,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::read).transpose()
}

/// How many units of the arms were exposed by each moment of counting, in the order of the numbers.
pub(crate) async fn exposed(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Vec<(DateTime<Utc>, u64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select count_time,
                  (select coalesce(sum((arm ->> 'units')::bigint), 0)::bigint
                   from jsonb_array_elements(counts -> 'arms') as arm) as "units!"
         from aggregates
         where workspace_id = $1 and experiment_id = $2
         order by sequence
         limit $3"#,
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        MOST_TICKS,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.count_time, count(row.units))).collect())
}

struct Row {
    sequence: i64,
    count_time: DateTime<Utc>,
    counts: serde_json::Value,
    segments: Option<serde_json::Value>,
}

impl Row {
    fn read(self) -> Result<Aggregate, sqlx::Error> {
        let segments = self.segments.map(from_json).transpose()?.unwrap_or_default();
        let told = Told { whole: from_json(self.counts)?, segments };
        Ok(Aggregate { sequence: self.sequence, time: self.count_time, told })
    }
}
