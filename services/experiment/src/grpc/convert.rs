//! Between the wire and the domain.

use std::collections::HashMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use cursus_api::experiment as proto;
use cursus_ids::{ContactId, ContactName, ExperimentName, ParseError, WorkspaceId};
use prost_types::{Duration, Timestamp};

use crate::assignment::{Assignment, Place};
use crate::design::{Arm, Design, Kind, LABEL, Metric, NAME, WhenInconclusive, is_label, is_name};
use crate::error::Error;
use crate::evidence::{Event, Exposure, micros};
use crate::experiment::{Decision, Experiment, State};
use crate::peers::{distinct_segments, moment};

const MOST_AT_ONCE: usize = 5_000;
const USUAL_ALPHA: f64 = 0.05;
const USUAL_RESPONSE: Duration = Duration { seconds: 9_000, nanos: 0 };
const USUAL_LOG_SD: f64 = 1.5;
const MOST_SEGMENTS: usize = 64;
/// As many as there may be metrics that sum them.
const MOST_VALUES: usize = 20;

/// A new experiment.
pub(super) struct Draft {
    pub(super) name: ExperimentName,
    pub(super) display_name: String,
    pub(super) design: Design,
}

/// Reads a name or an id, and tells which field it was in if it is malformed.
pub(super) fn parsed<T: FromStr<Err = ParseError>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| Error::invalid(field, error))
}

pub(super) fn optional<T: FromStr<Err = ParseError>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}

pub(super) fn parent(text: &str) -> Result<WorkspaceId, Error> {
    cursus_ids::parse_parent(text).map_err(|error| Error::invalid("parent", error))
}

pub(super) fn draft(request: &proto::CreateExperimentRequest) -> Result<Draft, Error> {
    let workspace = parent(&request.parent)?;
    let name = ExperimentName::new(workspace, parsed("experiment_id", &request.experiment_id)?);
    let experiment = request.experiment.clone().unwrap_or_default();
    if !is_label(&experiment.display_name) {
        return Err(Error::invalid("experiment.display_name", LABEL));
    }
    let design = design(experiment.design.unwrap_or_default())?;
    design.check()?;
    Ok(Draft { name, display_name: experiment.display_name, design })
}

fn design(design: proto::Design) -> Result<Design, Error> {
    let arm = |(index, arm): (usize, proto::Arm)| {
        let field = format!("experiment.design.arms[{index}].arm_id");
        Ok(Arm {
            id: parsed(&field, &arm.arm_id)?,
            display_name: arm.display_name,
            weight: arm.weight,
        })
    };
    let arms = design.arms.into_iter().enumerate().map(arm).collect::<Result<Vec<Arm>, Error>>()?;
    let control = match design.control_arm.as_str() {
        "" => None,
        id => {
            let place = arms.iter().position(|arm| arm.id.as_ref() == id);
            let field = "experiment.design.control_arm";
            Some(place.ok_or_else(|| Error::invalid(field, "there is no such arm"))?)
        }
    };
    let metrics = design.metrics.into_iter().enumerate().map(metric).collect::<Result<_, _>>()?;
    let policy = proto::InconclusivePolicy::try_from(design.inconclusive_policy);
    Ok(Design {
        arms,
        control,
        // A negative zero would be stored as another one, with another digest.
        holdout_share: design.holdout_share + 0.0,
        test_share: design.test_share,
        metrics,
        alpha: or_usual(design.alpha, USUAL_ALPHA),
        decision_seconds: seconds(design.decision_window.unwrap_or_default()),
        response_median_seconds: seconds(design.response_median.unwrap_or(USUAL_RESPONSE)),
        response_log_sd: or_usual(design.response_log_sd, USUAL_LOG_SD),
        when_inconclusive: match policy {
            Ok(proto::InconclusivePolicy::Unspecified | proto::InconclusivePolicy::Hold) => {
                WhenInconclusive::Hold
            }
            Ok(proto::InconclusivePolicy::PosteriorBest) => WhenInconclusive::PosteriorBest,
            Ok(proto::InconclusivePolicy::Control) => WhenInconclusive::Control,
            Err(error) => {
                return Err(Error::invalid("experiment.design.inconclusive_policy", error));
            }
        },
    })
}

fn metric((index, metric): (usize, proto::Metric)) -> Result<Metric, Error> {
    let field = |name: &str| format!("experiment.design.metrics[{index}].{name}");
    let kind = match metric.kind() {
        proto::metric::Kind::Conversion if metric.property.is_empty() => Kind::Conversion,
        proto::metric::Kind::Conversion => {
            let why = "a conversion sums nothing: leave it empty";
            return Err(Error::invalid(field("property"), why));
        }
        proto::metric::Kind::Revenue => Kind::Revenue { property: metric.property },
        proto::metric::Kind::Unspecified => {
            return Err(Error::invalid(field("kind"), "say what is computed"));
        }
    };
    Ok(Metric {
        id: parsed(&field("metric_id"), &metric.metric_id)?,
        display_name: metric.display_name,
        kind,
        events: metric.events,
        window_seconds: seconds(metric.window.unwrap_or_default()),
    })
}

