//! Imported assignments.

use std::collections::HashMap;

use cursus_ids::{ContactId, ExperimentName};
use sqlx::PgConnection;

use super::decoded;
use crate::assignment::Place;

const HOLDOUT: i16 = -1;
const REMAINDER: i16 = -2;

fn number(place: Place) -> i16 {
    match place {
        // A design has ten arms at most.
        Place::Test(arm) => i16::try_from(arm).unwrap_or(i16::MAX),
        Place::Holdout => HOLDOUT,
        Place::Remainder => REMAINDER,
    }
}

fn place(number: i16) -> Place {
    match number {
        HOLDOUT => Place::Holdout,
        REMAINDER => Place::Remainder,
        arm => Place::Test(usize::try_from(arm).unwrap_or_default()),
    }
}

/// Writes assignments, of which no two are of the same unit. Returns how many units are new.
pub(crate) async fn put(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    assignments: &HashMap<ContactId, Place>,
) -> Result<i64, sqlx::Error> {
    let units: Vec<String> = assignments.keys().map(ToString::to_string).collect();
    let places: Vec<i16> = assignments.values().map(|it| number(*it)).collect();
    let row = sqlx::query!(
        r#"with written as (
             insert into assignments (workspace_id, experiment_id, contact_id, place)
             select $1, $2, told.contact_id, told.place
             from unnest($3::text[], $4::smallint[]) as told (contact_id, place)
             on conflict (workspace_id, experiment_id, contact_id) do update set place = excluded.place
             returning xmax = 0 as is_new
         )
         select count(*) filter (where is_new) as "count!" from written"#,
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        &units,
        &places,
    )
    .fetch_one(conn)
    .await?;
    Ok(row.count)
}

/// Over all assignments, in the order of the units' bytes, whatever order they were imported in.
pub(crate) async fn digest(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<Vec<u8>, sqlx::Error> {
    // An id has no space and no line break, so the text can be read in one way only.
    let row = sqlx::query!(
        r#"select sha256(convert_to(coalesce(
             string_agg(contact_id || ' ' || place, E'\n' order by contact_id collate "C"), ''
         ), 'UTF8')) as "digest!"
         from assignments
         where workspace_id = $1 and experiment_id = $2"#,
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .fetch_one(conn)
    .await?;
    Ok(row.digest)
}

/// Those of the units that have an imported assignment.
pub(crate) async fn of(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    units: &[ContactId],
) -> Result<HashMap<ContactId, Place>, sqlx::Error> {
    let units: Vec<String> = units.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        "select contact_id, place
         from assignments
         where workspace_id = $1 and experiment_id = $2 and contact_id = any($3)",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
        &units,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((decoded(row.contact_id.parse())?, place(row.place)))).collect()
}
