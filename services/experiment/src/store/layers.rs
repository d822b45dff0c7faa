//! Which parts of layers are reserved.

use cursus_ids::ExperimentName;
use sqlx::PgConnection;

use super::count;
use crate::layers::Range;

/// Locks a layer of the experiment's workspace, and tells what is taken.
pub(crate) async fn taken(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    layer: &str,
) -> Result<Vec<Range>, sqlx::Error> {
    let workspace = experiment.workspace.as_ref();
    sqlx::query!(
        "insert into layers (workspace_id, layer) values ($1, $2) on conflict do nothing",
        workspace,
        layer,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "select 1 as one from layers where workspace_id = $1 and layer = $2 for update",
        workspace,
        layer,
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        "select first_bucket, last_bucket from reservations where workspace_id = $1 and layer = $2",
        workspace,
        layer,
    )
    .fetch_all(conn)
    .await?;
    let bucket = |number: i32| u32::try_from(count(number.into())).unwrap_or_default();
    Ok(rows.iter().map(|row| Range(bucket(row.first_bucket), bucket(row.last_bucket))).collect())
}

pub(crate) async fn reserve(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
    layer: &str,
    ranges: &[Range],
) -> Result<(), sqlx::Error> {
    let firsts: Vec<i32> = ranges.iter().map(|range| range.0.cast_signed()).collect();
    let lasts: Vec<i32> = ranges.iter().map(|range| range.1.cast_signed()).collect();
    sqlx::query!(
        "insert into reservations (workspace_id, layer, first_bucket, last_bucket, experiment_id)
         select $1, $2, range.first, range.last, $3
         from unnest($4::integer[], $5::integer[]) as range (first, last)",
        experiment.workspace.as_ref(),
        layer,
        experiment.id.as_ref(),
        &firsts,
        &lasts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Others may have what the experiment had.
pub(crate) async fn release(
    conn: &mut PgConnection,
    experiment: &ExperimentName,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from reservations where workspace_id = $1 and experiment_id = $2",
        experiment.workspace.as_ref(),
        experiment.id.as_ref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
