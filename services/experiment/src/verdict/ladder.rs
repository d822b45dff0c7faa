//! The rungs of the ladder where money decides, or where less is better: the same questions in the same order as in
//! `cursus_statistics::monitor`, which knows rates of what is wanted only, asked of any statistic on any clock.

use std::cell::OnceCell;

use cursus_statistics::effect::Comparison;
use cursus_statistics::group_sequential::{LookTime, Schedule};
use cursus_statistics::monitor::{
    Action, AgainstControl, Design as Rules, Method, Reason, WhenInconclusive,
};
use cursus_statistics::multiplicity::holm;
use cursus_statistics::power::{Progress, conditional_power};
use cursus_statistics::{Error, Fraction};

use super::{Finding, Tested, held};
use crate::design::Design;
use crate::look::{Look, Seen, Sight};

const GROWTH: f64 = 1.01;
/// The last look is forced, and set apart from the one before by this much at least.
const FORCED_GROWTH: f64 = 1.001;
/// A difference in timing beyond this makes a lead suspicious before the deadline.
pub(super) const TIMING_LIMIT: f64 = 1.645;

/// The looks that take part in the test.
pub(super) struct Course<'a> {
    design: &'a Design,
    rules: &'a Rules,
    looks: Vec<&'a Look>,
    times: Vec<LookTime>,
    present: &'a Look,
    /// Once it is known: it takes most of the time of judging.
    against_control: OnceCell<Vec<Option<f64>>>,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        design: &'a Design,
        rules: &'a Rules,
        looks: &'a [Look],
    ) -> Result<Self, Error> {
        let Some(present) = looks.last() else { return Err(Error::NoLooks) };
        let mut course = Self {
            design,
            rules,
            looks: Vec::new(),
            times: Vec::new(),
            present,
            against_control: OnceCell::new(),
        };
        for look in looks {
            let before = course.times.last().map_or(0.0, |time| time.information);
            if let Some(time) = course.admit(look, before) {
                course.times.push(time);
                course.looks.push(look);
            }
        }
        Ok(course)
    }

    pub(super) fn climb(&self, is_last: bool) -> Result<Finding, Error> {
        let sight = &self.present.sight;
        let metric = self.design.primary();
        let is_final = is_last || self.ends_at(self.present);
        let leader = sight.leader(metric);
        if !self.is_admitted() {
            return Ok(if is_final {
                inconclusive(self.rules, most_likely(sight, leader), None)
            } else {
                go_on(Reason::ImmatureOrTooFewEvents, None)
            });
        }
        let boundary = self.boundary()?;
        let everybody: Vec<usize> = sight.others(leader).collect();
        let sequential_p = self.sequential_p(leader, &everybody)?;
        let test = Some(Tested { boundary, sequential_p });
        let lead = |other: &usize| sight.statistic(metric, leader, *other);
        let tied_with: Vec<usize> =
            everybody.iter().copied().filter(|other| lead(other) < boundary).collect();
        if tied_with.is_empty() {
            let is_suspicious = |other: &usize| is_suspicious(self.present, leader, *other);
            if everybody.iter().any(is_suspicious) {
                return Ok(go_on(Reason::TimingShift, test));
            }
            return Ok(promoted(Action::Promote, Reason::SignificantBest, leader, test));
        }
        if !is_final {
            return Ok(Finding { tied_with, ..go_on(Reason::NotSignificantYet, test) });
        }
        let p = self.against_control()?.get(leader).copied().flatten();
        if p.is_some_and(|p| p <= self.rules.alpha.get()) {
            let reason = Reason::BeatsControlTiedWithVariant;
            return Ok(Finding { tied_with, ..promoted(Action::Promote, reason, leader, test) });
        }
        let best = most_likely(sight, leader);
        Ok(Finding { tied_with, ..inconclusive(self.rules, best, test) })
    }

    /// By arm: how likely a lead over the control like this is by chance, allowing for all looks and all arms.
    pub(super) fn against_control(&self) -> Result<Vec<Option<f64>>, Error> {
        if let Some(known) = self.against_control.get() {
            return Ok(known.clone());
        }
        let found = self.tested_against_control()?;
        Ok(self.against_control.get_or_init(|| found).clone())
    }

    /// Takes over what somebody has found of the same looks.
    pub(super) fn know(&self, found: &[AgainstControl]) {
        let of = |arm: usize| found.iter().find(|it| it.arm == arm).map(|it| it.holm_p);
        if !found.is_empty() {
            self.against_control.get_or_init(|| (0..self.rules.arms()).map(of).collect());
        }
    }

    fn tested_against_control(&self) -> Result<Vec<Option<f64>>, Error> {
        let Some(control) = self.rules.control.filter(|_| self.is_admitted()) else {
            return Ok(Vec::new());
        };
        let arms = 0..self.rules.arms();
        let variants: Vec<usize> = arms.clone().filter(|arm| *arm != control).collect();
        let of = |arm: &usize| self.sequential_p(*arm, &[control]);
        let p = variants.iter().map(of).collect::<Result<Vec<f64>, Error>>()?;
        let adjusted = holm(&p);
        let place = |arm: usize| variants.iter().position(|variant| *variant == arm);
        Ok(arms.map(|arm| place(arm).map(|place| adjusted[place])).collect())
    }

    /// How likely the test ends with a winner if the lead goes on like this. Answers come in proportion to the clock of
    /// spending, and so does what they tell.
    pub(super) fn conditional_power(&self, leader: usize) -> Option<f64> {
        let (Method::GroupSequential(spending), Some(now)) =
            (self.rules.method, self.times.last().filter(|_| self.is_admitted()))
        else {
            return None;
        };
        let (information, u) = (now.information, now.spending_time.get());
        if u >= 1.0 {
            return None;
        }
        let final_information = (information / u).max(FORCED_GROWTH * information);
        let mut times = self.times.clone();
        times.push(LookTime { information: final_information, spending_time: Fraction::ONE });
        let boundaries = Schedule::new(times).ok()?.boundaries(spending, self.rules.alpha);
        let sight = &self.present.sight;
        let metric = self.design.primary();
        let closest = sight.closest(metric, leader)?;
        let z = sight.statistic(metric, leader, closest);
        let final_boundary = boundaries.last()?.z;
        let progress = Progress { z, information, final_information, final_boundary };
        Some(conditional_power(progress, z / information.sqrt()).get())
    }

    /// Whether the present look takes part.
    fn is_admitted(&self) -> bool {
        self.looks.last().is_some_and(|last| std::ptr::eq(*last, self.present))
    }

    fn ends_at(&self, look: &Look) -> bool {
        matches!(self.rules.method, Method::GroupSequential(_)) && is_mature(look)
    }

    fn admit(&self, look: &Look, before: f64) -> Option<LookTime> {
        let (rules, sight) = (self.rules, &look.sight);
        let is_small = sight.arms.iter().any(|arm| arm.counted() < rules.minimum_sent_per_arm);
        let mut information = sight.information(self.design);
        let is_empty = sight.answered() < rules.minimum_events || information <= 0.0;
        if look.spending_time < rules.maturity_gate || is_small || is_empty {
            return None;
        }
        if self.ends_at(look) {
            information = information.max(FORCED_GROWTH * before);
        } else if information < GROWTH * before {
            return None;
        }
        Some(LookTime { information, spending_time: look.spending_time })
    }

    fn boundary(&self) -> Result<f64, Error> {
        let Some(now) = self.times.last() else { return Ok(f64::INFINITY) };
        match self.rules.method {
            Method::GroupSequential(spending) => {
                let schedule = Schedule::new(self.times.clone())?;
                let boundaries = schedule.boundaries(spending, self.rules.alpha);
                Ok(boundaries.last().map_or(f64::INFINITY, |last| last.z))
            }
            Method::Anytime(mixture) => Ok(mixture.boundary(now.information, self.rules.alpha)),
        }
    }

    /// Of `arm` being ahead of all `others` at once. A lead that may be speed does not count.
    fn sequential_p(&self, arm: usize, others: &[usize]) -> Result<f64, Error> {
        let metric = self.design.primary();
        let lead = |look: &&Look| {
            let lead = |other: &usize| {
                if is_suspicious(look, arm, *other) {
                    f64::NEG_INFINITY
                } else {
                    look.sight.statistic(metric, arm, *other)
                }
            };
            others.iter().map(lead).fold(f64::INFINITY, f64::min)
        };
        let leads = self.looks.iter().map(lead);
        match self.rules.method {
            Method::GroupSequential(spending) => {
                let schedule = Schedule::new(self.times.clone())?;
                schedule.sequential_p(spending, &leads.collect::<Vec<f64>>())
            }
            Method::Anytime(mixture) => {
                let ahead = self.times.iter().zip(leads).filter(|(_, lead)| *lead > 0.0);
                let p = ahead.map(|(time, lead)| mixture.p(lead, time.information));
                Ok(p.fold(1.0, f64::min))
            }
        }
    }
}

