//! What is done with experiments. Each function is called in a transaction, or reads.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cursus_ids::{ApprovalName, ContactId, ExperimentName, WorkspaceId};
use cursus_statistics::Fraction;
use cursus_statistics::monitor::Sending;
use sqlx::PgConnection;

use crate::assignment::{Assignment, Divider, Place};
use crate::counts::{Census, Counts};
use crate::design::Design;
use crate::error::Error;
use crate::evidence::{Event, Exposure, earliest};
use crate::experiment::{Decision, Experiment, PARTITIONS, State};
use crate::look::{Look, Sight};
use crate::verdict::{self, Verdict};
use crate::{results, store};

pub(crate) async fn get(
    conn: &mut PgConnection,
    name: &ExperimentName,
) -> Result<Experiment, Error> {
    let experiment = store::experiments::get(conn, name).await?;
    experiment.ok_or_else(|| Error::NoSuchExperiment(name.to_string()))
}

pub(crate) async fn lock(
    conn: &mut PgConnection,
    name: &ExperimentName,
) -> Result<Experiment, Error> {
    let experiment = store::experiments::lock(conn, name).await?;
    experiment.ok_or_else(|| Error::NoSuchExperiment(name.to_string()))
}

/// Newest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    before: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<Experiment>, Error> {
    Ok(store::experiments::list(conn, workspace, before, limit).await?)
}

/// Creates a draft. From now on the events it names are kept; what came before anybody named them is not known here.
pub(crate) async fn create(
    conn: &mut PgConnection,
    name: ExperimentName,
    display_name: String,
    design: Design,
    now: DateTime<Utc>,
) -> Result<Experiment, Error> {
    let experiment = Experiment {
        assignments_digest: store::assignments::digest(conn, &name).await?,
        name,
        display_name,
        design,
        state: State::Draft,
        imported_count: 0,
        create_time: now,
        start_time: None,
        exposure_end_time: None,
        deadline: None,
        decision: None,
    };
    if !store::experiments::insert(conn, &experiment, partition(&experiment.name)).await? {
        return Err(Error::Exists(experiment.name.to_string()));
    }
    store::experiments::watch(conn, &experiment.name.workspace, &experiment.design).await?;
    Ok(experiment)
}

/// A part of an import. The digest is left for [`finish_import`], or for whoever reads it if the import breaks off.
pub(crate) async fn import(
    conn: &mut PgConnection,
    name: &ExperimentName,
    read: impl FnOnce(&Experiment) -> Result<HashMap<ContactId, Place>, Error>,
) -> Result<(), Error> {
    let experiment = lock(conn, name).await?;
    experiment.may_import()?;
    let added = store::assignments::put(conn, name, &read(&experiment)?).await?;
    Ok(store::experiments::add_imported(conn, name, added).await?)
}

/// Computes the digest of what was imported once, and not whenever it is asked for.
pub(crate) async fn finish_import(
    conn: &mut PgConnection,
    name: &ExperimentName,
) -> Result<i64, Error> {
    let experiment = lock(conn, name).await?;
    store::experiments::update(conn, &experiment).await?;
    Ok(experiment.imported_count)
}

pub(crate) async fn start(
    conn: &mut PgConnection,
    name: &ExperimentName,
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    experiment.start(digest, now)?;
    store::experiments::update(conn, &experiment).await?;
    Ok(experiment)
}

pub(crate) async fn close(
    conn: &mut PgConnection,
    name: &ExperimentName,
    now: DateTime<Utc>,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    experiment.close(now)?;
    store::experiments::update(conn, &experiment).await?;
    Ok(experiment)
}

/// Records what was decided, with what the data said at that moment.
pub(crate) async fn decide(
    conn: &mut PgConnection,
    name: &ExperimentName,
    arm: &str,
    approval: Option<ApprovalName>,
    now: DateTime<Utc>,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    let chosen = match arm {
        "" => None,
        id => Some(
            experiment
                .design
                .arm(id)
                .ok_or_else(|| Error::invalid("arm", "the experiment has no such arm"))?,
        ),
    };
    if !experiment.may_decide(chosen)? {
        return Ok(experiment);
    }
    let verdict = match store::looks::last_verdict(conn, name).await? {
        Some(verdict) => verdict,
        None => provisional(&experiment, &census(conn, &experiment, now).await?.whole, now)?,
    };
    let verdict = Verdict { is_final: true, ..verdict };
    experiment.decision = Some(Decision { arm: chosen, verdict, approval, decide_time: now });
    experiment.state = State::Decided;
    store::experiments::update(conn, &experiment).await?;
    Ok(experiment)
}

