//! What the data allow to say: the ladder of the statistics crate for answers of which more is better, the same rungs for
//! the rest, and what both mean in a sentence.

mod adaptive;
mod balance;
mod doubts;
mod guard;
mod ladder;
mod sentence;

use cursus_statistics::monitor::{self, Action as Rung, Evidence, Reason, Sending};
use cursus_statistics::{Alpha, Error, Fraction};
use serde::{Deserialize, Serialize};

pub(crate) use self::balance::{Alarm, SampleRatio, sample_ratio};
pub(crate) use self::doubts::{Timing, TimingState, invalidated_by, timing};
pub(crate) use self::guard::{Arm as GuardedArm, Guardrail};
use crate::design::{Design, Direction, Kind};
use crate::look::{Look, Sight};

/// The sample ratio is judged here, with the holdout, so the ladder's own test of the arms alone is out of the way.
const NEVER: f64 = 1e-300;

/// What to do and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    pub(crate) reason_code: String,
    pub(crate) reason_text: String,
    pub(crate) arm: Option<usize>,
    pub(crate) statistic: f64,
    pub(crate) boundary: Option<f64>,
    pub(crate) sequential_p: Option<f64>,
    pub(crate) information: f64,
    pub(crate) spending_time: f64,
    pub(crate) look_count: u32,
    pub(crate) sample_ratio_p: f64,
    pub(crate) is_final: bool,
    #[serde(default)]
    pub(crate) tied_with: Vec<usize>,
    #[serde(default)]
    pub(crate) conditional_power: Option<f64>,
    /// By arm: adjusted, of being ahead of the control. None before the first test, and for the control.
    #[serde(default)]
    pub(crate) against_control: Vec<Option<f64>>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    Continue,
    Promote,
    PromoteNotSignificant,
    PromoteControl,
    Hold,
    None,
}

/// How far an experiment is when it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Units are being exposed.
    Exposing,
    Maturing,
    /// Nothing more will be counted.
    Last,
}

impl Stage {
    fn sending(self) -> Sending {
        if self == Self::Exposing { Sending::InProgress } else { Sending::Complete }
    }
}

/// What a rung of the ladder says.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    action: Rung,
    reason: Reason,
    arm: Option<usize>,
    tied_with: Vec<usize>,
    test: Option<Tested>,
}

/// What the looks say.
struct Judged {
    /// Nothing where there is one arm.
    finding: Option<Finding>,
    /// The arm it is about, or else the one that does best.
    leader: usize,
    /// The arm that it leads by the least.
    closest: Option<usize>,
    /// By how much per unit.
    lead: f64,
    statistic: f64,
    conditional_power: Option<f64>,
    against_control: Vec<Option<f64>>,
}

/// The test at an admitted look.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tested {
    boundary: f64,
    sequential_p: f64,
}

/// Judges the last of the looks in the light of the others. The last one need not be stored: as long as its spending
/// time is below the gate it decides nothing but whether the sample ratio is broken.
pub(crate) fn judge(design: &Design, looks: &[Look], stage: Stage) -> Result<Verdict, Error> {
    let Some(present) = looks.last() else { return Err(Error::NoLooks) };
    let sight = &present.sight;
    let sample_ratio = sample_ratio(design, looks, stage)?;
    let rules = monitor::Design { sample_ratio_alarm: Alpha::new(NEVER)?, ..design.rules()? };
    let is_broken = sample_ratio.alarm == Alarm::Broken;
    let Judged { finding, leader, closest, lead, statistic, conditional_power, against_control } =
        if design.bandit.is_some() {
            adaptive::judged(design, &rules, looks, (stage, is_broken))?
        } else {
            judged(design, &rules, looks, (stage, is_broken))?
        };
    let test = finding.as_ref().and_then(|it| it.test);
    let facts = sentence::Facts {
        design,
        present,
        finding: finding.as_ref(),
        leader,
        closest,
        lead,
        sample_ratio_p: sample_ratio.p,
    };
    Ok(Verdict {
        action: finding.as_ref().map_or(Action::None, |it| it.action.into()),
        reason_code: finding.as_ref().map_or("ONE_ARM".to_owned(), |it| it.reason.to_string()),
        reason_text: facts.tell(),
        arm: finding.as_ref().and_then(|it| it.arm),
        statistic,
        boundary: test.map(|test| test.boundary).filter(|boundary| boundary.is_finite()),
        sequential_p: test.map(|test| test.sequential_p),
        information: sight.information(design),
        spending_time: present.spending_time.get(),
        look_count: u32::try_from(looks.len()).unwrap_or(u32::MAX),
        sample_ratio_p: sample_ratio.p,
        is_final: is_final(design, present, stage),
        conditional_power,
        against_control,
        tied_with: finding.map(|it| it.tied_with).unwrap_or_default(),
    })
}

