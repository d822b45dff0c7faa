//! What was counted at the looks, and the statistics every rung of the ladder needs of it.

use super::design::Design;
use super::verdict::Admission;
use crate::effect::Comparison;
use crate::error::Error;
use crate::group_sequential::LookTime;
use crate::number::{Fraction, real};
use crate::proportion::Proportion;

/// A look must know this much more than the one before it: less is not worth its error probability.
const GROWTH: f64 = 1.01;
/// The last look is forced, and its information set apart from the one before by this much at least.
const FORCED_GROWTH: f64 = 1.001;
/// A difference in timing beyond this makes a lead suspicious before the deadline: 10 %, two-sided.
const TIMING_LIMIT: f64 = 1.645;

/// What an arm had done by a look. Counts are cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArmCounts {
    pub sent: u64,
    /// Recipients with at least one human event of the metric.
    pub responders: u64,
    /// Those of them who answered soon after their mail was sent: within an age fixed beforehand and the same for all
    /// arms, [`crate::response::ResponseCurve::early_age`].
    pub early_responders: u64,
}

/// One look at all arms.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The maturity at this look, from [`crate::response::spending_time`]. With a deadline the look at 1 is the final
    /// one; an open-ended test goes on, and says here how much of its shortest duration has passed.
    pub spending_time: Fraction,
    pub arms: Vec<ArmCounts>,
}

impl Look {
    /// Whether every outcome counted here is settled.
    pub fn is_mature(&self) -> bool {
        self.spending_time >= Fraction::ONE
    }
}

/// Whether every mail of the test has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    InProgress,
    Complete,
}

/// An unwanted event, counted per arm at the last look.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardrailCounts {
    pub name: String,
    pub events: Vec<u64>,
    /// A rate no arm may exceed, whatever the others do.
    pub ceiling: Option<f64>,
}

/// All that a verdict rests on.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Every look so far, oldest first; the last is the present one.
    pub looks: &'a [Look],
    pub sending: Sending,
    pub guardrails: &'a [GuardrailCounts],
}

impl Evidence<'_> {
    /// The present look, once everything fits the design.
    pub(super) fn check(&self, design: &Design) -> Result<&Look, Error> {
        let expected = design.arms();
        for (index, look) in self.looks.iter().enumerate() {
            if index + 1 < self.looks.len() && design.ends_at(look) {
                return Err(Error::LookAfterFinal(index + 1));
            }
            if look.arms.len() != expected {
                return Err(Error::WrongLength { got: look.arms.len(), expected });
            }
            for arm in &look.arms {
                possible(arm.responders, arm.sent)?;
                possible(arm.early_responders, arm.responders)?;
            }
        }
        for guardrail in self.guardrails {
            let got = guardrail.events.len();
            if got != expected {
                return Err(Error::WrongLength { got, expected });
            }
            if let Some(ceiling) =
                guardrail.ceiling.filter(|ceiling| !(0.0..=1.0).contains(ceiling))
            {
                return Err(Error::NotAProbability(ceiling));
            }
        }
        self.looks.last().ok_or(Error::NoLooks)
    }
}

fn possible(successes: u64, trials: u64) -> Result<(), Error> {
    if successes > trials { Err(Error::ImpossibleCount { successes, trials }) } else { Ok(()) }
}

/// A look that takes part in the test.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) time: LookTime,
    pub(super) rates: Vec<Proportion>,
    /// The early among the responders; none where nobody has responded.
    promptness: Vec<Option<Proportion>>,
    is_mature: bool,
}

impl Admitted {
    /// The arm with the highest rate; the first of equals.
    pub(super) fn leader(&self) -> usize {
        let mut leader = 0;
        for (arm, rate) in self.rates.iter().enumerate() {
            if rate.rate() > self.rates[leader].rate() {
                leader = arm;
            }
        }
        leader
    }

    /// By how much `arm` is ahead of `other`.
    pub(super) fn z(&self, arm: usize, other: usize) -> f64 {
        Comparison { baseline: self.rates[other], arm: self.rates[arm] }.pooled_z()
    }

    /// By how much the responders of `arm` are earlier than those of `other`: a difference of early shares.
    pub(super) fn timing_z(&self, arm: usize, other: usize) -> f64 {
        match (self.promptness[other], self.promptness[arm]) {
            (Some(baseline), Some(arm)) => Comparison { baseline, arm }.pooled_z(),
            _ => 0.0,
        }
    }

    /// Whether a lead of `arm` over `other` may be mere speed. Once outcomes are settled, as at the deadline, speed no
    /// longer matters.
    pub(super) fn is_timing_suspicious(&self, arm: usize, other: usize) -> bool {
        !self.is_mature && self.timing_z(arm, other).abs() >= TIMING_LIMIT
    }

    /// The most suspicious timing of `arm` against any other arm.
    pub(super) fn worst_timing_z(&self, arm: usize) -> f64 {
        let mut worst: f64 = 0.0;
        for other in self.others(arm) {
            let z = self.timing_z(arm, other);
            if z.abs() > worst.abs() {
                worst = z;
            }
        }
        worst
    }

