//! Counts that are told instead of facts.

use std::collections::{BTreeMap, HashSet};

use cursus_api::experiment as proto;
use cursus_ids::SegmentName;

use super::evidence::MOST_SEGMENTS;
use super::parsed;
use crate::aggregates::{Aggregate, Counted, Groups, Told};
use crate::counts::Tally;
use crate::design::{Design, Kind};
use crate::error::Error;
use crate::experiment::Experiment;
use crate::peers::moment;

/// More than all people, so that sums cannot overflow.
const MOST_UNITS: i64 = 1_000_000_000_000;
const MOST_MONEY: f64 = 1e15;

/// What was counted by a moment, as far as it makes sense.
pub(in crate::grpc) fn aggregate(
    experiment: &Experiment,
    request: proto::RecordAggregatesRequest,
) -> Result<Aggregate, Error> {
    let design = &experiment.design;
    if request.sequence <= 0 {
        return Err(Error::invalid("sequence", "it must be positive"));
    }
    let why = "say when it was counted";
    let time = request.count_time.and_then(moment);
    let time = time.ok_or_else(|| Error::invalid("count_time", why))?;
    let whole = groups(design, "arms", request.arms)?;
    if request.segments.len() > MOST_SEGMENTS {
        return Err(Error::invalid("segments", "64 at most"));
    }
    let mut segments = BTreeMap::new();
    for (index, told) in request.segments.into_iter().enumerate() {
        let field = |name: &str| format!("segments[{index}].{name}");
        let name: SegmentName = parsed(&field("segment"), &told.segment)?;
        let counted = groups(design, &field("arms"), told.arms)?;
        if !counted.is_part_of(&whole) {
            let why = "a segment has no more units in a group, with or without an event, than there are in all";
            return Err(Error::invalid(field("arms"), why));
        }
        if segments.insert(name.to_string(), counted).is_some() {
            return Err(Error::invalid(field("segment"), "it is told twice"));
        }
    }
    Ok(Aggregate { sequence: request.sequence, time, told: Told { whole, segments } })
}

fn groups(design: &Design, field: &str, told: Vec<proto::ArmAggregate>) -> Result<Groups, Error> {
    let mut groups = Groups::empty(design);
    let mut arms = HashSet::new();
    for (index, told) in told.into_iter().enumerate() {
        let field = |name: &str| format!("{field}[{index}].{name}");
        if !arms.insert(told.arm.clone()) {
            return Err(Error::invalid(field("arm"), "it is told twice"));
        }
        let place = match told.arm.as_str() {
            "" => &mut groups.holdout,
            id => {
                let arm = design.arm(id).and_then(|arm| groups.arms.get_mut(arm));
                let why = "the experiment has no such arm";
                arm.ok_or_else(|| Error::invalid(field("arm"), why))?
            }
        };
        place.units = units(&field("unit_count"), told.unit_count)?;
        metrics(design, &field("metrics"), told.metrics, place)?;
    }
    Ok(groups)
}

fn metrics(
    design: &Design,
    field: &str,
    metrics: Vec<proto::MetricAggregate>,
    group: &mut Counted,
) -> Result<(), Error> {
    let mut ids = HashSet::new();
    for (index, told) in metrics.into_iter().enumerate() {
        let field = |name: &str| format!("{field}[{index}].{name}");
        let place = design.metrics.iter().position(|it| it.id.as_ref() == told.metric_id);
        let why = "the experiment has no such metric";
        let place = place.ok_or_else(|| Error::invalid(field("metric_id"), why))?;
        if !ids.insert(place) {
            return Err(Error::invalid(field("metric_id"), "it is told twice"));
        }
        let answered = units(&field("event_unit_count"), told.event_unit_count)?;
        let machine = units(&field("machine_unit_count"), told.machine_unit_count)?;
        if answered > group.units || machine > group.units - answered {
            let why = "there are not so many units";
            return Err(Error::invalid(field("event_unit_count"), why));
        }
        let early = units(&field("early_unit_count"), told.early_unit_count)?;
        if early > answered {
            let why = "not so many had an event";
            return Err(Error::invalid(field("early_unit_count"), why));
        }
        let is_money = design.metrics[place].kind != Kind::Conversion;
        let (total, squares) = (told.total, told.sum_of_squares);
        let is_sum = total.abs() <= MOST_MONEY && (is_money || total == 0.0);
        if !is_sum {
            let why = "it must be a sum of money, and only for revenue";
            return Err(Error::invalid(field("total"), why));
        }
        // By Cauchy and Schwarz, with room for rounding.
        let least = total * total / crate::look::real(answered.max(1));
        let are_squares = squares <= MOST_MONEY * MOST_MONEY && squares >= least * (1.0 - 1e-9);
        if !are_squares || (!is_money && squares != 0.0) {
            let why = "it must be the sum of the squares of what each unit brought";
            return Err(Error::invalid(field("sum_of_squares"), why));
        }
        group.tallies[place] =
            Tally { answered, machine, early, total, squares, ..Tally::default() };
    }
    Ok(())
}

fn units(field: &str, count: i64) -> Result<u64, Error> {
    let is_sane = (0..=MOST_UNITS).contains(&count);
    let units = u64::try_from(count).ok().filter(|_| is_sane);
    units.ok_or_else(|| {
        Error::invalid(field, "it must not be negative, nor above a million million")
    })
}
