//! What callers tell of units, and where units belong.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cursus_api::experiment as proto;
use cursus_ids::{ContactId, ContactName, ExperimentName};
use prost_types::Timestamp;

use super::{arm_id, parsed};
use crate::assignment::{Assignment, Draw, Place, Question};
use crate::design::{NAME, is_name};
use crate::error::Error;
use crate::evidence::{Actor, Event, Exposure, Word, micros};
use crate::experiment::Experiment;
use crate::peers::{DELIVERY, SEGMENTATION, distinct_segments, moment};
use crate::placement::Explain;

const MOST_AT_ONCE: usize = 5_000;
pub(super) const MOST_SEGMENTS: usize = 64;
/// As many as there may be metrics that sum them.
const MOST_VALUES: usize = 20;

fn few(field: &str, count: usize) -> Result<(), Error> {
    if count <= MOST_AT_ONCE { Ok(()) } else { Err(Error::invalid(field, "5,000 at most")) }
}

/// A contact of the experiment's workspace.
fn contact(experiment: &ExperimentName, field: &str, text: &str) -> Result<ContactName, Error> {
    let name: ContactName = parsed(field, text)?;
    if name.workspace == experiment.workspace {
        Ok(name)
    } else {
        Err(Error::invalid(field, "it is not of the experiment's workspace"))
    }
}

pub(in crate::grpc) fn units(
    experiment: &ExperimentName,
    units: &[String],
) -> Result<Vec<ContactId>, Error> {
    few("units", units.len())?;
    let read = |(index, unit): (usize, &String)| {
        Ok(contact(experiment, &format!("units[{index}]"), unit)?.id)
    };
    units.iter().enumerate().map(read).collect()
}

/// A part of an import; a unit's last word wins.
pub(in crate::grpc) fn imported(
    experiment: &Experiment,
    assignments: Vec<proto::Assignment>,
) -> Result<HashMap<ContactId, Place>, Error> {
    use proto::assignment::Group;
    few("assignments", assignments.len())?;
    let mut places = HashMap::with_capacity(assignments.len());
    for (index, told) in assignments.into_iter().enumerate() {
        let field = |name: &str| format!("assignments[{index}].{name}");
        let unit = contact(&experiment.name, &field("unit"), &told.unit)?.id;
        let place = match told.group() {
            Group::Test => {
                let arm = experiment.design.arm(&told.arm);
                let no_arm = || Error::invalid(field("arm"), "the experiment has no such arm");
                Place::Test(arm.ok_or_else(no_arm)?)
            }
            Group::Unspecified => {
                return Err(Error::invalid(field("group"), "say where the unit belongs"));
            }
            _ if !told.arm.is_empty() => {
                return Err(Error::invalid(field("arm"), "only units in the test have one"));
            }
            Group::Holdout => Place::Holdout,
            Group::Remainder => Place::Remainder,
        };
        places.insert(unit, place);
    }
    Ok(places)
}

pub(in crate::grpc) fn assignments(
    experiment: &Experiment,
    assigned: Vec<Assignment>,
    explain: Explain,
) -> Vec<proto::Assignment> {
    use proto::assignment::Group;
    let workspace = experiment.name.workspace.name();
    let tell = |assignment: Assignment| {
        let (group, arm) = match assignment.place {
            Place::Test(arm) => (Group::Test, arm_id(&experiment.design, Some(arm))),
            Place::Holdout => (Group::Holdout, String::new()),
            Place::Remainder => (Group::Remainder, String::new()),
        };
        proto::Assignment {
            unit: format!("{workspace}/contacts/{}", assignment.unit),
            group: group.into(),
            arm,
            imported: assignment.is_imported,
            allocation_number: assignment
                .allocation
                .map_or(0, |number| i32::try_from(number).unwrap_or(i32::MAX)),
            explanation: match explain {
                Explain::No => None,
                Explain::Yes => Some(explanation(&assignment)),
            },
        }
    };
    assigned.into_iter().map(tell).collect()
}

fn explanation(assignment: &Assignment) -> proto::Explanation {
    use proto::draw::Question as Asked;
    let text = match (assignment.draws.last(), assignment.place) {
        (None, _) => "Its place was imported",
        (_, Place::Holdout) => "It is left alone: it is among the share that is held out",
        (_, Place::Test(_)) if assignment.allocation.is_some() => {
            "It takes part in the test, in the arm that was drawn by the bandit's allocation of that time"
        }
        (_, Place::Test(_)) => "It takes part in the test, in the arm that was drawn",
        (Some(last), Place::Remainder) if last.question == Question::Layer => {
            "It waits for the verdict: this part of the layer is not the experiment's"
        }
        (_, Place::Remainder) => {
            "It waits for the verdict: it is not among the share that is tested"
        }
    };
    let draw = |draw: &Draw| proto::Draw {
        question: match draw.question {
            Question::Holdout => Asked::Holdout,
            Question::Layer => Asked::Layer,
            Question::Test => Asked::Test,
            Question::Arm => Asked::Arm,
        }
        .into(),
        salt: draw.salt.clone(),
        position: draw.position,
        limit: draw.limit,
    };
    let draws = assignment.draws.iter().map(draw).collect();
    proto::Explanation { text: text.to_owned(), draws }
}

