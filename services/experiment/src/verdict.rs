//! What the data allow to say: the ladder of the statistics crate for answers, the same rungs for money, and what both
//! mean in a sentence.

mod money;
mod sentence;

use cursus_statistics::monitor::{
    self, Action as Rung, Evidence, GuardrailCounts, Reason, Sending, WhenInconclusive as Policy,
};
use cursus_statistics::{Alpha, Error, Fraction, sample_ratio};
use serde::{Deserialize, Serialize};

use crate::design::{Design, Kind, WhenInconclusive};
use crate::look::{Look, Sight, real};

/// The sample ratio is judged here, with the holdout, so the ladder's own test of the arms alone is out of the way.
const NEVER: f64 = 1e-300;
/// Of ten mails not more than one fails: a campaign with more is stopped for other reasons.
const FAILED_IN: u64 = 10;

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

/// What a rung of the ladder says.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    action: Rung,
    reason: Reason,
    arm: Option<usize>,
    tied_with: Vec<usize>,
    test: Option<Tested>,
}

/// The test at an admitted look.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tested {
    boundary: f64,
    sequential_p: f64,
}

/// Judges the last of the looks in the light of the others. The last one need not be stored: as long as its spending
/// time is below the gate it decides nothing but whether the sample ratio is broken.
pub(crate) fn judge(design: &Design, looks: &[Look], sending: Sending) -> Result<Verdict, Error> {
    let Some(present) = looks.last() else { return Err(Error::NoLooks) };
    let sight = &present.sight;
    let kind = &design.primary().kind;
    let (sample_ratio_p, is_broken) = balance(design, looks, sending)?;
    let finding = if design.arms.len() < 2 {
        None
    } else if is_broken {
        Some(held(Reason::SampleRatioMismatch))
    } else {
        Some(match kind {
            Kind::Conversion => of_answers(design, looks, sending)?,
            Kind::Revenue { .. } => money::judge(design, &rules(design)?, looks)?,
        })
    };
    let about = finding.as_ref().and_then(|it| it.arm);
    let leader = about.unwrap_or_else(|| sight.leader(kind));
    let closest = sight.closest(kind, leader);
    let test = finding.as_ref().and_then(|it| it.test);
    let action = finding.as_ref().map_or(Action::None, |it| it.action.into());
    let sentence = sentence::Facts {
        design,
        present,
        finding: finding.as_ref(),
        leader,
        closest,
        sample_ratio_p,
    };
    Ok(Verdict {
        action,
        reason_code: finding.as_ref().map_or("ONE_ARM".to_owned(), |it| it.reason.to_string()),
        reason_text: sentence.tell(),
        arm: about,
        statistic: closest.map_or(0.0, |other| sight.statistic(kind, leader, other)),
        boundary: test.map(|test| test.boundary).filter(|boundary| boundary.is_finite()),
        sequential_p: test.map(|test| test.sequential_p),
        information: sight.information(kind),
        spending_time: present.spending_time.get(),
        look_count: u32::try_from(looks.len()).unwrap_or(u32::MAX),
        sample_ratio_p,
        is_final: present.spending_time >= Fraction::ONE,
    })
}

/// The leader's statistic against every arm, for the record.
pub(crate) fn statistics(design: &Design, sight: &Sight) -> Vec<f64> {
    let kind = &design.primary().kind;
    let leader = sight.leader(kind);
    (0..sight.arms.len()).map(|other| sight.statistic(kind, leader, other)).collect()
}

/// How likely the numbers of units are, and whether they are too unlikely. While units are being exposed the evidence
/// may be looked at all the time; the test of the end may not.
fn balance(design: &Design, looks: &[Look], sending: Sending) -> Result<(f64, bool), Error> {
    let weights = design.weights()?;
    let units = |look: &Look| -> Vec<u64> { look.sight.arms.iter().map(|arm| arm.units).collect() };
    let mut strongest: f64 = 0.0;
    let mut p = 1.0;
    for look in looks {
        strongest = strongest.max(sample_ratio::ln_evidence(&units(look), &weights)?);
        p = sample_ratio::chi_square(&units(look), &weights)?.p;
    }
    p = match (sending, looks.last()) {
        // The holdout is exposed when a mailing is planned, the arms while it is sent.
        (Sending::InProgress, _) | (_, None) => (-strongest).exp(),
        (Sending::Complete, Some(present)) => p.min(holdout_balance(design, &present.sight)?),
    };
    Ok((p, p < Alpha::ONE_PER_MILLE.get()))
}

/// How likely the number of those held out is beside that of all arms. A mail that fails exposes nobody, and who in the
/// holdout would have been so unlucky is not known, so as many may be missing from the arms.
fn holdout_balance(design: &Design, sight: &Sight) -> Result<f64, Error> {
    if !design.has_holdout() {
        return Ok(1.0);
    }
    let shares = design.tested_and_held_out()?;
    let held_out = sight.holdout_units;
    let tested: u64 = sight.arms.iter().map(|arm| arm.units).sum();
    let with_failed = tested + tested / (FAILED_IN - 1);
    let is_many = |tested: u64| {
        let share = shares.shares().last().unwrap_or_default();
        real(held_out) > share * real(tested + held_out)
    };
    let tested = match (is_many(tested), is_many(with_failed)) {
        (true, true) => with_failed,
        (true, false) => return Ok(1.0),
        (false, _) => tested,
    };
    Ok(sample_ratio::chi_square(&[tested, held_out], &shares)?.p)
}

fn rules(design: &Design) -> Result<monitor::Design, Error> {
    Ok(monitor::Design {
        control: design.control,
        alpha: design.alpha()?,
        when_inconclusive: match design.when_inconclusive {
            WhenInconclusive::Hold => Policy::Human,
            WhenInconclusive::PosteriorBest => Policy::PosteriorBest,
            WhenInconclusive::Control => Policy::Control,
        },
        sample_ratio_alarm: Alpha::new(NEVER)?,
        ..monitor::Design::standard(design.weights()?)
    })
}

fn of_answers(design: &Design, looks: &[Look], sending: Sending) -> Result<Finding, Error> {
    let look = |look: &Look| monitor::Look {
        spending_time: look.spending_time,
        arms: look.sight.arms.iter().map(crate::look::Seen::counts).collect(),
    };
    let looks: Vec<monitor::Look> = looks.iter().map(look).collect();
    let guardrails: &[GuardrailCounts] = &[];
    let evidence = Evidence { looks: &looks, sending, guardrails };
    let verdict = monitor::assess(&rules(design)?, &evidence)?;
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
