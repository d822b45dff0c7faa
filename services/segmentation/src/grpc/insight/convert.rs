//! Between the messages of insights and what this service means by them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use cursus_api::segmentation as proto;
use cursus_audience::Rule;
use cursus_ids::{SegmentName, WorkspaceId};
use cursus_statistics::Alpha;
use cursus_statistics::contingency::ChiSquare;

use crate::advice::judgement::{Difference, Verdict, judge};
use crate::advice::portfolio::{Merge, Portfolio, Why, propose};
use crate::advice::{MOST_SEGMENTS, Reading, Set, readings};
use crate::error::Error;
use crate::grpc::{convert, rule};
use crate::insights::{Day, Forecast, Observed, Outcome, Question, Size};

const MOST_OUTCOMES: usize = 5;
const USUAL_HORIZON: TimeDelta = TimeDelta::days(30);
const LONGEST_HORIZON: TimeDelta = TimeDelta::days(365);

pub(super) fn question(
    workspace: WorkspaceId,
    told: &proto::AdviseSegmentsRequest,
) -> Result<Question, Error> {
    if !(2..=MOST_SEGMENTS).contains(&told.segments.len()) {
        return Err(Error::invalid("segments", format!("name 2 to {MOST_SEGMENTS}")));
    }
    let segments = convert::segments(&told.segments, &workspace, "segments")?;
    if segments.iter().collect::<BTreeSet<_>>().len() < segments.len() {
        return Err(Error::invalid("segments", "name each once"));
    }
    if !(1..=MOST_OUTCOMES).contains(&told.outcomes.len()) {
        return Err(Error::invalid("outcomes", format!("name 1 to {MOST_OUTCOMES}")));
    }
    let outcome = |(index, told): (usize, &proto::SegmentOutcome)| {
        if told.event_name.is_empty() {
            return Err(Error::invalid(format!("outcomes[{index}].event_name"), "name an event"));
        }
        let property = Some(told.property.clone()).filter(|property| !property.is_empty());
        Ok(Outcome { event: told.event_name.clone(), property })
    };
    let outcomes = told.outcomes.iter().enumerate().map(outcome).collect::<Result<_, _>>()?;
    Ok(Question { workspace, segments, outcomes, horizon: horizon(told)?, alpha: alpha(told)? })
}

fn horizon(told: &proto::AdviseSegmentsRequest) -> Result<TimeDelta, Error> {
    let Some(told) = told.horizon else { return Ok(USUAL_HORIZON) };
    let day = TimeDelta::days(1).num_seconds();
    TimeDelta::try_seconds(told.seconds)
        .filter(|it| (TimeDelta::days(1)..=LONGEST_HORIZON).contains(it))
        .filter(|it| told.nanos == 0 && it.num_seconds() % day == 0)
        .ok_or_else(|| Error::invalid("horizon", "use whole days, 1 to 365"))
}

fn alpha(told: &proto::AdviseSegmentsRequest) -> Result<Alpha, Error> {
    if told.alpha == 0.0 {
        return Ok(Alpha::FIVE_PERCENT);
    }
    let sane = Alpha::new(told.alpha).ok().filter(|alpha| alpha.get() <= 0.5);
    sane.ok_or_else(|| Error::invalid("alpha", "use a number above 0 and up to 0.5"))
}

pub(super) fn advice(question: &Question, observed: &Observed) -> proto::AdviseSegmentsResponse {
    let cells = &observed.cells;
    let sets: Vec<Set> = (0..cells.segments()).map(Set::of).collect();
    let judgement = judge(cells, &sets, question.alpha);
    let portfolio = propose(cells, question.alpha);
    proto::AdviseSegmentsResponse {
        start_time: Some(rule::encode_moment(observed.start)),
        end_time: Some(rule::encode_moment(observed.end)),
        contact_count: signed(cells.contacts()),
        segments: sets
            .iter()
            .enumerate()
            .map(|(index, _)| reading(question, observed, index))
            .collect(),
        overlaps: overlaps(observed, &sets),
        heterogeneity: judgement.heterogeneity.into_iter().map(heterogeneity).collect(),
        differences: judgement.differences.iter().map(difference).collect(),
        portfolio: Some(encode_portfolio(question, observed, &portfolio)),
    }
}

fn reading(question: &Question, observed: &Observed, index: usize) -> proto::SegmentReading {
    let tally = observed.cells.union(Set::of(index));
    let outcomes = readings(&tally, observed.cells.kinds());
    proto::SegmentReading {
        segment: name(question, index),
        revision: observed.revisions[index],
        member_count: signed(tally.contacts),
        sizes: observed.sizes[index].iter().copied().map(Into::into).collect(),
        outcomes: outcomes.into_iter().map(Into::into).collect(),
    }
}