fn is_mature(look: &Look) -> bool {
    look.spending_time >= Fraction::ONE
}

/// The leader, if every arm has been seen: nobody leads those of whom nothing is known.
pub(super) fn most_likely(sight: &Sight, leader: usize) -> Option<usize> {
    sight.arms.iter().all(|arm| arm.counted() > 0).then_some(leader)
}

/// By how much the answers of `arm` are earlier than those of `other`, in standard errors.
pub(super) fn timing_z(sight: &Sight, arm: usize, other: usize) -> f64 {
    let promptness = |arm: usize| sight.arms.get(arm).and_then(Seen::promptness);
    match (promptness(other), promptness(arm)) {
        (Some(baseline), Some(arm)) => Comparison { baseline, arm }.pooled_z(),
        _ => 0.0,
    }
}

/// Whether a lead may be mere speed. At the deadline speed no longer matters.
fn is_suspicious(look: &Look, arm: usize, other: usize) -> bool {
    !is_mature(look) && timing_z(&look.sight, arm, other).abs() >= TIMING_LIMIT
}

pub(super) fn go_on(reason: Reason, test: Option<Tested>) -> Finding {
    Finding { action: Action::Continue, reason, arm: None, tied_with: Vec::new(), test }
}

pub(super) fn promoted(
    action: Action,
    reason: Reason,
    arm: usize,
    test: Option<Tested>,
) -> Finding {
    Finding { action, reason, arm: Some(arm), tied_with: Vec::new(), test }
}

pub(super) fn inconclusive(rules: &Rules, best: Option<usize>, test: Option<Tested>) -> Finding {
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
