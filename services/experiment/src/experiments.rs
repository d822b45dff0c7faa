//! What is done with experiments. Each function is called in a transaction, or reads.

use chrono::{DateTime, Utc};
use cursus_ids::{ApprovalName, ExperimentName, WorkspaceId};
use sqlx::PgConnection;

use crate::aggregates::Aggregate;
use crate::allocation::Allocation;
use crate::audit::{Detail, Entry, Kind};
use crate::curves::Curve;
use crate::design::Design;
use crate::error::Error;
use crate::evidence::{Event, Exposure, Word, earliest};
use crate::experiment::{By, Decision, Experiment, PARTITIONS, State};
use crate::sizing::Expectation;
use crate::verdict::Verdict;
use crate::{layers, report, store};

/// More looks than a picture can show.
const MOST_DRAWN: i64 = 1_000;

/// A new experiment.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) name: ExperimentName,
    pub(crate) display_name: String,
    pub(crate) design: Design,
    pub(crate) expectation: Option<Expectation>,
    /// Whether contacts are expected to answer as soon as they did in past experiments, if that is known.
    pub(crate) expects_the_past: bool,
}

/// A choice of an arm by its id, or of none.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) arm: &'a str,
    pub(crate) approval: Option<ApprovalName>,
    /// Why, if somebody chooses by hand.
    pub(crate) override_reason: Option<String>,
}

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
    draft: Draft,
    by: &By,
) -> Result<Experiment, Error> {
    let Draft { name, display_name, mut design, expectation, expects_the_past } = draft;
    if expects_the_past {
        let metric = design.primary().id.to_string();
        let past = store::curves::sample(conn, &name.workspace, &metric).await?;
        if let Some((median, spread)) = past.fit() {
            design.response_median_seconds = median.as_secs_f64();
            design.response_log_sd = spread;
        }
    }
    let experiment = Experiment {
        assignments_digest: store::assignments::digest(conn, &name).await?,
        name,
        display_name,
        design,
        state: State::Draft,
        imported_count: 0,
        create_time: by.now,
        start_time: None,
        exposure_end_time: None,
        deadline: None,
        decision: None,
        stop: None,
        expectation,
        buckets: Vec::new(),
    };
    if !store::experiments::insert(conn, &experiment, partition(&experiment.name)).await? {
        return Err(Error::Exists(experiment.name.to_string()));
    }
    store::experiments::watch(conn, &experiment.name.workspace, &experiment.design).await?;
    store::audit::add(conn, &experiment.name, Kind::Created, by, &Detail::default()).await?;
    Ok(experiment)
}

pub(crate) async fn start(
    conn: &mut PgConnection,
    name: &ExperimentName,
    digest: &[u8],
    by: &By,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    let was = experiment.state;
    experiment.start(digest, by.now)?;
    if experiment.state != was {
        reserve(conn, &mut experiment).await?;
        store::experiments::update(conn, &experiment).await?;
        if experiment.design.bandit.is_some() {
            let first = Allocation::first(&experiment.design, by.now)?;
            store::allocations::add(conn, name, &first).await?;
        }
        store::audit::add(conn, name, Kind::Started, by, &Detail::default()).await?;
    }
    Ok(experiment)
}

pub(crate) async fn close(
    conn: &mut PgConnection,
    name: &ExperimentName,
    by: &By,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    let was = experiment.state;
    experiment.close(by.now)?;
    if experiment.state != was {
        store::experiments::update(conn, &experiment).await?;
        let detail = Detail { deadline: experiment.deadline, ..Detail::default() };
        store::audit::add(conn, name, Kind::ExposureClosed, by, &detail).await?;
    }
    Ok(experiment)
}

/// Takes a part of the layer that no other experiment has.
async fn reserve(conn: &mut PgConnection, experiment: &mut Experiment) -> Result<(), Error> {
    let Experiment { name, design, .. } = experiment;
    let Some(share) = design.layer_share else { return Ok(()) };
    let taken = store::layers::taken(conn, name, &design.layer).await?;
    let Some(ranges) = layers::free(taken, layers::size(share)) else {
        return Err(Error::LayerFull(design.layer.clone()));
    };
    store::layers::reserve(conn, name, &design.layer, &ranges).await?;
    experiment.buckets = ranges;
    Ok(())
}

/// Ends it without a decision; no look is taken from then on.
pub(crate) async fn stop(
    conn: &mut PgConnection,
    name: &ExperimentName,
    reason: String,
    by: &By,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    if experiment.stop(reason.clone(), by)? {
        store::layers::release(conn, name).await?;
        store::experiments::update(conn, &experiment).await?;
        let detail = Detail { reason, ..Detail::default() };
        store::audit::add(conn, name, Kind::Stopped, by, &detail).await?;
    }
    Ok(experiment)
}

/// Moves the deadline to a later moment.
pub(crate) async fn extend(
    conn: &mut PgConnection,
    name: &ExperimentName,
    (deadline, reason): (DateTime<Utc>, String),
    by: &By,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    experiment.extend(deadline, by.now)?;
    store::experiments::update(conn, &experiment).await?;
    let detail = Detail { reason, deadline: Some(deadline), ..Detail::default() };
    store::audit::add(conn, name, Kind::Extended, by, &detail).await?;
    Ok(experiment)
}