fn overlaps(observed: &Observed, sets: &[Set]) -> Vec<proto::SegmentOverlap> {
    let mut overlaps = Vec::new();
    for (first, one) in sets.iter().enumerate() {
        for (second, other) in sets.iter().enumerate().skip(first + 1) {
            let overlap = observed.cells.overlap(*one, *other);
            overlaps.push(proto::SegmentOverlap {
                first: small(first),
                second: small(second),
                both_count: signed(overlap.both),
                jaccard: overlap.jaccard,
            });
        }
    }
    overlaps
}

fn heterogeneity(test: Option<ChiSquare>) -> proto::Heterogeneity {
    match test {
        Some(test) => proto::Heterogeneity {
            statistic: test.statistic,
            degrees_of_freedom: signed(test.degrees_of_freedom),
            p_value: test.p,
            judged: true,
        },
        None => proto::Heterogeneity { p_value: 1.0, ..proto::Heterogeneity::default() },
    }
}

fn difference(told: &Difference) -> proto::SegmentDifference {
    use proto::segment_difference::Verdict as Told;
    let verdict = match told.verdict {
        Verdict::Different => Told::Different,
        Verdict::NotShown => Told::NotShown,
        Verdict::TooSmall => Told::TooSmall,
    };
    let found = told.found.as_ref();
    proto::SegmentDifference {
        first: small(told.first),
        second: small(told.second),
        outcome: small(told.outcome),
        first_count: signed(told.first_only),
        second_count: signed(told.second_only),
        value: found.map(|found| found.value),
        low: found.map(|found| found.interval.low),
        high: found.map(|found| found.interval.high),
        p_value: found.map(|found| found.p),
        minimum_detectable: found.map(|found| found.minimum_detectable),
        verdict: verdict.into(),
    }
}

fn encode_portfolio(
    question: &Question,
    observed: &Observed,
    portfolio: &Portfolio,
) -> proto::Portfolio {
    let group = |group: &Set| proto::PortfolioGroup {
        segments: names(question, *group),
        member_count: signed(observed.cells.union(*group).contacts),
        rule_text: union(question, *group).to_string(),
    };
    proto::Portfolio {
        groups: portfolio.groups.iter().map(group).collect(),
        merges: portfolio.merges.iter().map(|it| merge(question, it)).collect(),
        empty: portfolio.empty.iter().map(|index| name(question, *index)).collect(),
        summary: portfolio.summary(),
    }
}

/// Everybody in any of the segments.
fn union(question: &Question, group: Set) -> Rule {
    let segment = |index: usize| Rule::InSegment { segment: question.segments[index].to_string() };
    Rule::Any(group.iter().map(segment).collect())
}

fn merge(question: &Question, told: &Merge) -> proto::PortfolioMerge {
    use proto::portfolio_merge::Reason;
    let (reason, text) = match told.why {
        Why::SamePeople { jaccard } => {
            (Reason::SamePeople, format!("{:.0} % of their members are in both", 100.0 * jaccard))
        }
        Why::TooSmall { contacts } => {
            (Reason::TooSmall, format!("the smaller has {contacts} members, too few to judge"))
        }
        Why::NotShownDifferent { p } => {
            (Reason::NotShownDifferent, format!("no difference was shown (adjusted p = {p:.2})"))
        }
        Why::Closest { standardized } => (
            Reason::Closest,
            format!("they differ least, by {standardized:.2} standard deviations"),
        ),
    };
    proto::PortfolioMerge {
        first: names(question, told.first),
        second: names(question, told.second),
        reason: reason.into(),
        text,
    }
}

fn names(question: &Question, group: Set) -> Vec<String> {
    group.iter().map(|index| name(question, index)).collect()
}

fn name(question: &Question, index: usize) -> String {
    SegmentName::new(question.workspace.clone(), question.segments[index].clone()).to_string()
}

impl From<Reading> for proto::OutcomeReading {
    fn from(reading: Reading) -> Self {
        Self {
            responder_count: signed(reading.responders),
            value: reading.value,
            low: reading.interval.map(|interval| interval.low),
            high: reading.interval.map(|interval| interval.high),
        }
    }
}

impl From<Size> for proto::SegmentSize {
    fn from(size: Size) -> Self {
        Self { time: Some(rule::encode_moment(size.time)), member_count: size.members }
    }
}

impl From<Day> for proto::ForecastDay {
    fn from(day: Day) -> Self {
        Self { size: Some(day.size.into()), entered_count: day.entered, left_count: day.left }
    }
}

impl From<Forecast> for proto::ForecastSegmentResponse {
    fn from(forecast: Forecast) -> Self {
        Self {
            revision: forecast.revision,
            size: Some(forecast.now.into()),
            days: forecast.days.into_iter().map(Into::into).collect(),
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn small(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
