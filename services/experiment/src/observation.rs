//! What is known at a moment: counted from facts, or told.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::allocation::{self, Allocation, Known};
use crate::counts::{Census, Group};
use crate::design::seconds;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::look::Sight;
use crate::store;

/// What the deciding metric and those that guard showed at a moment.
pub(crate) async fn sight(
    conn: &mut PgConnection,
    experiment: &Experiment,
    as_of: DateTime<Utc>,
) -> Result<Sight, Error> {
    let census = census(conn, experiment, as_of).await?;
    let allocations = allocations(conn, experiment).await?;
    Ok(Sight::by_period(&experiment.design, &census, &allocations))
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
    let moments = (as_of, exposed_before(experiment, as_of));
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
        (Some(bandit), Some(start)) if !is_over => bandit.last_whole_period(start, settled),
        _ => settled,
    }
}

/// When the next period of a bandit counts.
pub(crate) fn next_period(experiment: &Experiment, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let design = &experiment.design;
    let length = seconds(design.bandit?.period_seconds + design.answering_seconds());
    Some(exposed_before(experiment, now) + length)
}

/// What is known of each arm of a bandit, with units whose window is not over.
pub(crate) async fn known(
    conn: &mut PgConnection,
    experiment: &Experiment,
    now: DateTime<Utc>,
) -> Result<Vec<Known>, Error> {
    let Experiment { name, design, .. } = experiment;
    let early = design.early_seconds()?;
    let census = store::census::take(conn, experiment, early, (now, now)).await?;
    let (arms, metric) = (design.arms.len(), design.primary());
    let times = (now, seconds(metric.window_seconds), allocation::step(design));
    let cohorts =
        store::allocations::cohorts(conn, name, (arms, metric.counts_opens()), times).await?;
    let answered = |group: &Group| group.metrics.first().map_or(0, |tally| tally.answered);
    let known = |(group, cohorts)| Known { answered: answered(group), cohorts };
    Ok(census.whole.arms.iter().zip(cohorts).map(known).collect())
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