pub(in crate::grpc) fn exposures(
    experiment: &Experiment,
    exposures: Vec<proto::Exposure>,
) -> Result<Vec<Exposure>, Error> {
    few("exposures", exposures.len())?;
    let read = |(index, told): (usize, proto::Exposure)| {
        let field = |name: &str| format!("exposures[{index}].{name}");
        if !told.arm.is_empty() && experiment.design.arm(&told.arm).is_none() {
            return Err(Error::invalid(field("arm"), "the experiment has no such arm"));
        }
        if told.segments.len() > MOST_SEGMENTS {
            return Err(Error::invalid(field("segments"), "64 at most"));
        }
        Ok(Exposure {
            experiment: experiment.name.clone(),
            unit: contact(&experiment.name, &field("unit"), &told.unit)?.id,
            arm: told.arm,
            time: time(&field("exposure_time"), told.exposure_time)?,
            segments: distinct_segments(told.segments)
                .map_err(|error| Error::invalid(field("segments"), error))?,
            released: told.released,
            privacy_proxy: told.privacy_proxy,
        })
    };
    exposures.into_iter().enumerate().map(read).collect()
}

pub(in crate::grpc) fn outcomes(
    experiment: &ExperimentName,
    outcomes: Vec<proto::OutcomeEvent>,
) -> Result<Vec<Event>, Error> {
    few("outcomes", outcomes.len())?;
    let read = |(index, told): (usize, proto::OutcomeEvent)| {
        let field = |name: &str| format!("outcomes[{index}].{name}");
        for (name, text) in [("outcome_id", &told.outcome_id), ("event", &told.event)] {
            if !is_name(text) {
                return Err(Error::invalid(field(name), NAME));
            }
        }
        if told.values.len() > MOST_VALUES || !told.values.keys().all(|it| is_name(it)) {
            let why =
                "name 20 properties at most, each in 1 to 128 bytes without control characters";
            return Err(Error::invalid(field("values"), why));
        }
        known_actor(&field("actor"), told.actor)?;
        let amount = |(property, amount): (String, f64)| -> Result<(String, i64), Error> {
            let micros = micros(amount);
            let why = "an amount must be a number of at most a thousand million";
            Ok((property, micros.ok_or_else(|| Error::invalid(field("values"), why))?))
        };
        Ok(Event {
            source: own_source(experiment),
            unit: contact(experiment, &field("unit"), &told.unit)?,
            experiment: Some(experiment.clone()),
            time: time(&field("outcome_time"), told.outcome_time)?,
            actor: actor(told.actor(), told.human),
            micros: told.values.into_iter().map(amount).collect::<Result<_, _>>()?,
            id: told.outcome_id,
            name: told.event,
        })
    };
    outcomes.into_iter().enumerate().map(read).collect()
}

fn time(field: &str, time: Option<Timestamp>) -> Result<DateTime<Utc>, Error> {
    time.and_then(moment).ok_or_else(|| Error::invalid(field, "say when it happened"))
}

/// A word on who did something is refused if we do not know it, as leaving it out would count it.
fn known_actor(field: &str, actor: i32) -> Result<proto::Actor, Error> {
    proto::Actor::try_from(actor).map_err(|error| Error::invalid(field, error))
}

fn actor(actor: proto::Actor, human: bool) -> Actor {
    match (actor, human) {
        (proto::Actor::Human, _) | (proto::Actor::Unspecified, true) => Actor::Human,
        (proto::Actor::Machine, _) | (proto::Actor::Unspecified, false) => Actor::Machine,
        (proto::Actor::Suspect, _) => Actor::Suspect,
        (proto::Actor::Unknown, _) => Actor::Unknown,
    }
}

pub(in crate::grpc) fn words(
    experiment: &ExperimentName,
    reclassifications: Vec<proto::Reclassification>,
) -> Result<Vec<Word>, Error> {
    few("reclassifications", reclassifications.len())?;
    let read = |(index, told): (usize, proto::Reclassification)| {
        let field = |name: &str| format!("reclassifications[{index}].{name}");
        let source = match told.source.as_str() {
            "" => own_source(experiment),
            DELIVERY | SEGMENTATION => told.source.clone(),
            _ => {
                let why = "leave it empty, or say `delivery` or `segmentation`";
                return Err(Error::invalid(field("source"), why));
            }
        };
        if !is_name(&told.outcome_id) {
            return Err(Error::invalid(field("outcome_id"), NAME));
        }
        let actor = match known_actor(&field("actor"), told.actor)? {
            proto::Actor::Unspecified => {
                return Err(Error::invalid(field("actor"), "say who did it"));
            }
            said => actor(said, false),
        };
        let time = time(&field("classify_time"), told.classify_time)?;
        Ok(Word { source, outcome_id: told.outcome_id, actor, time })
    };
    reclassifications.into_iter().enumerate().map(read).collect()
}

/// Who told what a caller recorded.
fn own_source(experiment: &ExperimentName) -> String {
    format!("experiments/{}", experiment.id)
}
