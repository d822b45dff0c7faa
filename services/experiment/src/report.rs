//! The estimates and the verdict so far. Nothing is written, so reading is not a look.

use chrono::{DateTime, Utc};
use cursus_ids::ExperimentName;
use cursus_statistics::Fraction;
use cursus_statistics::strata::{Cell, mantel_haenszel};
use sqlx::PgConnection;

use crate::counts::Counts;
use crate::design::Design;
use crate::differences::{Difference, differences};
use crate::error::Error;
use crate::experiment::{Decision, Experiment, State};
use crate::experiments::get;
use crate::look::{self, Look, Seen, Sight};
use crate::verdict::{
    self, Action, Alarm, Guardrail, SampleRatio, Stage, Timing, TimingState, Verdict,
};
use crate::{observation, results, store};

/// With fewer events than this differences are coarse.
const FEW_EVENTS: u64 = 50;
/// Arms whose shares of machines differ more than by chance, at this error, are answered by different machines.
const MACHINE_DOUBT: f64 = 0.01;

/// What there is to tell.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) experiment: Experiment,
    pub(crate) as_of: DateTime<Utc>,
    pub(crate) whole: results::Panel,
    pub(crate) segments: Vec<(String, results::Panel)>,
    pub(crate) probabilities_best: Option<Vec<f64>>,
    /// Of a bandit: each arm's share of new units.
    pub(crate) shares: Vec<f64>,
    pub(crate) verdict: Verdict,
    pub(crate) guardrails: Vec<Guardrail>,
    pub(crate) sample_ratio: SampleRatio,
    pub(crate) timing: Timing,
    pub(crate) differences: Vec<Difference>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) maturity: f64,
    pub(crate) next_look: Option<DateTime<Utc>>,
    pub(crate) invalidated_by: String,
}

/// Something to know before one believes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

pub(crate) async fn report(
    conn: &mut PgConnection,
    name: &ExperimentName,
    now: DateTime<Utc>,
) -> Result<Report, Error> {
    let experiment = get(conn, name).await?;
    let design = &experiment.design;
    let census = observation::census(conn, &experiment, now).await?;
    let mut looks = store::looks::all(conn, name).await?;
    let last = store::looks::last_verdict(conn, name).await?;
    let exposures = observation::exposures(conn, &experiment).await?;
    let boundary = last.as_ref().and_then(|verdict| verdict.boundary);
    let spending_time = maturity(&experiment, &exposures, now)?;
    let allocations = observation::allocations(conn, &experiment).await?;
    let sight = Sight::new(design, &census, &allocations);
    let present = Look { time: now, spending_time, sight };
    let verdict = told(&experiment, last, &present)?;
    let next_look = next_look(&experiment, looks.last(), &exposures, now)?;
    let is_settled = !design.is_open_ended() && spending_time >= Fraction::ONE;
    let timing = verdict::timing(design, &present.sight, is_settled);
    let has_changed = has_changed(conn, &experiment, &looks, &verdict).await?;
    looks.push(present.clone());
    let sample_ratio = verdict::sample_ratio(design, &looks, experiment.stage())?;
    let mut warnings = warnings(&experiment, &present.sight, &verdict, &timing);
    warnings.extend(of_bandit(design, census.strays));
    if sample_ratio.alarm != Alarm::None {
        let text = "The arms hardly got the numbers of contacts they should have";
        warnings.push(Warning { code: "SAMPLE_RATIO", text: text.to_owned() });
    }
    if has_changed {
        let text =
            "What was told since the last look, of the time before it, would change its verdict";
        warnings.push(Warning { code: "DATA_CHANGED", text: text.to_owned() });
    }
    let panel = |counts: &Counts| results::panel(design, counts, boundary);
    let segments = census.segments.iter();
    let segments = segments.map(|(name, counts)| Ok((name.clone(), panel(counts)?)));
    Ok(Report {
        as_of: now,
        whole: panel(&census.whole)?,
        segments: segments.collect::<Result<_, Error>>()?,
        probabilities_best: results::probabilities_best(design, &census.whole),
        shares: allocations.last().map(|allocation| allocation.shares.clone()).unwrap_or_default(),
        guardrails: verdict::guardrails(design, &present.sight),
        sample_ratio,
        timing,
        differences: differences(design, &census),
        warnings,
        maturity: spending_time.get(),
        next_look: next_look.filter(|_| !verdict.is_final),
        invalidated_by: verdict::invalidated_by(design, &present, &verdict),
        verdict,
        experiment,
    })
}

