//! What is known at a moment: counted from facts, or told.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cursus_statistics::bandit::{self, Progress};
use sqlx::PgConnection;

use crate::allocation::{Allocation, LOOKS_BACK};
use crate::counts::Census;
use crate::design::seconds;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::look::Sight;
use crate::store;
use crate::store::census::Moments;

/// What the deciding metric and those that guard showed at a moment.
pub(crate) async fn sight(
    conn: &mut PgConnection,
    experiment: &Experiment,
    as_of: DateTime<Utc>,
) -> Result<Sight, Error> {
    let census = census(conn, experiment, as_of).await?;
    let allocations = allocations(conn, experiment).await?;
    Ok(Sight::new(&experiment.design, &census, &allocations))
}

/// A bandit's, oldest first.
pub(crate) async fn allocations(
    conn: &mut PgConnection,
    experiment: &Experiment,
) -> Result<Vec<Allocation>, Error> {
    match experiment.design.bandit {
        Some(_) => Ok(store::allocations::all(conn, &experiment.name).await?),
        None => Ok(Vec::new()),
    }
}

/// What had happened before a moment. Where nothing ends the test only units are counted whose answers are all in, as
/// others would make arms that are answered sooner look better.
pub(crate) async fn census(
    conn: &mut PgConnection,
    experiment: &Experiment,
    as_of: DateTime<Utc>,
) -> Result<Census, Error> {
    let Experiment { name, design, .. } = experiment;
    if design.aggregated {
        let latest = store::aggregates::latest(conn, name, as_of).await?;
        return Ok(match latest {
            Some(latest) => latest.told.into_census(design),
            None => Census::empty(design.arms.len(), design.metrics.len()),
        });
    }
    let exposed_before = exposed_before(experiment, as_of);
    let moments = Moments { as_of, exposed_before, exposed_since: None };
    Ok(store::census::take(conn, experiment, design.early_seconds()?, moments).await?)
}

/// When units must have been exposed to count by a moment. A bandit's periods count once they are over, and as a whole: the
/// rest of a period would be compared with those of whom it is known that they did not answer.
fn exposed_before(experiment: &Experiment, as_of: DateTime<Utc>) -> DateTime<Utc> {
    let design = &experiment.design;
    if !design.is_open_ended() {
        return as_of;
    }
    let settled = as_of - seconds(design.answering_seconds());
    let is_over = experiment.deadline.is_some_and(|deadline| as_of >= deadline);
    match (design.bandit, experiment.start_time) {
        (Some(bandit), Some(start)) => {
            // Who is divided afterwards is not written down.
            let settled = experiment.end_time().map_or(settled, |end| settled.min(end));
            if is_over { settled } else { bandit.last_whole_period(start, settled) }
        }
        _ => settled,
    }
}

/// When the next period of a bandit counts.
pub(crate) fn next_period(experiment: &Experiment, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let design = &experiment.design;
    let length = seconds(design.bandit?.period_seconds + design.answering_seconds());
    let start = experiment.start_time?;
    Some(exposed_before(experiment, now).max(start) + length)
}

/// What is known of each arm of a bandit, period by period, with units whose window is not over.
pub(crate) async fn known(
    conn: &mut PgConnection,
    experiment: &Experiment,
    now: DateTime<Utc>,
) -> Result<Vec<Vec<Progress>>, Error> {
    let design = &experiment.design;
    let (early, since) = (design.early_seconds()?, now - LOOKS_BACK);
    let moments = Moments { as_of: now, exposed_before: now, exposed_since: Some(since) };
    let census = store::census::take(conn, experiment, early, moments).await?;
    let cohorts = store::allocations::cohorts(conn, experiment, (since, now)).await?;
    let window = Duration::from_secs_f64(design.primary().window_seconds);
    let curve = design.curve()?;
    let nothing = vec![Progress::default(); design.arms.len()];
    let mut periods: BTreeMap<i64, Vec<Progress>> = BTreeMap::new();
    for (span, counts) in &census.periods {
        let progress = periods.entry(span.exposed).or_insert_with(|| nothing.clone());
        for (arm, group) in progress.iter_mut().zip(&counts.arms) {
            arm.answered += group.metrics.first().map_or(0, |tally| tally.answered);
        }
    }
    for ((exposed, arm), cohorts) in cohorts {
        let progress = periods.entry(exposed).or_insert_with(|| nothing.clone());
        if let Some(arm) = progress.get_mut(arm) {
            arm.mature += bandit::mature_units(&curve, window, &cohorts);
        }
    }
    Ok(periods.into_values().collect())
}

/// When how many units of the arms were exposed.
pub(crate) async fn exposures(
    conn: &mut PgConnection,
    experiment: &Experiment,
) -> Result<Vec<(DateTime<Utc>, u64)>, Error> {
    if !experiment.design.aggregated {
        return Ok(store::census::exposed_by_minute(conn, &experiment.name).await?);
    }
    let told = store::aggregates::exposed(conn, &experiment.name).await?;
    let (mut batches, mut before) = (Vec::new(), 0);
    for (time, units) in told {
        if units > before {
            batches.push((time, units - before));
            before = units;
        }
    }
    Ok(batches)
}
