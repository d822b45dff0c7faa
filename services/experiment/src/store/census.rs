//! Counting: one query for all arms, metrics and segments.

use chrono::{DateTime, Utc};
use cursus_ids::ExperimentName;
use sqlx::PgConnection;

use super::count;
use crate::counts::{Census, Part, Tally};
use crate::design::Design;

const HOLDOUT: i16 = -1;
const RELEASED: i16 = -2;
/// Not a metric: the row counts units.
const UNITS: i16 = -1;

/// What metrics count: a row for each event of each, as columns.
#[derive(Default)]
struct Wanted {
    numbers: Vec<i16>,
    events: Vec<String>,
    properties: Vec<String>,
    windows: Vec<f64>,
    earlies: Vec<f64>,
}

impl Wanted {
    fn new(design: &Design, early_seconds: f64) -> Self {
        let mut wanted = Self::default();
        for (number, metric) in (0_i16..).zip(&design.metrics) {
            for event in &metric.events {
                wanted.numbers.push(number);
                wanted.events.push(event.clone());
                wanted.properties.push(metric.property().to_owned());
                wanted.windows.push(metric.window_seconds);
                wanted.earlies.push(early_seconds.min(metric.window_seconds));
            }
        }
        wanted
    }
}

/// What had happened before `as_of`. Answers within `early_seconds` of the exposure are early.
///
/// Evidence and exposures meet here and not when they are written, because either may be told first.
pub(crate) async fn take(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    design: &Design,
    early_seconds: f64,
    as_of: DateTime<Utc>,
) -> Result<Census, sqlx::Error> {
    let wanted = Wanted::new(design, early_seconds);
    let rows = sqlx::query!(
        r#"with metrics as (
             select * from unnest($3::smallint[], $4::text[], $5::text[], $6::float8[], $7::float8[])
                 as named (metric, event, property, window_seconds, early_seconds)
         ), answers as (
             select exposures.contact_id, exposures.segments,
                    case when exposures.released then -2 else coalesce(exposures.arm, -1) end::smallint as part,
                    metrics.metric,
                    bool_or(evidence.human) as human,
                    bool_or(evidence.human and evidence.outcome_time
                        < exposures.exposure_time + interval '1 second' * metrics.early_seconds) as early,
                    coalesce(sum((evidence.micros ->> metrics.property)::bigint) filter (where evidence.human), 0)
                        as micros
             from metrics
             join evidence on evidence.workspace_id = $1
                          and evidence.event = metrics.event
                          and evidence.experiment_id in ('', $2)
             join exposures on exposures.workspace_id = $1
                           and exposures.experiment_id = $2
                           and exposures.contact_id = evidence.contact_id
             where evidence.outcome_time < $8
               and exposures.exposure_time < $8
               and evidence.outcome_time >= exposures.exposure_time
               and evidence.outcome_time < exposures.exposure_time + interval '1 second' * metrics.window_seconds
             group by exposures.workspace_id, exposures.experiment_id, exposures.contact_id, metrics.metric
         ), units as (
             select segments, case when released then -2 else coalesce(arm, -1) end::smallint as part, count(*) as units
             from exposures
             where workspace_id = $1 and experiment_id = $2 and exposure_time < $8
             group by 1, 2
         )
         select segment as "segment!", part as "part!", -1::smallint as "metric!", sum(units)::bigint as "answered!",
                0::bigint as "machine!", 0::bigint as "early!", 0::float8 as "total!", 0::float8 as "squares!"
         from units cross join lateral unnest(array_append(segments, '')) as segment
         group by 1, 2
         union all
         select segment, part, metric, count(*) filter (where human), count(*) filter (where not human),
                count(*) filter (where early),
                -- Exact until here, whatever order things came in, and rounded once.
                (sum(micros) * 0.000001)::float8,
                (sum(micros * micros) * 0.000000000001)::float8
         from answers cross join lateral unnest(array_append(segments, '')) as segment
         group by 1, 2, 3"#,
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        &wanted.numbers,
        &wanted.events,
        &wanted.properties,
        &wanted.windows,
        &wanted.earlies,
        as_of,
    )
    .fetch_all(conn)
    .await?;
    let mut census = Census::empty(design.arms.len(), design.metrics.len());
    for row in rows {
        let part = match row.part {
            HOLDOUT => Part::Holdout,
            RELEASED => Part::Released,
            arm => Part::Arm(usize::try_from(arm).unwrap_or(usize::MAX)),
        };
        let Some(group) = census.group(&row.segment, part) else { continue };
        if row.metric == UNITS {
            group.units = count(row.answered);
        } else if let Some(tally) =
            usize::try_from(row.metric).ok().and_then(|metric| group.metrics.get_mut(metric))
        {
            *tally = Tally {
                answered: count(row.answered),
                machine: count(row.machine),
                early: count(row.early),
                total: row.total,
                squares: row.squares,
            };
        }
    }
    Ok(census)
}

/// How many units of the arms were exposed in each minute.
pub(crate) async fn exposed_by_minute(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Vec<(DateTime<Utc>, u64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select date_trunc('minute', exposure_time, 'UTC') as "minute!", min(exposure_time) as "time!",
                  count(*) as "units!"
         from exposures
         where workspace_id = $1 and experiment_id = $2 and arm is not null and not released
         group by 1
         order by 1"#,
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.time, count(row.units))).collect())
}