fn or_usual(value: f64, usual: f64) -> f64 {
    if value == 0.0 { usual } else { value }
}

#[expect(clippy::cast_precision_loss, reason = "what is longer than 2^53 seconds is refused")]
fn seconds(duration: Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

#[expect(clippy::cast_possible_truncation, reason = "a checked design's windows are short")]
fn duration(seconds: f64) -> Duration {
    let nanos = (seconds.fract() * 1e9).round();
    Duration { seconds: seconds.trunc() as i64, nanos: nanos as i32 }
}

pub(super) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default();
    Timestamp { seconds: time.timestamp(), nanos }
}

pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

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

pub(super) fn units(
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
pub(super) fn imported(
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

pub(super) fn assignments(
    experiment: &Experiment,
    assigned: Vec<Assignment>,
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
        }
    };
    assigned.into_iter().map(tell).collect()
}

pub(super) fn exposures(
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
        })
    };
    exposures.into_iter().enumerate().map(read).collect()
}

pub(super) fn outcomes(
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
        let amount = |(property, amount): (String, f64)| -> Result<(String, i64), Error> {
            let micros = micros(amount);
            let why = "an amount must be a number of at most a thousand million";
            Ok((property, micros.ok_or_else(|| Error::invalid(field("values"), why))?))
        };
        Ok(Event {
            source: format!("experiments/{}", experiment.id),
            unit: contact(experiment, &field("unit"), &told.unit)?,
            experiment: Some(experiment.clone()),
            time: time(&field("outcome_time"), told.outcome_time)?,
            human: told.human,
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

pub(super) fn arm_id(design: &Design, arm: Option<usize>) -> String {
    arm.and_then(|arm| design.arms.get(arm)).map(|arm| arm.id.to_string()).unwrap_or_default()
}

impl From<Experiment> for proto::Experiment {
    fn from(experiment: Experiment) -> Self {
        let decision = experiment.decision.as_ref();
        Self {
            name: experiment.name.to_string(),
            design_digest: experiment.digest(),
            state: match experiment.state {
                State::Draft => proto::experiment::State::Draft,
                State::Running => proto::experiment::State::Running,
                State::Maturing => proto::experiment::State::Maturing,
                State::Decidable => proto::experiment::State::Decidable,
                State::Decided => proto::experiment::State::Decided,
            }
            .into(),
            imported_assignment_count: experiment.imported_count,
            create_time: Some(timestamp(experiment.create_time)),
            start_time: experiment.start_time.map(timestamp),
            exposure_end_time: experiment.exposure_end_time.map(timestamp),
            deadline: experiment.deadline.map(timestamp),
            decision: decision.map(|it| encoded_decision(&experiment.design, it)),
            display_name: experiment.display_name,
            design: Some(experiment.design.into()),
        }
    }
}

fn encoded_decision(design: &Design, decision: &Decision) -> proto::Decision {
    proto::Decision {
        arm: arm_id(design, decision.arm),
        verdict: Some(super::report::verdict(design, &decision.verdict)),
        approval: decision.approval.as_ref().map(ToString::to_string).unwrap_or_default(),
        decide_time: Some(timestamp(decision.decide_time)),
    }
}

impl From<Design> for proto::Design {
    fn from(design: Design) -> Self {
        let policy = match design.when_inconclusive {
            WhenInconclusive::Hold => proto::InconclusivePolicy::Hold,
            WhenInconclusive::PosteriorBest => proto::InconclusivePolicy::PosteriorBest,
            WhenInconclusive::Control => proto::InconclusivePolicy::Control,
        };
        let arm = |arm: Arm| proto::Arm {
            arm_id: arm.id.to_string(),
            display_name: arm.display_name,
            weight: arm.weight,
        };
        let metric = |metric: Metric| proto::Metric {
            property: metric.property().to_owned(),
            kind: match metric.kind {
                Kind::Conversion => proto::metric::Kind::Conversion,
                Kind::Revenue { .. } => proto::metric::Kind::Revenue,
            }
            .into(),
            metric_id: metric.id.to_string(),
            display_name: metric.display_name,
            events: metric.events,
            window: Some(duration(metric.window_seconds)),
        };
        Self {
            control_arm: arm_id(&design, design.control),
            holdout_share: design.holdout_share,
            test_share: design.test_share,
            alpha: design.alpha,
            decision_window: Some(duration(design.decision_seconds)),
            response_median: Some(duration(design.response_median_seconds)),
            response_log_sd: design.response_log_sd,
            inconclusive_policy: policy.into(),
            arms: design.arms.into_iter().map(arm).collect(),
            metrics: design.metrics.into_iter().map(metric).collect(),
        }
    }
}
