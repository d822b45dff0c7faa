//! Counting: one query for all arms, metrics and segments.

use chrono::{DateTime, Utc};
use cursus_ids::ExperimentName;
use sqlx::{Connection, PgConnection};

use super::{count, decoded, join_by_hashing};
use crate::counts::{Census, Part, Past, Tally};
use crate::design::Design;
use crate::experiment::Experiment;

const HOLDOUT: i16 = -1;
const RELEASED: i16 = -2;
/// In an arm that the bandit did not give them.
const STRAY: i16 = -3;
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
    /// Whether units behind a privacy proxy are left out.
    strict: Vec<bool>,
    /// How far before the exposure; 0 for not at all.
    pasts: Vec<f64>,
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
                wanted.strict.push(metric.counts_opens());
                wanted.pasts.push(metric.covariate_seconds.unwrap_or_default());
            }
        }
        wanted
    }
}

/// Which units are counted, and what they did until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) as_of: DateTime<Utc>,
    pub(crate) exposed_before: DateTime<Utc>,
    pub(crate) exposed_since: Option<DateTime<Utc>>,
}

/// What those units had done. Answers within `early_seconds` of the exposure are early. A bandit's units are grouped by
/// [`Span`](crate::counts::Span) and not by segment.
///
/// Evidence and exposures meet here and not when they are written, because either may be told first.
#[expect(clippy::too_many_lines, reason = "it is one query, so that all is of one moment")]
pub(crate) async fn take(
    conn: &mut PgConnection,
    experiment: &Experiment,
    early_seconds: f64,
    moments: Moments,
) -> Result<Census, sqlx::Error> {
    let Experiment { name, design, .. } = experiment;
    let wanted = Wanted::new(design, early_seconds);
    let period_seconds = design.bandit.map(|bandit| bandit.period_seconds);
    let looks_back = wanted.pasts.iter().any(|seconds| *seconds > 0.0);
    // Rolled back in the end, so that the caller's other queries are planned as they were.
    let mut tx = conn.begin().await?;
    join_by_hashing(&mut tx).await?;
    let rows = sqlx::query_as!(
        Row,
        r#"with metrics as (
             select * from unnest($3::smallint[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::boolean[],
                                  $11::float8[])
                 as named (metric, event, property, window_seconds, early_seconds, is_strict, past_seconds)
         ), facts as (
             select evidence.contact_id, evidence.event, evidence.outcome_time, evidence.micros,
                    evidence.experiment_id in ('', $2) as is_ours,
                    coalesce(words.actor, evidence.actor, case when evidence.human then 'HUMAN' else 'MACHINE' end)
                        as actor
             from evidence left join words using (workspace_id, source, outcome_id)
             where evidence.workspace_id = $1
               and evidence.event = any($4)
               -- Opens and clicks of earlier campaigns tell of the past.
               and (evidence.experiment_id in ('', $2) or $12 and evidence.source = 'delivery')
               and evidence.outcome_time < $9
         ), exposed as not materialized (
             select exposures.contact_id, exposures.exposure_time, exposures.privacy_proxy,
                    case
                        when $13::float8 is null then exposures.segments
                        else array[format(
                            '%s.%s', coalesce(allotments.allocation, 0),
                            floor(extract(epoch from
                                greatest(exposures.exposure_time, allocations.start_time) - $14::timestamptz
                            )::float8 / $13::float8)::bigint
                        )]
                    end as segments,
                    case
                        when exposures.released then -2
                        when exposures.arm is null then -1
                        when $13::float8 is not null and allotments.arm is distinct from exposures.arm then -3
                        else exposures.arm
                    end::smallint as part
             from exposures
             left join allotments on $13::float8 is not null
                                 and allotments.workspace_id = $1
                                 and allotments.experiment_id = $2
                                 and allotments.contact_id = exposures.contact_id
             left join allocations on $13::float8 is not null
                                  and allocations.workspace_id = $1
                                  and allocations.experiment_id = $2
                                  and allocations.number = allotments.allocation
             where exposures.workspace_id = $1
               and exposures.experiment_id = $2
               -- Nobody is exposed before being divided, whatever is told.
               and greatest(exposures.exposure_time, allocations.start_time) < $10
               and ($15::timestamptz is null or exposures.exposure_time >= $15)
         ), found as (
             select exposed.contact_id, exposed.segments, metrics.metric, metrics.property = '' as is_conversion,
                    exposed.part, facts.actor, coalesce((facts.micros ->> metrics.property)::bigint, 0) as micros,
                    facts.outcome_time < exposed.exposure_time as is_past,
                    facts.outcome_time < exposed.exposure_time + interval '1 second' * metrics.early_seconds
                        as is_early
             from metrics
             join facts on facts.event = metrics.event
             join exposed on exposed.contact_id = facts.contact_id
             where facts.outcome_time >= exposed.exposure_time - interval '1 second' * metrics.past_seconds
               and facts.outcome_time < exposed.exposure_time + interval '1 second' * metrics.window_seconds
               and (facts.is_ours or facts.outcome_time < exposed.exposure_time)
               and not (metrics.is_strict and exposed.privacy_proxy)
         ), acts as (
             -- A contact has one exposure, so what is taken of it is the same in all its rows.
             select min(segments) as segments, min(part) as part, metric, is_conversion,
                    case
                        when bool_or(actor = 'HUMAN' and not is_past) then 'HUMAN'
                        when bool_or(actor = 'SUSPECT' and not is_past) then 'SUSPECT'
                        when bool_or(actor = 'UNKNOWN' and not is_past) then 'UNKNOWN'
                        when bool_or(not is_past) then 'MACHINE'
                    end as actor,
                    bool_or(actor = 'HUMAN' and not is_past and is_early) as early,
                    coalesce(sum(micros) filter (where actor = 'HUMAN' and not is_past), 0) as micros,
                    coalesce(sum(micros) filter (where actor = 'HUMAN' and is_past), 0) as past_micros,
                    bool_or(actor = 'HUMAN' and is_past) as has_past
             from found
             group by contact_id, metric, is_conversion
         ), answers as (
             -- Of a conversion whether it happened, as one whole.
             select segments, metric, part, actor, early, micros,
                    case when is_conversion then 1000000 * (actor = 'HUMAN')::int else micros end as level,
                    case when is_conversion then 1000000 * has_past::int else past_micros end as past
             from acts
         ), units as (
             select segments, part, count(*) as units, count(*) filter (where privacy_proxy) as proxies
             from exposed
             group by 1, 2
         )
         select segment as "segment!", part as "part!", -1::smallint as "metric!", sum(units)::bigint as "answered!",
                sum(proxies)::bigint as "machine!", 0::bigint as "suspect!", 0::bigint as "unknown!",
                0::bigint as "early!", 0::float8 as "total!", 0::float8 as "squares!",
                0::float8 as "past!", 0::float8 as "past_squares!", 0::float8 as "products!"
         from (select *, unnest(array_append(segments, '')) as segment from units) as listed
         group by 1, 2
         union all
         select segment, part, metric, count(*) filter (where actor = 'HUMAN'),
                count(*) filter (where actor = 'MACHINE'), count(*) filter (where actor = 'SUSPECT'),
                count(*) filter (where actor = 'UNKNOWN'), count(*) filter (where early),
                -- Exact until here, whatever order things came in, and rounded once.
                (sum(micros) * 0.000001)::float8,
                (sum(micros * micros) * 0.000000000001)::float8,
                (sum(past) * 0.000001)::float8,
                (sum(past * past) * 0.000000000001)::float8,
                (sum(past * coalesce(level, 0)) * 0.000000000001)::float8
         from (select *, unnest(array_append(segments, '')) as segment from answers) as listed
         group by 1, 2, 3"#,
        name.workspace.as_ref(),
        name.id.as_ref(),
        &wanted.numbers,
        &wanted.events,
        &wanted.properties,
        &wanted.windows,
        &wanted.earlies,
        &wanted.strict,
        moments.as_of,
        moments.exposed_before,
        &wanted.pasts,
        looks_back,
        period_seconds,
        experiment.start_time,
        moments.exposed_since,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.rollback().await?;
    let census = read(design, rows);
    if design.bandit.is_none() {
        return Ok(census);
    }
    decoded(census.by_period().ok_or("not the label of a span"))
}

/// What was counted of a metric, or of units, in one part of one segment.
struct Row {
    segment: String,
    part: i16,
    metric: i16,
    answered: i64,
    /// Of units: how many are behind a privacy proxy.
    machine: i64,
    suspect: i64,
    unknown: i64,
    early: i64,
    total: f64,
    squares: f64,
    past: f64,
    past_squares: f64,
    products: f64,
}

impl Row {
    fn tally(&self) -> Tally {
        Tally {
            answered: count(self.answered),
            machine: count(self.machine),
            suspect: count(self.suspect),
            unknown: count(self.unknown),
            excluded: 0,
            early: count(self.early),
            total: self.total,
            squares: self.squares,
        }
    }

    fn past(&self) -> Past {
        Past { total: self.past, squares: self.past_squares, products: self.products }
    }
}

fn read(design: &Design, rows: Vec<Row>) -> Census {
    let mut census = Census::empty(design.arms.len(), design.metrics.len());
    // Units come last, so that what is left out of a metric's is not overwritten.
    let (units, answers): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.metric == UNITS);
    for row in answers.into_iter().chain(units) {
        let part = match row.part {
            HOLDOUT => Part::Holdout,
            RELEASED => Part::Released,
            STRAY => {
                let is_of_all = row.metric == UNITS && row.segment.is_empty();
                census.strays += if is_of_all { count(row.answered) } else { 0 };
                continue;
            }
            arm => Part::Arm(usize::try_from(arm).unwrap_or(usize::MAX)),
        };
        let Some(group) = census.group(&row.segment, part) else { continue };
        if row.metric == UNITS {
            group.units = count(row.answered);
            for (tally, metric) in group.metrics.iter_mut().zip(&design.metrics) {
                tally.excluded = if metric.counts_opens() { count(row.machine) } else { 0 };
            }
        } else if let Ok(metric) = usize::try_from(row.metric) {
            if let Some(past) = group.pasts.get_mut(metric) {
                *past = row.past();
            }
            if let Some(tally) = group.metrics.get_mut(metric) {
                *tally = row.tally();
            }
        }
    }
    census
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
