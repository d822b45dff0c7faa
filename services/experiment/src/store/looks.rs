//! Queries about looks: what was counted, and what was said about it.

use chrono::{DateTime, Utc};
use cursus_ids::ExperimentName;
use cursus_statistics::Fraction;
use sqlx::PgConnection;

use super::{from_json, to_json};
use crate::look::{Look, Sight};
use crate::verdict::Verdict;

/// Keeps a look with what it led to. Its number is the verdict's count of looks.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    look: &Look,
    statistics: &[f64],
    verdict: &Verdict,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into looks
             (workspace_id, experiment_id, number, look_time, spending_time, information, boundary, counts, statistics, verdict)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        i32::try_from(verdict.look_count).unwrap_or(i32::MAX),
        look.time,
        look.spending_time.get(),
        verdict.information,
        verdict.boundary,
        to_json(&look.sight)?,
        to_json(&statistics)?,
        to_json(verdict)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All of them, oldest first.
pub(crate) async fn all(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Vec<Look>, sqlx::Error> {
    let rows = sqlx::query!(
        "select look_time, spending_time, counts
         from looks
         where workspace_id = $1 and experiment_id = $2
         order by number",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    let look = |time: DateTime<Utc>, spending_time, counts| {
        let spending_time = Fraction::saturating(spending_time);
        Ok(Look { time, spending_time, sight: from_json::<Sight>(counts)? })
    };
    rows.into_iter().map(|row| look(row.look_time, row.spending_time, row.counts)).collect()
}

/// A look as it is listed.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) number: i32,
    pub(crate) time: DateTime<Utc>,
    pub(crate) sight: Sight,
    /// The leader's against every arm.
    pub(crate) statistics: Vec<f64>,
    pub(crate) verdict: Verdict,
}

/// Those after a number, oldest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    after: i32,
    limit: i64,
) -> Result<Vec<Listed>, sqlx::Error> {
    let rows = sqlx::query!(
        "select number, look_time, counts, statistics, verdict
         from looks
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
    let mut looks = Vec::with_capacity(rows.len());
    for row in rows {
        looks.push(Listed {
            number: row.number,
            time: row.look_time,
            sight: from_json(row.counts)?,
            statistics: from_json(row.statistics)?,
            verdict: from_json(row.verdict)?,
        });
    }
    Ok(looks)
}

/// The last ones, oldest first.
pub(crate) async fn last(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    limit: i64,
) -> Result<Vec<Listed>, sqlx::Error> {
    let highest = sqlx::query_scalar!(
        "select max(number) from looks where workspace_id = $1 and experiment_id = $2",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let limit_number = i32::try_from(limit).unwrap_or(i32::MAX);
    let after = highest.unwrap_or_default().saturating_sub(limit_number);
    list(conn, experiment, after, limit).await
}

/// When the last one was taken.
pub(crate) async fn last_time(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select look_time
         from looks
         where workspace_id = $1 and experiment_id = $2
         order by number desc
         limit 1",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_optional(conn)
    .await
}

/// What the last one led to.
pub(crate) async fn last_verdict(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Option<Verdict>, sqlx::Error> {
    let row = sqlx::query!(
        "select verdict
         from looks
         where workspace_id = $1 and experiment_id = $2
         order by number desc
         limit 1",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| from_json(row.verdict)).transpose()
}