/// What the looks say where the shares of the arms stay as they are.
fn judged(
    design: &Design,
    rules: &monitor::Design,
    looks: &[Look],
    (stage, is_broken): (Stage, bool),
) -> Result<Judged, Error> {
    let Some(Look { sight, .. }) = looks.last() else { return Err(Error::NoLooks) };
    let metric = design.primary();
    let course = ladder::Course::new(design, rules, looks)?;
    let finding = if design.arms.len() < 2 {
        None
    } else if is_broken {
        Some(held(Reason::SampleRatioMismatch))
    } else {
        let is_plain = metric.kind == Kind::Conversion && metric.direction == Direction::Higher;
        let finding = if is_plain {
            of_answers(&course, rules, looks, stage)?
        } else {
            course.climb(stage == Stage::Last)?
        };
        Some(guarded(design, sight, ended(rules, sight, design, stage, finding)))
    };
    let about = finding.as_ref().and_then(|it| it.arm);
    let leader = about.unwrap_or_else(|| sight.leader(metric));
    let closest = sight.closest(metric, leader);
    let level = |arm: usize| sight.arms.get(arm).map_or(0.0, |it| it.level(&metric.kind));
    let test = finding.as_ref().and_then(|it| it.test);
    Ok(Judged {
        leader,
        closest,
        lead: closest.map_or(0.0, |other| metric.direction.gain(level(leader) - level(other))),
        statistic: closest.map_or(0.0, |other| sight.statistic(metric, leader, other)),
        conditional_power: test.and_then(|_| course.conditional_power(leader)),
        against_control: match test {
            Some(_) => course.against_control()?,
            None => Vec::new(),
        },
        finding,
    })
}

fn is_final(design: &Design, present: &Look, stage: Stage) -> bool {
    let is_mature = !design.is_open_ended() && present.spending_time >= Fraction::ONE;
    is_mature || stage == Stage::Last
}

/// The leader's statistic against every arm at the last of the looks, for the record.
pub(crate) fn statistics(design: &Design, looks: &[Look]) -> Result<Vec<f64>, Error> {
    if design.bandit.is_some() {
        return adaptive::statistics(design, looks);
    }
    let Some(Look { sight, .. }) = looks.last() else { return Err(Error::NoLooks) };
    let metric = design.primary();
    let leader = sight.leader(metric);
    Ok((0..sight.arms.len()).map(|other| sight.statistic(metric, leader, other)).collect())
}

/// How the guardrails stand, in the order of the design.
pub(crate) fn guardrails(design: &Design, sight: &Sight) -> Vec<Guardrail> {
    guard::readings(design, sight)
}

/// A verdict in the light of harm that was seen since: harm needs no significance to block, and spends nothing.
pub(crate) fn heeding(design: &Design, sight: &Sight, verdict: Verdict) -> Verdict {
    let promotes = matches!(
        verdict.action,
        Action::Promote | Action::PromoteNotSignificant | Action::PromoteControl
    );
    let Some(arm) = verdict.arm.filter(|_| promotes) else { return verdict };
    match guard::harmed(design, sight, arm) {
        None => verdict,
        Some(metric) => Verdict {
            action: Action::Hold,
            reason_code: Reason::Guardrail(metric.id.to_string()).to_string(),
            reason_text: sentence::harm(design, arm, metric.title()),
            ..verdict
        },
    }
}

/// Any promotion is stopped by harm.
fn guarded(design: &Design, sight: &Sight, finding: Finding) -> Finding {
    let promotes = !matches!(finding.action, Rung::Continue | Rung::Hold);
    let arm = finding.arm.filter(|_| promotes);
    match arm.and_then(|arm| guard::harmed(design, sight, arm)) {
        None => finding,
        Some(metric) => Finding {
            action: Rung::Hold,
            reason: Reason::Guardrail(metric.id.to_string()),
            ..finding
        },
    }
}

/// A test without a deadline that somebody ended: what decides nothing by then never will.
fn ended(
    rules: &monitor::Design,
    sight: &Sight,
    design: &Design,
    stage: Stage,
    finding: Finding,
) -> Finding {
    if stage == Stage::Last && finding.action == Rung::Continue {
        let best = ladder::most_likely(sight, sight.leader(design.primary()));
        let tied_with = finding.tied_with;
        return Finding { tied_with, ..ladder::inconclusive(rules, best, finding.test) };
    }
    finding
}

fn of_answers(
    course: &ladder::Course<'_>,
    rules: &monitor::Design,
    looks: &[Look],
    stage: Stage,
) -> Result<Finding, Error> {
    let look = |look: &Look| monitor::Look {
        spending_time: look.spending_time,
        arms: look.sight.arms.iter().map(crate::look::Seen::counts).collect(),
    };
    let looks: Vec<monitor::Look> = looks.iter().map(look).collect();
    let evidence = Evidence { looks: &looks, sending: stage.sending(), guardrails: &[] };
    let verdict = monitor::assess(rules, &evidence)?;
    course.know(&verdict.against_control);
    Ok(Finding {
        action: verdict.action,
        reason: verdict.reason,
        arm: verdict.winner,
        tied_with: verdict.tied_with,
        test: verdict
            .test
            .map(|test| Tested { boundary: test.boundary, sequential_p: test.sequential_p }),
    })
}

fn held(reason: Reason) -> Finding {
    Finding { action: Rung::Hold, reason, arm: None, tied_with: Vec::new(), test: None }
}

impl From<Rung> for Action {
    fn from(rung: Rung) -> Self {
        match rung {
            Rung::Continue => Self::Continue,
            Rung::Promote => Self::Promote,
            Rung::Hold => Self::Hold,
            Rung::PromoteNotSignificant => Self::PromoteNotSignificant,
            Rung::PromoteControl => Self::PromoteControl,
        }
    }
}

#[cfg(test)]
mod tests;
