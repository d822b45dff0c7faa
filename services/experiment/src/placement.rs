//! Where units belong: what is imported, hashed or, for a bandit, drawn once and kept.

use std::collections::HashMap;

use cursus_ids::{ContactId, ExperimentName};
use sqlx::PgConnection;

use crate::assignment::{Assignment, Divider, Place};
use crate::error::Error;
use crate::experiment::{Experiment, State};
use crate::experiments::lock;
use crate::store;

/// Whether to say why units belong where they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Explain {
    No,
    Yes,
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

/// Where units belong, in the order asked for.
pub(crate) async fn assign(
    conn: &mut PgConnection,
    experiment: &Experiment,
    units: Vec<ContactId>,
    explain: Explain,
) -> Result<Vec<Assignment>, Error> {
    experiment.has_started()?;
    let name = &experiment.name;
    let imported = match experiment.imported_count {
        0 => HashMap::new(),
        _ => store::assignments::of(conn, name, &units).await?,
    };
    let allocation = match experiment.design.bandit {
        Some(_) => store::allocations::latest(conn, name).await?,
        None => None,
    };
    let weights = match &allocation {
        Some(allocation) => allocation.weights()?,
        None => experiment.design.weights()?,
    };
    let divider = Divider::new(name, &experiment.design, &experiment.buckets, weights);
    let draws = |unit: &ContactId| match explain {
        Explain::No => Vec::new(),
        Explain::Yes => divider.draws(unit),
    };
    let assign = |unit: ContactId| match imported.get(&unit) {
        Some(place) => Assignment {
            unit,
            place: *place,
            is_imported: true,
            allocation: None,
            draws: Vec::new(),
        },
        None => Assignment {
            place: divider.place(&unit),
            draws: draws(&unit),
            unit,
            is_imported: false,
            allocation: None,
        },
    };
    let mut assigned: Vec<Assignment> = units.into_iter().map(assign).collect();
    if let Some(allocation) = allocation {
        allot(conn, experiment, allocation.number, &mut assigned).await?;
    }
    Ok(assigned)
}

/// Units of the test keep the arm that they got first, whatever the bandit would give them now.
async fn allot(
    conn: &mut PgConnection,
    Experiment { name, state, .. }: &Experiment,
    allocation: u32,
    assigned: &mut [Assignment],
) -> Result<(), Error> {
    let arm = |it: &Assignment| match it.place {
        Place::Test(arm) => Some((it.unit.clone(), arm)),
        Place::Holdout | Place::Remainder => None,
    };
    let drawn: HashMap<ContactId, usize> = assigned.iter().filter_map(arm).collect();
    // The last allocation stays as it is, so that the answer is the same without being written down.
    let allotted = if *state == State::Running {
        store::allocations::allot(conn, name, allocation, &drawn).await?
    } else {
        store::allocations::allotted(conn, name, drawn.keys()).await?
    };
    for assignment in assigned {
        if let Place::Test(drawn) = assignment.place {
            let (arm, number) =
                allotted.get(&assignment.unit).copied().unwrap_or((drawn, allocation));
            assignment.place = Place::Test(arm);
            assignment.allocation = Some(number);
        }
    }
    Ok(())
}