    pub(super) fn others(&self, arm: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.rates.len()).filter(move |other| *other != arm)
    }
}

/// Whether a look takes part in a test that knew this much `before`.
pub(super) fn admit(design: &Design, look: &Look, before: f64) -> Result<Admitted, Admission> {
    if look.spending_time < design.maturity_gate {
        return Err(Admission::Immature);
    }
    if look.arms.iter().any(|arm| arm.sent < design.minimum_sent_per_arm.max(1)) {
        return Err(Admission::TooFewSent);
    }
    let events = look.arms.iter().fold(0_u64, |sum, arm| sum.saturating_add(arm.responders));
    let mut information = information(&look.arms);
    let informative = information > 0.0 && information.is_finite();
    if events < design.minimum_events || !informative {
        return Err(Admission::TooFewEvents);
    }
    if design.ends_at(look) {
        information = information.max(FORCED_GROWTH * before);
    } else if information < GROWTH * before {
        return Err(Admission::LittleNewInformation);
    }
    let proportion = |successes, trials| Proportion::new(successes, trials).ok();
    let rates = look.arms.iter().filter_map(|arm| proportion(arm.responders, arm.sent)).collect();
    let early = |arm: &ArmCounts| proportion(arm.early_responders, arm.responders);
    Ok(Admitted {
        time: LookTime { information, spending_time: look.spending_time },
        rates,
        promptness: look.arms.iter().map(early).collect(),
        is_mature: look.is_mature(),
    })
}

/// `S / (1 - S / N)` over all arms together, so that it tells nothing about which is ahead.
///
/// With no difference between the arms the pooled z of maturing proportions is Brownian motion on this clock: the
/// empirical process divided by `1 - F` is a martingale, as in the log-rank test.
fn information(arms: &[ArmCounts]) -> f64 {
    let events: f64 = arms.iter().map(|arm| real(arm.responders)).sum();
    let sent: f64 = arms.iter().map(|arm| real(arm.sent)).sum();
    events / (1.0 - events / sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::Weights;

    fn design() -> Design {
        Design::standard(Weights::equal(2).unwrap())
    }

    fn look(spending_time: f64, responders: u64) -> Look {
        let arm = ArmCounts { sent: 1_000, responders, early_responders: 0 };
        Look { spending_time: Fraction::new(spending_time).unwrap(), arms: vec![arm, arm] }
    }

    /// What comes of each look in turn.
    fn admissions(looks: &[Look]) -> Vec<Result<f64, Admission>> {
        let mut before = 0.0;
        let each = |look| {
            let admitted = admit(&design(), look, before).map(|look| look.time.information);
            before = admitted.unwrap_or(before);
            admitted
        };
        looks.iter().map(each).collect()
    }

    #[test]
    fn a_look_before_the_gate_or_below_the_minima_is_not_admitted() {
        let refused = |look: Look| admissions(&[look])[0].unwrap_err();
        assert_eq!(refused(look(0.79, 100)), Admission::Immature);
        assert_eq!(refused(look(0.8, 9)), Admission::TooFewEvents);
        assert_eq!(refused(look(0.8, 1_000)), Admission::TooFewEvents);
        assert!(admissions(&[look(0.8, 10)])[0].is_ok());
        let mut few = look(0.9, 100);
        few.arms[1] = ArmCounts { sent: 99, responders: 30, early_responders: 0 };
        assert_eq!(refused(few), Admission::TooFewSent);
    }

    #[test]
    fn a_look_that_learned_little_or_lost_events_is_skipped() {
        for responders in [100, 90] {
            let admissions = admissions(&[look(0.8, 100), look(0.9, responders)]);
            assert_eq!(admissions[1], Err(Admission::LittleNewInformation));
        }
    }

    #[test]
    fn the_final_look_is_forced_even_after_losing_events() {
        let admissions = admissions(&[look(0.8, 100), look(1.0, 90)]);
        let growth = admissions[1].unwrap() / admissions[0].unwrap();
        assert!((growth - FORCED_GROWTH).abs() < 1e-12);
    }

    #[test]
    fn evidence_that_contradicts_itself_is_refused() {
        let check = |looks: &[Look]| {
            Evidence { looks, sending: Sending::Complete, guardrails: &[] }
                .check(&design())
                .map(|_| ())
        };
        assert_eq!(check(&[]), Err(Error::NoLooks));
        assert_eq!(check(&[look(1.0, 10), look(1.0, 11)]), Err(Error::LookAfterFinal(1)));
        let mut more = look(0.9, 100);
        more.arms[0].responders = 1_001;
        assert!(check(&[more]).is_err());
        let mut missing = look(0.9, 100);
        missing.arms.pop();
        assert_eq!(check(&[missing]), Err(Error::WrongLength { got: 1, expected: 2 }));
    }
}
