//! The rungs of the ladder where money decides: Welch's statistic in place of the one of rates, on a clock of variance.
//! The order of the questions is that of `cursus_statistics::monitor`, which knows rates only.

use cursus_statistics::effect::Comparison;
use cursus_statistics::group_sequential::{LookTime, Schedule};
use cursus_statistics::monitor::{Action, Design as Rules, Reason, WhenInconclusive};
use cursus_statistics::multiplicity::holm;
use cursus_statistics::spending::Spending;
use cursus_statistics::{Error, Fraction};

use super::{Finding, Tested, held};
use crate::design::{Design, Kind};
use crate::look::{Look, Sight};

const SPENDING: Spending = Spending::OBrienFleming;
const GROWTH: f64 = 1.01;
/// The last look is forced, and set apart from the one before by this much at least.
const FORCED_GROWTH: f64 = 1.001;
/// A difference in timing beyond this makes a lead suspicious before the deadline.
const TIMING_LIMIT: f64 = 1.645;

pub(super) fn judge(design: &Design, rules: &Rules, looks: &[Look]) -> Result<Finding, Error> {
    let kind = &design.primary().kind;
    let Some(present) = looks.last() else { return Err(Error::NoLooks) };
    let is_final = present.spending_time >= Fraction::ONE;
    let mut times: Vec<LookTime> = Vec::new();
    let mut admitted: Vec<&Look> = Vec::new();
    for look in looks {
        let before = times.last().map_or(0.0, |time| time.information);
        if let Some(time) = admit(rules, kind, look, before) {
            times.push(time);
            admitted.push(look);
        }
    }
    let leader = present.sight.leader(kind);
    if admitted.last().is_none_or(|last| !std::ptr::eq(*last, present)) {
        return Ok(if is_final {
            inconclusive(rules, most_likely(&present.sight, leader), None)
        } else {
            go_on(Reason::ImmatureOrTooFewEvents, None)
        });
    }
    let trial = Trial { kind, looks: &admitted, schedule: Schedule::new(times)? };
    let boundaries = trial.schedule.boundaries(SPENDING, rules.alpha);
    let boundary = boundaries.last().map_or(f64::INFINITY, |last| last.z);
    let everybody: Vec<usize> = present.sight.others(leader).collect();
    let test = Some(Tested { boundary, sequential_p: trial.sequential_p(leader, &everybody)? });
    let lead = |other: &usize| present.sight.statistic(kind, leader, *other);
    let tied_with: Vec<usize> =
        everybody.iter().copied().filter(|other| lead(other) < boundary).collect();
    if tied_with.is_empty() {
        let is_suspicious = |other: &usize| is_suspicious(present, leader, *other);
        if everybody.iter().any(is_suspicious) {
            return Ok(go_on(Reason::TimingShift, test));
        }
        return Ok(promoted(Action::Promote, Reason::SignificantBest, leader, test));
    }
    if !is_final {
        return Ok(go_on(Reason::NotSignificantYet, test));
    }
    if trial.beats_control(rules, leader)? {
        let reason = Reason::BeatsControlTiedWithVariant;
        return Ok(Finding { tied_with, ..promoted(Action::Promote, reason, leader, test) });
    }
    Ok(inconclusive(rules, most_likely(&present.sight, leader), test))
}

/// The leader, if every arm has been seen: nobody leads those of whom nothing is known.
fn most_likely(sight: &Sight, leader: usize) -> Option<usize> {
    sight.arms.iter().all(|arm| arm.sample().is_some()).then_some(leader)
}

fn admit(rules: &Rules, kind: &Kind, look: &Look, before: f64) -> Option<LookTime> {
    let sight = &look.sight;
    let is_small = sight.arms.iter().any(|arm| arm.units < rules.minimum_sent_per_arm);
    let mut information = sight.information(kind);
    let is_empty = sight.answered() < rules.minimum_events || information <= 0.0;
    if look.spending_time < rules.maturity_gate || is_small || is_empty {
        return None;
    }
    if look.spending_time >= Fraction::ONE {
        information = information.max(FORCED_GROWTH * before);
    } else if information < GROWTH * before {
        return None;
    }
    Some(LookTime { information, spending_time: look.spending_time })
}

/// The admitted looks.
struct Trial<'a> {
    kind: &'a Kind,
    looks: &'a [&'a Look],
    schedule: Schedule,
}

impl Trial<'_> {
    /// Of `arm` being ahead of all `others` at once. A lead that may be speed does not count.
    fn sequential_p(&self, arm: usize, others: &[usize]) -> Result<f64, Error> {
        let lead = |look: &&Look| {
            let lead = |other: &usize| {
                let counts = !is_suspicious(look, arm, *other);
                if counts {
                    look.sight.statistic(self.kind, arm, *other)
                } else {
                    f64::NEG_INFINITY
                }
            };
            others.iter().map(lead).fold(f64::INFINITY, f64::min)
        };
        let leads: Vec<f64> = self.looks.iter().map(lead).collect();
        self.schedule.sequential_p(SPENDING, &leads)
    }

    fn beats_control(&self, rules: &Rules, leader: usize) -> Result<bool, Error> {
        let Some(control) = rules.control.filter(|control| *control != leader) else {
            return Ok(false);
        };
        let variants: Vec<usize> = (0..rules.arms()).filter(|arm| *arm != control).collect();
        let of = |arm: &usize| self.sequential_p(*arm, &[control]);
        let p = variants.iter().map(of).collect::<Result<Vec<f64>, Error>>()?;
        let adjusted = holm(&p);
        Ok(variants.iter().zip(adjusted).any(|(arm, p)| *arm == leader && p <= rules.alpha.get()))
    }
}

/// Whether a lead may be mere speed. At the deadline speed no longer matters.
fn is_suspicious(look: &Look, arm: usize, other: usize) -> bool {
    if look.spending_time >= Fraction::ONE {
        return false;
    }
    let promptness = |sight: &Sight, arm: usize| sight.arms.get(arm)?.promptness();
    match (promptness(&look.sight, other), promptness(&look.sight, arm)) {
        (Some(baseline), Some(arm)) => {
            Comparison { baseline, arm }.pooled_z().abs() >= TIMING_LIMIT
        }
        _ => false,
    }
}

fn go_on(reason: Reason, test: Option<Tested>) -> Finding {
    Finding { action: Action::Continue, reason, arm: None, tied_with: Vec::new(), test }
}

fn promoted(action: Action, reason: Reason, arm: usize, test: Option<Tested>) -> Finding {
    Finding { action, reason, arm: Some(arm), tied_with: Vec::new(), test }
}

fn inconclusive(rules: &Rules, best: Option<usize>, test: Option<Tested>) -> Finding {
    let reason = Reason::InconclusiveAtDeadline;
    match (rules.when_inconclusive, best, rules.control) {
        (WhenInconclusive::PosteriorBest, Some(best), _) => {
            promoted(Action::PromoteNotSignificant, reason, best, test)
        }
        (WhenInconclusive::Control, _, Some(control)) => {
            promoted(Action::PromoteControl, reason, control, test)
        }
        _ => Finding { test, ..held(reason) },
    }
}