/// What the data say now, by the looks that were taken.
pub(crate) async fn verdict(
    conn: &mut PgConnection,
    experiment: &Experiment,
    now: DateTime<Utc>,
) -> Result<Verdict, Error> {
    let last = store::looks::last_verdict(conn, &experiment.name).await?;
    let sight = observation::sight(conn, experiment, now).await?;
    told(experiment, last, &Look { time: now, spending_time: Fraction::ZERO, sight })
}

/// The verdict of the decision, or of the last look in the light of harm seen since.
fn told(experiment: &Experiment, last: Option<Verdict>, present: &Look) -> Result<Verdict, Error> {
    if let Some(decision) = &experiment.decision {
        return Ok(of_decision(decision));
    }
    let verdict = match last {
        Some(verdict) => verdict::heeding(&experiment.design, &present.sight, verdict),
        None => provisional(experiment, present)?,
    };
    Ok(match &experiment.stop {
        None => verdict,
        Some(stop) => Verdict {
            action: Action::Hold,
            reason_code: "STOPPED".to_owned(),
            reason_text: format!("It was stopped: {}", stop.reason),
            arm: None,
            is_final: true,
            ..verdict
        },
    })
}

/// What the data said, or what somebody decided by hand: not called significant, so that it is approved before it is sent.
fn of_decision(decision: &Decision) -> Verdict {
    let verdict = decision.verdict.clone();
    match &decision.override_reason {
        None => verdict,
        Some(reason) => Verdict {
            action: if decision.arm.is_some() {
                Action::PromoteNotSignificant
            } else {
                Action::Hold
            },
            reason_code: "OVERRIDDEN".to_owned(),
            reason_text: format!("It was decided by hand: {reason}"),
            arm: decision.arm,
            ..verdict
        },
    }
}

/// What can be said before the first look: nothing but that the numbers of units are wrong.
fn provisional(experiment: &Experiment, present: &Look) -> Result<Verdict, Error> {
    let unseen = Look { spending_time: Fraction::ZERO, ..present.clone() };
    let verdict = verdict::judge(&experiment.design, &[unseen], experiment.stage())?;
    let is_closed = experiment.exposure_end_time.is_some();
    let is_final = is_closed && experiment.design.arms.len() < 2;
    Ok(Verdict { look_count: 0, is_final, ..verdict })
}

/// The share of the expected answers that is in; while units are being exposed, of those if no more were.
fn maturity(
    experiment: &Experiment,
    exposures: &[(DateTime<Utc>, u64)],
    now: DateTime<Utc>,
) -> Result<Fraction, Error> {
    let design = &experiment.design;
    if design.is_open_ended() {
        let started = experiment.start_time.unwrap_or(now);
        return Ok(look::share_of_run(started, now));
    }
    let deadline = experiment.deadline.unwrap_or(now + design.decision_window());
    if now >= deadline {
        return Ok(Fraction::ONE);
    }
    Ok(look::spending_time(design, exposures, now, deadline)?)
}

/// When the verdict may change.
fn next_look(
    experiment: &Experiment,
    last: Option<&Look>,
    exposures: &[(DateTime<Utc>, u64)],
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let design = &experiment.design;
    match (experiment.state, experiment.deadline, experiment.start_time) {
        (State::Running, _, Some(started)) if design.is_open_ended() => {
            let week = started
                + chrono::TimeDelta::from_std(crate::design::SHORTEST_RUN).unwrap_or_default();
            let due = last.map_or(now, |look| look.time + look::OPEN_ENDED_PAUSE);
            let counted = observation::next_period(experiment, now).unwrap_or(now);
            Ok(Some(week.max(due).max(counted)))
        }
        (State::Maturing, Some(deadline), _) if now < deadline && !design.is_open_ended() => {
            Ok(Some(look::next_time(design, last, exposures, (now, deadline))?))
        }
        (State::Maturing, Some(deadline), _) => Ok(Some(deadline.max(now))),
        _ => Ok(None),
    }
}

