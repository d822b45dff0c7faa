//! Between the wire and the domain.

mod design;
mod evidence;
mod tally;

use std::str::FromStr;

use chrono::{DateTime, Utc};
use cursus_api::experiment as proto;
use cursus_ids::{ExperimentName, ParseError, WorkspaceId};
use prost_types::Timestamp;

pub(super) use self::design::duration;
pub(super) use self::evidence::{assignments, exposures, imported, outcomes, units, words};
pub(super) use self::tally::aggregate;
use crate::design::{Design, LABEL, is_label};
use crate::error::Error;
use crate::experiment::{Decision, Experiment, State, Stop};
use crate::experiments::Draft;
use crate::layers::Range;
use crate::peers::moment;
use crate::sizing::sizing;

/// What people say why they did something.
const LONGEST_REASON: usize = 2_048;

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
    let told = experiment.design.as_ref();
    let expects_the_past =
        told.is_none_or(|it| it.response_median.is_none() && it.response_log_sd == 0.0);
    let design = design::design(experiment.design.unwrap_or_default())?;
    design.check()?;
    let expectation = experiment.expectation.map(design::expectation).transpose()?;
    let display_name = experiment.display_name;
    Ok(Draft { name, display_name, design, expectation, expects_the_past })
}

pub(super) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default();
    Timestamp { seconds: time.timestamp(), nanos }
}

pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn arm_id(design: &Design, arm: Option<usize>) -> String {
    arm.and_then(|arm| design.arms.get(arm)).map(|arm| arm.id.to_string()).unwrap_or_default()
}

/// What a person says why; it must be said.
pub(super) fn reason(text: String) -> Result<String, Error> {
    let is_sound = text.len() <= LONGEST_REASON
        && !text.trim().is_empty()
        && !text.contains(|letter: char| letter.is_control() && letter != '\n');
    let why = "say why, in at most 2,048 bytes without control characters";
    if is_sound { Ok(text) } else { Err(Error::invalid("reason", why)) }
}

/// A moment that must be told.
pub(super) fn deadline(time: Option<Timestamp>) -> Result<DateTime<Utc>, Error> {
    let why = "say until when it shall run";
    time.and_then(moment).ok_or_else(|| Error::invalid("deadline", why))
}

impl From<Experiment> for proto::Experiment {
    fn from(experiment: Experiment) -> Self {
        let decision = experiment.decision.as_ref();
        // A design that can be run has a sizing; what cannot be computed is left out.
        let sizing = sizing(&experiment.design, experiment.expectation).ok();
        let range = |range: &Range| proto::BucketRange {
            first: range.0.cast_signed(),
            last: range.1.cast_signed(),
        };
        Self {
            layer_buckets: experiment.buckets.iter().map(range).collect(),
            stop: experiment.stop.clone().map(encoded_stop),
            expectation: experiment.expectation.map(Into::into),
            sizing: sizing.map(Into::into),
            name: experiment.name.to_string(),
            design_digest: experiment.digest(),
            state: match experiment.state {
                State::Draft => proto::experiment::State::Draft,
                State::Running => proto::experiment::State::Running,
                State::Maturing => proto::experiment::State::Maturing,
                State::Decidable => proto::experiment::State::Decidable,
                State::Decided => proto::experiment::State::Decided,
                State::Stopped => proto::experiment::State::Stopped,
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
        manual: decision.override_reason.is_some(),
        reason: decision.override_reason.clone().unwrap_or_default(),
        actor: decision.actor.clone(),
        significant: decision.is_significant(),
    }
}

fn encoded_stop(stop: Stop) -> proto::Stop {
    proto::Stop { reason: stop.reason, actor: stop.actor, stop_time: Some(timestamp(stop.time)) }
}