/// Records what was decided, with what the data said at that moment.
pub(crate) async fn decide(
    conn: &mut PgConnection,
    name: &ExperimentName,
    choice: Choice<'_>,
    by: &By,
) -> Result<Experiment, Error> {
    let mut experiment = lock(conn, name).await?;
    let Choice { arm, approval, override_reason } = choice;
    let chosen = match arm {
        "" => None,
        id => Some(
            experiment
                .design
                .arm(id)
                .ok_or_else(|| Error::invalid("arm", "the experiment has no such arm"))?,
        ),
    };
    let (kind, is_new) = match override_reason {
        None => (Kind::Decided, experiment.may_decide(chosen)?),
        Some(_) => (Kind::Overridden, experiment.may_override(chosen)?),
    };
    if !is_new {
        return Ok(experiment);
    }
    let verdict = match &experiment.decision {
        Some(decision) => decision.verdict.clone(),
        None => report::verdict(conn, &experiment, by.now).await?,
    };
    let detail = Detail {
        arm: chosen,
        reason: override_reason.clone().unwrap_or_default(),
        approval: approval.clone(),
        ..Detail::default()
    };
    experiment.decision = Some(Decision {
        arm: chosen,
        verdict: Verdict { is_final: true, ..verdict },
        approval,
        decide_time: by.now,
        actor: by.actor.clone(),
        override_reason,
    });
    experiment.state = State::Decided;
    store::layers::release(conn, name).await?;
    store::experiments::update(conn, &experiment).await?;
    store::audit::add(conn, name, kind, by, &detail).await?;
    Ok(experiment)
}

/// Those after a number, oldest first.
pub(crate) async fn audit(
    conn: &mut PgConnection,
    name: &ExperimentName,
    after: i64,
    limit: i64,
) -> Result<(Experiment, Vec<Entry>), Error> {
    let experiment = get(conn, name).await?;
    Ok((experiment, store::audit::list(conn, name, after, limit).await?))
}

/// Those after a number, oldest first.
pub(crate) async fn looks(
    conn: &mut PgConnection,
    name: &ExperimentName,
    after: i32,
    limit: i64,
) -> Result<(Experiment, Vec<store::looks::Listed>), Error> {
    let experiment = get(conn, name).await?;
    Ok((experiment, store::looks::list(conn, name, after, limit).await?))
}

pub(crate) async fn expose(
    conn: &mut PgConnection,
    name: &ExperimentName,
    read: impl FnOnce(&Experiment) -> Result<Vec<Exposure>, Error>,
) -> Result<u64, Error> {
    let experiment = get(conn, name).await?;
    experiment.has_started()?;
    experiment.takes_facts()?;
    Ok(store::evidence::expose(conn, &earliest(read(&experiment)?)).await?)
}

pub(crate) async fn record(
    conn: &mut PgConnection,
    name: &ExperimentName,
    events: &[Event],
) -> Result<u64, Error> {
    get(conn, name).await?.takes_facts()?;
    Ok(store::evidence::keep(conn, events).await?)
}

/// The last looks as a picture.
pub(crate) async fn path(conn: &mut PgConnection, name: &ExperimentName) -> Result<String, Error> {
    let experiment = get(conn, name).await?;
    let looks = store::looks::last(conn, name, MOST_DRAWN).await?;
    Ok(crate::path::draw(&experiment, &looks))
}

/// How soon contacts answered in past experiments, by metric.
pub(crate) async fn curves(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, Option<Curve>)>, Error> {
    Ok(store::curves::list(conn, workspace, after, limit).await?)
}

/// Keeps counts; what was told under the same number before must be the same. Returns whether it was new, and the highest
/// number.
pub(crate) async fn aggregate(
    conn: &mut PgConnection,
    name: &ExperimentName,
    read: impl FnOnce(&Experiment) -> Result<Aggregate, Error>,
) -> Result<(bool, i64), Error> {
    let experiment = get(conn, name).await?;
    experiment.takes_aggregates()?;
    let told = read(&experiment)?;
    let is_new = store::aggregates::keep(conn, name, &told).await?;
    if !is_new && store::aggregates::get(conn, name, told.sequence).await? != Some(told.clone()) {
        return Err(Error::SequenceReused);
    }
    let highest = store::aggregates::latest(conn, name, DateTime::<Utc>::MAX_UTC).await?;
    Ok((is_new, highest.map_or(told.sequence, |it| it.sequence)))
}

/// Judges anew who did what was told. Results follow at once, as nothing is counted before it is asked for.
pub(crate) async fn reclassify(
    conn: &mut PgConnection,
    name: &ExperimentName,
    words: &[Word],
    by: &By,
) -> Result<u64, Error> {
    lock(conn, name).await?;
    let recorded = store::evidence::reclassify(conn, &name.workspace, words).await?;
    if recorded > 0 {
        let detail = Detail { outcomes: Some(recorded), ..Detail::default() };
        store::audit::add(conn, name, Kind::Reclassified, by, &detail).await?;
    }
    Ok(recorded)
}

/// Which part of the background work an experiment belongs to; never changes.
fn partition(name: &ExperimentName) -> i16 {
    // FNV-1a, which is the same on every machine and in every version.
    let hash = name.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i16::try_from(hash % u64::from(PARTITIONS)).unwrap_or_default()
}