/// Where units belong, in the order asked for.
pub(crate) async fn assign(
    conn: &mut PgConnection,
    experiment: &Experiment,
    units: Vec<ContactId>,
) -> Result<Vec<Assignment>, Error> {
    experiment.has_started()?;
    let name = &experiment.name;
    let imported = match experiment.imported_count {
        0 => HashMap::new(),
        _ => store::assignments::of(conn, name, &units).await?,
    };
    let divider = Divider::new(name, &experiment.design)?;
    let assign = |unit: ContactId| match imported.get(&unit) {
        Some(place) => Assignment { unit, place: *place, is_imported: true },
        None => Assignment { place: divider.place(&unit), unit, is_imported: false },
    };
    Ok(units.into_iter().map(assign).collect())
}

pub(crate) async fn expose(
    conn: &mut PgConnection,
    name: &ExperimentName,
    read: impl FnOnce(&Experiment) -> Result<Vec<Exposure>, Error>,
) -> Result<u64, Error> {
    let experiment = get(conn, name).await?;
    experiment.has_started()?;
    Ok(store::evidence::expose(conn, &earliest(read(&experiment)?)).await?)
}

pub(crate) async fn record(
    conn: &mut PgConnection,
    name: &ExperimentName,
    events: &[Event],
) -> Result<u64, Error> {
    get(conn, name).await?;
    Ok(store::evidence::keep(conn, events).await?)
}

/// The estimates and the verdict so far. Nothing is written, so reading is not a look.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) experiment: Experiment,
    pub(crate) as_of: DateTime<Utc>,
    pub(crate) whole: results::Panel,
    pub(crate) segments: Vec<(String, results::Panel)>,
    pub(crate) probabilities_best: Option<Vec<f64>>,
    pub(crate) verdict: Verdict,
}

pub(crate) async fn report(
    conn: &mut PgConnection,
    name: &ExperimentName,
    now: DateTime<Utc>,
) -> Result<Report, Error> {
    let experiment = get(conn, name).await?;
    let census = census(conn, &experiment, now).await?;
    let last = store::looks::last_verdict(conn, name).await?;
    let boundary = last.as_ref().and_then(|verdict| verdict.boundary);
    let verdict = match (&experiment.decision, last) {
        (Some(decision), _) => decision.verdict.clone(),
        (None, Some(verdict)) => verdict,
        (None, None) => provisional(&experiment, &census.whole, now)?,
    };
    let panel = |counts: &Counts| results::panel(&experiment.design, counts, boundary);
    let segments = census.segments.iter();
    let segments = segments.map(|(name, counts)| Ok((name.clone(), panel(counts)?)));
    Ok(Report {
        as_of: now,
        whole: panel(&census.whole)?,
        segments: segments.collect::<Result<_, Error>>()?,
        probabilities_best: results::probabilities_best(&experiment.design, &census.whole),
        verdict,
        experiment,
    })
}

/// What had happened before a moment.
pub(crate) async fn census(
    conn: &mut PgConnection,
    experiment: &Experiment,
    as_of: DateTime<Utc>,
) -> Result<Census, Error> {
    let Experiment { name, design, .. } = experiment;
    Ok(store::census::take(conn, name, design, design.early_seconds()?, as_of).await?)
}

/// What can be said before the first look: nothing but that the numbers of units are wrong.
fn provisional(
    experiment: &Experiment,
    counts: &Counts,
    now: DateTime<Utc>,
) -> Result<Verdict, Error> {
    let is_closed = experiment.state >= State::Maturing;
    let sending = if is_closed { Sending::Complete } else { Sending::InProgress };
    let sight = Sight::new(counts);
    let unseen = Look { time: now, spending_time: Fraction::ZERO, sight };
    let verdict = verdict::judge(&experiment.design, &[unseen], sending)?;
    let is_final = is_closed && experiment.design.arms.len() < 2;
    Ok(Verdict { look_count: 0, is_final, ..verdict })
}

/// Which part of the background work an experiment belongs to; never changes.
fn partition(name: &ExperimentName) -> i16 {
    // FNV-1a, which is the same on every machine and in every version.
    let hash = name.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i16::try_from(hash % u64::from(PARTITIONS)).unwrap_or_default()
}
