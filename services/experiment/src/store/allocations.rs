//! How a bandit divides units, and who got which arm by which allocation.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_ids::{ContactId, ExperimentName};
use cursus_statistics::bandit::Cohort;
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

use super::{count, decoded};
use crate::allocation::Allocation;
use crate::design::seconds;
use crate::experiment::Experiment;

/// In steps of this part of the window it is told how long ago units were exposed.
const STEPS: i32 = 200;

struct Row {
    number: i32,
    start_time: DateTime<Utc>,
    shares: Vec<f64>,
}

impl From<Row> for Allocation {
    fn from(row: Row) -> Self {
        let number = u32::try_from(row.number).unwrap_or_default();
        Self { number, start_time: row.start_time, shares: row.shares }
    }
}

pub(crate) async fn add(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    allocation: &Allocation,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into allocations (workspace_id, experiment_id, number, start_time, shares)
         values ($1, $2, $3, $4, $5)",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        i32::try_from(allocation.number).unwrap_or(i32::MAX),
        allocation.start_time,
        &allocation.shares,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All of them, oldest first.
pub(crate) async fn all(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Vec<Allocation>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select number, start_time, shares
         from allocations
         where workspace_id = $1 and experiment_id = $2
         order by number",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The one that new units are divided by.
pub(crate) async fn latest(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Option<Allocation>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select number, start_time, shares
         from allocations
         where workspace_id = $1 and experiment_id = $2
         order by number desc
         limit 1",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// Writes which arm units got by an allocation, unless they have got one before. Returns what they have, with the number
/// of its allocation.
pub(crate) async fn allot(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    allocation: u32,
    units: &HashMap<ContactId, usize>,
) -> Result<HashMap<ContactId, (usize, u32)>, sqlx::Error> {
    let ids: Vec<String> = units.keys().map(ToString::to_string).collect();
    // A design has ten arms at most.
    let arms: Vec<i16> =
        units.values().map(|arm| i16::try_from(*arm).unwrap_or(i16::MAX)).collect();
    sqlx::query!(
        "insert into allotments (workspace_id, experiment_id, contact_id, allocation, arm)
         select $1, $2, told.contact_id, $3, told.arm
         from unnest($4::text[], $5::smallint[]) as told (contact_id, arm)
         order by told.contact_id
         on conflict do nothing",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        i32::try_from(allocation).unwrap_or(i32::MAX),
        &ids,
        &arms,
    )
    .execute(&mut *conn)
    .await?;
    allotted(conn, experiment, units.keys()).await
}

/// Which arm units have got, those that have one, with the number of the allocation.
pub(crate) async fn allotted(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    units: impl Iterator<Item = &ContactId>,
) -> Result<HashMap<ContactId, (usize, u32)>, sqlx::Error> {
    let ids: Vec<String> = units.map(ToString::to_string).collect();
    let rows = sqlx::query!(
        "select contact_id, allocation, arm
         from allotments
         where workspace_id = $1 and experiment_id = $2 and contact_id = any($3)",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        &ids,
    )
    .fetch_all(conn)
    .await?;
    let read = |row: (String, i16, i32)| {
        let arm = usize::try_from(row.1).unwrap_or_default();
        Ok((decoded(row.0.parse())?, (arm, u32::try_from(row.2).unwrap_or_default())))
    };
    rows.into_iter().map(|row| read((row.contact_id, row.arm, row.allocation))).collect()
}

/// By period of exposure and arm: how long ago how many units were exposed, in two hundredths of the window. Those whose
/// window is over come together. Where opens are counted, units behind a privacy proxy are left out.
pub(crate) async fn cohorts(
    conn: &mut PgConnection,
    experiment: &Experiment,
    (since, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<BTreeMap<(i64, usize), Vec<Cohort>>, sqlx::Error> {
    let Experiment { name, design, start_time, .. } = experiment;
    let interval = |length: TimeDelta| PgInterval {
        months: 0,
        days: 0,
        microseconds: length.num_microseconds().unwrap_or(i64::MAX),
    };
    let window = seconds(design.primary().window_seconds);
    let step = (window / STEPS).max(TimeDelta::milliseconds(1));
    let rows = sqlx::query!(
        r#"select allotments.arm,
                  floor(extract(epoch from greatest(exposures.exposure_time, allocations.start_time) - $7::timestamptz)
                        ::float8 / $8::float8)::bigint as "exposed!",
                  date_bin($5, greatest(exposures.exposure_time, $3::timestamptz - $4::interval), $3) as "time!",
                  count(*) as "units!"
         from exposures
         join allotments using (workspace_id, experiment_id, contact_id)
         join allocations on allocations.workspace_id = $1
                         and allocations.experiment_id = $2
                         and allocations.number = allotments.allocation
         where exposures.workspace_id = $1
           and exposures.experiment_id = $2
           and exposures.arm = allotments.arm
           and not exposures.released
           and exposures.exposure_time >= $9
           and greatest(exposures.exposure_time, allocations.start_time) < $3
           and not ($6 and exposures.privacy_proxy)
         group by 1, 2, 3"#,
        name.workspace.as_ref(),
        name.id.as_ref(),
        now,
        interval(window),
        interval(step),
        design.primary().counts_opens(),
        *start_time,
        design.bandit.map(|bandit| bandit.period_seconds),
        since,
    )
    .fetch_all(conn)
    .await?;
    let mut cohorts: BTreeMap<(i64, usize), Vec<Cohort>> = BTreeMap::new();
    for row in rows {
        let arm = usize::try_from(row.arm).unwrap_or(usize::MAX);
        let age = (now - row.time).to_std().unwrap_or(Duration::ZERO);
        let cohort = Cohort { age, units: count(row.units) };
        cohorts.entry((row.exposed, arm)).or_default().push(cohort);
    }
    Ok(cohorts)
}
