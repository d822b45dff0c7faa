//! Experiments.

use chrono::{DateTime, Utc};
use cursus_ids::{ExperimentId, ExperimentName, WorkspaceId};
use sqlx::PgConnection;

use super::{decoded, from_json, to_json};
use crate::design::Design;
use crate::experiment::{Experiment, State};

/// A row, before its texts are read.
struct Row {
    workspace_id: String,
    experiment_id: String,
    display_name: String,
    design: serde_json::Value,
    state: String,
    imported_count: i64,
    assignments_digest: Option<Vec<u8>>,
    create_time: DateTime<Utc>,
    start_time: Option<DateTime<Utc>>,
    exposure_end_time: Option<DateTime<Utc>>,
    deadline: Option<DateTime<Utc>>,
    decision: Option<serde_json::Value>,
    stop: Option<serde_json::Value>,
    expectation: Option<serde_json::Value>,
    buckets: Option<serde_json::Value>,
}

impl Row {
    /// The digest of the assignments is computed where it is not known because an import broke off.
    async fn read(self, conn: &mut PgConnection) -> Result<Experiment, sqlx::Error> {
        let workspace = decoded(self.workspace_id.parse::<WorkspaceId>())?;
        let id = decoded(self.experiment_id.parse::<ExperimentId>())?;
        let name = ExperimentName::new(workspace, id);
        let assignments_digest = match self.assignments_digest {
            Some(digest) => digest,
            None => super::assignments::digest(conn, &name).await?,
        };
        let state = State::ALL.into_iter().find(|state| state.as_str() == self.state);
        Ok(Experiment {
            name,
            display_name: self.display_name,
            design: from_json(self.design)?,
            state: decoded(state.ok_or("not a state"))?,
            imported_count: self.imported_count,
            assignments_digest,
            create_time: self.create_time,
            start_time: self.start_time,
            exposure_end_time: self.exposure_end_time,
            deadline: self.deadline,
            decision: self.decision.map(from_json).transpose()?,
            stop: self.stop.map(from_json).transpose()?,
            expectation: self.expectation.map(from_json).transpose()?,
            buckets: self.buckets.map(from_json).transpose()?.unwrap_or_default(),
        })
    }
}

/// Whether the name was free.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    experiment: &Experiment,
    partition: i16,
) -> Result<bool, sqlx::Error> {
    let design = to_json(&experiment.design)?;
    let expectation = experiment.expectation.as_ref().map(to_json).transpose()?;
    let inserted = sqlx::query!(
        "insert into experiments (workspace_id, experiment_id, display_name, design, state, assignments_digest, create_time,
                                  partition, expectation, is_open_ended)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict do nothing",
        experiment.name.workspace.as_ref(),
        experiment.name.id.as_ref(),
        experiment.display_name,
        design,
        experiment.state.as_str(),
        experiment.assignments_digest,
        experiment.create_time,
        partition,
        expectation,
        experiment.design.is_open_ended(),
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// From now on the events that the design names are kept.
pub(crate) async fn watch(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    design: &Design,
) -> Result<(), sqlx::Error> {
    let (mut events, mut properties) = (Vec::new(), Vec::new());
    for metric in &design.metrics {
        for event in &metric.events {
            events.push(event.clone());
            properties.push(metric.property().to_owned());
        }
    }
    sqlx::query!(
        "insert into watched (workspace_id, event, property)
         select $1, named.event, named.property
         from unnest($2::text[], $3::text[]) as named (event, property)
         order by 2, 3
         on conflict do nothing",
        workspace.as_ref(),
        &events,
        &properties,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    name: &ExperimentName,
) -> Result<Option<Experiment>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select workspace_id, experiment_id, display_name, design, state, imported_count, assignments_digest,
                create_time, start_time, exposure_end_time, deadline, decision, stop, expectation, buckets
         from experiments
         where workspace_id = $1 and experiment_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    match row {
        Some(row) => Ok(Some(row.read(conn).await?)),
        None => Ok(None),
    }
}

/// Keeps everybody else from changing it, and from importing into it, until the transaction is over.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    name: &ExperimentName,
) -> Result<Option<Experiment>, sqlx::Error> {
    sqlx::query!(
        "select 1 as one from experiments where workspace_id = $1 and experiment_id = $2 for update",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    get(conn, name).await
}

/// Newest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    before: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<Experiment>, sqlx::Error> {
    let (time, id) = before.unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, experiment_id, display_name, design, state, imported_count, assignments_digest,
                create_time, start_time, exposure_end_time, deadline, decision, stop, expectation, buckets
         from experiments
         where workspace_id = $1
           and ($2::timestamptz is null or create_time < $2 or (create_time = $2 and experiment_id > $3))
         order by create_time desc, experiment_id
         limit $4",
        workspace.as_ref(),
        time,
        id,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut experiments = Vec::with_capacity(rows.len());
    for row in rows {
        experiments.push(row.read(conn).await?);
    }
    Ok(experiments)
}

/// Writes how far a locked experiment is.
pub(crate) async fn update(
    conn: &mut PgConnection,
    experiment: &Experiment,
) -> Result<(), sqlx::Error> {
    let decision = experiment.decision.as_ref().map(to_json).transpose()?;
    let stop = experiment.stop.as_ref().map(to_json).transpose()?;
    let reserved = Some(&experiment.buckets).filter(|buckets| !buckets.is_empty());
    let buckets = reserved.map(to_json).transpose()?;
    sqlx::query!(
        "update experiments
         set state = $3, start_time = $4, exposure_end_time = $5, deadline = $6, decision = $7,
             assignments_digest = $8, stop = $9, buckets = $10
         where workspace_id = $1 and experiment_id = $2",
        experiment.name.workspace.as_ref(),
        experiment.name.id.as_ref(),
        experiment.state.as_str(),
        experiment.start_time,
        experiment.exposure_end_time,
        experiment.deadline,
        decision,
        experiment.assignments_digest,
        stop,
        buckets,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was imported changed, so that its digest is not known.
pub(crate) async fn add_imported(
    conn: &mut PgConnection,
    name: &ExperimentName,
    added: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update experiments
         set imported_count = imported_count + $3, assignments_digest = null
         where workspace_id = $1 and experiment_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
        added,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Experiments of a partition at which looks are taken: those whose decision window runs, and those without a deadline.
pub(crate) async fn watchable(
    conn: &mut PgConnection,
    partition: i16,
) -> Result<Vec<ExperimentName>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select workspace_id as "workspace_id!", experiment_id as "experiment_id!"
         from experiments where partition = $1 and state = 'MATURING'
         union all
         select workspace_id, experiment_id
         from experiments where partition = $1 and is_open_ended and state = 'RUNNING'"#,
        partition,
    )
    .fetch_all(conn)
    .await?;
    let name = |workspace: String, id: String| {
        Ok(ExperimentName::new(decoded(workspace.parse())?, decoded(id.parse())?))
    };
    rows.into_iter().map(|row| name(row.workspace_id, row.experiment_id)).collect()
}