/// Whether the last look would say something else by what is known now of the time before the deadline: of outcomes that
/// were told late or judged anew.
async fn has_changed(
    conn: &mut PgConnection,
    experiment: &Experiment,
    looks: &[Look],
    verdict: &Verdict,
) -> Result<bool, Error> {
    let (Some(deadline), Some((last, before))) = (experiment.deadline, looks.split_last()) else {
        return Ok(false);
    };
    if experiment.state != State::Decidable {
        return Ok(false);
    }
    let sight = observation::sight(conn, experiment, deadline).await?;
    if sight.counts_like(&last.sight) {
        return Ok(false);
    }
    let mut looks = before.to_vec();
    looks.push(Look { sight, ..last.clone() });
    let design = experiment.design.clone();
    let judging = tokio::task::spawn_blocking(move || verdict::judge(&design, &looks, Stage::Last));
    let anew = judging.await??;
    Ok((anew.action, anew.arm) != (verdict.action, verdict.arm))
}

fn warnings(
    experiment: &Experiment,
    sight: &Sight,
    verdict: &Verdict,
    timing: &Timing,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, text: String| warnings.push(Warning { code, text });
    if experiment.design.arms.len() < 2 || experiment.start_time.is_none() {
        return warnings;
    }
    let answered = sight.answered();
    if answered < FEW_EVENTS {
        let text = format!("Only {answered} contacts did what decides, so that numbers are coarse");
        warn("FEW_EVENTS", text);
    }
    if verdict.action == Action::Promote && !verdict.is_final && !experiment.design.is_open_ended()
    {
        let text =
            "Not all answers are in: this is what contacts did so far, and late ones may differ";
        warn("EARLY", text.to_owned());
    }
    if timing.state == TimingState::Shifted {
        let text = "The leading arm is answered at a different speed than another, so that its lead may shrink";
        warn("TIMING_SHIFT", text.to_owned());
    }
    if machines_differ(&experiment.design, sight) {
        let text = "Machines answered some arms more than others: more of their links or another sender may be why";
        warn("MACHINE_SHARES_DIFFER", text.to_owned());
    }
    warnings
}

/// What a bandit costs, and which units it does not count.
fn of_bandit(design: &Design, strays: u64) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if design.bandit.is_some() {
        let text = "A bandit divides the contacts, so that arms got theirs at different times: do not compare their rates. Only the verdict compares contacts of the same time; intervals, lifts and segments are left out";
        warnings.push(Warning { code: "BANDIT", text: text.to_owned() });
    }
    if strays > 0 {
        let text = format!(
            "{strays} contacts were exposed to an arm that the bandit did not give them, and do not count: ask for the arm before the exposure"
        );
        warnings.push(Warning { code: "NOT_ASSIGNED", text });
    }
    warnings
}

/// Whether some arm's share of units that machines answered is another than that of the others; under a bandit, at the same
/// times.
fn machines_differ(design: &Design, sight: &Sight) -> bool {
    let table = |arms: &[Seen], arm: usize| {
        let cell = |seen: &Seen| Cell { units: seen.counted(), answered: seen.tally.discounted() };
        let mut others = Cell::default();
        for other in sight.others(arm) {
            let cell = cell(&arms[other]);
            others.units += cell.units;
            others.answered += cell.answered;
        }
        [others, cell(&arms[arm])]
    };
    let is_odd = |arm: usize| {
        let found = if design.bandit.is_some() {
            mantel_haenszel(sight.periods.iter().map(|period| table(&period.arms, arm)))
        } else {
            mantel_haenszel([table(&sight.arms, arm)])
        };
        found.is_some_and(|found| found.p_two_sided() < MACHINE_DOUBT)
    };
    (0..sight.arms.len()).any(is_odd)
}
