//! How soon contacts answered, by experiment and metric.

use cursus_ids::{ExperimentName, WorkspaceId};
use sqlx::PgConnection;

use super::{count, join_by_hashing};
use crate::curves::{Curve, REMEMBERED, Sample};
use crate::design::Design;

/// Notes how soon persons answered for the first time, for every conversion of an experiment. What was noted before is
/// replaced.
pub(crate) async fn note(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    design: &Design,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    let conversions = design.metrics.iter().filter(|metric| metric.property().is_empty());
    let (mut ids, mut events, mut windows, mut strict) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for metric in conversions {
        for event in &metric.events {
            ids.push(metric.id.to_string());
            events.push(event.clone());
            windows.push(metric.window_seconds);
            strict.push(metric.counts_opens());
        }
    }
    join_by_hashing(conn).await?;
    sqlx::query!(
        r#"with metrics as (
             select * from unnest($3::text[], $4::text[], $5::float8[], $6::boolean[])
                 as named (metric, event, window_seconds, is_strict)
         ), answers as (
             select metrics.metric,
                    ln(greatest(extract(epoch from min(evidence.outcome_time) - exposures.exposure_time), 1))::float8
                        as log_seconds
             from metrics
             join evidence on evidence.workspace_id = $1
                          and evidence.event = metrics.event
                          and evidence.experiment_id in ('', $2)
             left join words using (workspace_id, source, outcome_id)
             join exposures on exposures.workspace_id = $1
                           and exposures.experiment_id = $2
                           and exposures.contact_id = evidence.contact_id
             where coalesce(words.actor, evidence.actor, case when evidence.human then 'HUMAN' end) = 'HUMAN'
               and exposures.arm is not null
               and evidence.outcome_time >= exposures.exposure_time
               and evidence.outcome_time < exposures.exposure_time + interval '1 second' * metrics.window_seconds
               and not (metrics.is_strict and exposures.privacy_proxy)
             group by exposures.contact_id, exposures.exposure_time, metrics.metric
         )
         insert into response_samples
             (workspace_id, metric_id, experiment_id, answers, sum_of_logs, sum_of_squares, sample_time)
         select $1, metric, $2, count(*), sum(log_seconds), sum(log_seconds * log_seconds), $7
         from answers
         group by metric
         on conflict (workspace_id, metric_id, experiment_id) do update
         set answers = excluded.answers, sum_of_logs = excluded.sum_of_logs,
             sum_of_squares = excluded.sum_of_squares, sample_time = excluded.sample_time"#,
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        &ids,
        &events,
        &windows,
        &strict,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was seen of a metric in the last experiments of a workspace.
pub(crate) async fn sample(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    metric: &str,
) -> Result<Sample, sqlx::Error> {
    let row = sqlx::query!(
        r#"select coalesce(sum(answers), 0)::bigint as "answers!", coalesce(sum(sum_of_logs), 0) as "sum_of_logs!",
                  coalesce(sum(sum_of_squares), 0) as "sum_of_squares!"
         from (
             select answers, sum_of_logs, sum_of_squares
             from response_samples
             where workspace_id = $1 and metric_id = $2
             order by sample_time desc
             limit $3
         ) as last"#,
        workspace.as_ref(),
        metric,
        REMEMBERED,
    )
    .fetch_one(conn)
    .await?;
    Ok(Sample {
        answers: count(row.answers),
        sum_of_logs: row.sum_of_logs,
        sum_of_squares: row.sum_of_squares,
    })
}

/// Curves of metrics after an id, in the order of the ids. Metrics of which too little was seen have none.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, Option<Curve>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select named.metric_id as "metric_id!", sum(seen.answers)::bigint as "answers!", count(*) as "experiments!",
                  sum(seen.sum_of_logs) as "sum_of_logs!", sum(seen.sum_of_squares) as "sum_of_squares!"
         from (
             select distinct metric_id
             from response_samples
             where workspace_id = $1 and metric_id > $3
             order by metric_id
             limit $4
         ) as named
         cross join lateral (
             select answers, sum_of_logs, sum_of_squares
             from response_samples
             where workspace_id = $1 and metric_id = named.metric_id
             order by sample_time desc
             limit $2
         ) as seen
         group by named.metric_id
         order by named.metric_id"#,
        workspace.as_ref(),
        REMEMBERED,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let mut curves = Vec::with_capacity(rows.len());
    for row in rows {
        let answers = count(row.answers);
        let sample =
            Sample { answers, sum_of_logs: row.sum_of_logs, sum_of_squares: row.sum_of_squares };
        let curve = sample.fit().map(|(median, log_sd)| Curve {
            metric: row.metric_id.clone(),
            answers,
            experiments: u32::try_from(row.experiments).unwrap_or(u32::MAX),
            median,
            log_sd,
        });
        curves.push((row.metric_id, curve));
    }
    Ok(curves)
}
