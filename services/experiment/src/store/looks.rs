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
