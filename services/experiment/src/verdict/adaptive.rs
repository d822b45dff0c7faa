//! Verdicts under a bandit. Arms got their units at different times, so that their rates are not compared as they are: units
//! are compared with units of the same period, and what decides is an e-value.

use std::collections::BTreeMap;

use cursus_statistics::Error;
use cursus_statistics::assignment::Weights;
use cursus_statistics::monitor::{Action, Design as Rules, Reason};
use cursus_statistics::multiplicity::holm;
use cursus_statistics::strata::{Cell, Period, Strata};

use super::ladder::{go_on, inconclusive, most_likely, promoted};
use super::{Finding, Judged, Stage, Tested, guarded, held};
use crate::counts::Span;
use crate::design::Design;
use crate::look::{self, Look, Seen, Sight};

/// What the looks say. Only of the last one all periods must be there.
pub(super) fn judged(
    design: &Design,
    rules: &Rules,
    looks: &[Look],
    (stage, is_broken): (Stage, bool),
) -> Result<Judged, Error> {
    let Some(Look { sight, .. }) = looks.last() else { return Err(Error::NoLooks) };
    let contest = Contest::new(design, looks)?;
    let leader = contest.leader();
    let duels = contest.duels(leader)?;
    let finding = if is_broken {
        held(Reason::SampleRatioMismatch)
    } else {
        guarded(design, sight, contest.climb(rules, (leader, &duels), stage)?)
    };
    let against_control =
        if finding.test.is_some() { contest.against_control(rules)? } else { Vec::new() };
    // At the end it may be about another arm than the leader: the control.
    let about = finding.arm.unwrap_or(leader);
    let duels = if about == leader { duels } else { contest.duels(about)? };
    let closest = duels.iter().min_by(|one, two| one.lead.total_cmp(&two.lead));
    Ok(Judged {
        leader: about,
        closest: closest.map(|duel| duel.other),
        lead: closest.map_or(0.0, |duel| duel.difference),
        statistic: closest.map_or(0.0, |duel| duel.lead),
        conditional_power: None,
        against_control,
        finding: Some(finding),
    })
}

/// The leader's statistic against every arm.
pub(super) fn statistics(design: &Design, looks: &[Look]) -> Result<Vec<f64>, Error> {
    let contest = Contest::new(design, looks)?;
    let mut statistics = vec![0.0; design.arms.len()];
    for duel in contest.duels(contest.leader())? {
        statistics[duel.other] = duel.lead;
    }
    Ok(statistics)
}

/// The strongest evidence at any look that units were not divided by the shares they should have been.
pub(super) fn ln_against_shares(design: &Design, looks: &[Look]) -> Result<f64, Error> {
    let evidence = Contest::new(design, looks)?.strata.ln_sample_ratio();
    Ok(evidence.into_iter().fold(0.0, f64::max))
}

/// How the arms stand at the last of the looks.
struct Contest<'a> {
    design: &'a Design,
    looks: &'a [Look],
    strata: Strata,
}

/// One arm against another.
struct Duel {
    other: usize,
    /// By how much per unit it is ahead within the periods.
    difference: f64,
    /// `√(2 ln e)`, which is on the scale of a z, with the sign of the difference.
    lead: f64,
    /// Of being ahead: one over the present evidence, if it is ahead. Stronger evidence of an earlier look may have been
    /// of its being behind.
    sequential_p: f64,
}

impl<'a> Contest<'a> {
    fn new(design: &'a Design, looks: &'a [Look]) -> Result<Self, Error> {
        let mut numbers = BTreeMap::new();
        let periods: Vec<Vec<Period>> = looks
            .iter()
            .map(|look| periods(&look.sight, &mut numbers))
            .collect::<Result<_, Error>>()?;
        Ok(Self { design, looks, strata: Strata::new(design.arms.len(), &periods)? })
    }

    /// The arm whose smallest difference to another one, in standard errors, is the largest.
    fn leader(&self) -> usize {
        let gain = |arm: usize, other: usize| {
            let found = self.strata.difference(arm, other);
            self.design.primary().direction.gain(found.map_or(0.0, |it| it.z))
        };
        let smallest = |arm: usize| {
            self.others(arm).map(|other| gain(arm, other)).fold(f64::INFINITY, f64::min)
        };
        let mut leader = 0;
        for arm in 1..self.design.arms.len() {
            if smallest(arm) > smallest(leader) {
                leader = arm;
            }
        }
        leader
    }

    /// An arm against every other.
    fn duels(&self, arm: usize) -> Result<Vec<Duel>, Error> {
        self.others(arm).map(|other| self.duel(arm, other)).collect()
    }

    fn duel(&self, arm: usize, other: usize) -> Result<Duel, Error> {
        let evidence = self.strata.ln_evidence(arm, other)?;
        let found = self.strata.difference(arm, other).map_or(0.0, |it| it.difference);
        let difference = self.design.primary().direction.gain(found);
        let now = evidence.last().copied().unwrap_or_default();
        let size = (2.0 * now.max(0.0)).sqrt();
        Ok(Duel {
            other,
            difference,
            lead: if difference < 0.0 { -size } else { size },
            sequential_p: if difference > 0.0 { (-now.max(0.0)).exp() } else { 1.0 },
        })
    }

    fn others(&self, arm: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.design.arms.len()).filter(move |other| *other != arm)
    }

    /// The same questions in the same order as where nobody changes the shares.
    fn climb(
        &self,
        rules: &Rules,
        (leader, duels): (usize, &[Duel]),
        stage: Stage,
    ) -> Result<Finding, Error> {
        let best = self.looks.last().and_then(|look| most_likely(&look.sight, leader));
        if !self.is_admitted(rules) {
            return Ok(match stage {
                Stage::Last => inconclusive(rules, best, None),
                _ => go_on(Reason::ImmatureOrTooFewEvents, None),
            });
        }
        let boundary = (-2.0 * rules.alpha.get().ln()).sqrt();
        let sequential_p = duels.iter().map(|duel| duel.sequential_p).fold(0.0, f64::max);
        let test = Some(Tested { boundary, sequential_p });
        let is_tied = |duel: &&Duel| duel.lead < boundary;
        let tied_with: Vec<usize> = duels.iter().filter(is_tied).map(|duel| duel.other).collect();
        if tied_with.is_empty() {
            return Ok(promoted(Action::Promote, Reason::SignificantBest, leader, test));
        }
        if stage != Stage::Last {
            return Ok(Finding { tied_with, ..go_on(Reason::NotSignificantYet, test) });
        }
        let p = self.against_control(rules)?.get(leader).copied().flatten();
        if p.is_some_and(|p| p <= rules.alpha.get()) {
            let reason = Reason::BeatsControlTiedWithVariant;
            return Ok(Finding { tied_with, ..promoted(Action::Promote, reason, leader, test) });
        }
        Ok(Finding { tied_with, ..inconclusive(rules, best, test) })
    }

    /// By arm: how likely a lead over the control like this is by chance, allowing for all looks and all arms.
    fn against_control(&self, rules: &Rules) -> Result<Vec<Option<f64>>, Error> {
        let Some(control) = rules.control else { return Ok(Vec::new()) };
        let variants: Vec<usize> = self.others(control).collect();
        let p = variants.iter().map(|arm| Ok(self.duel(*arm, control)?.sequential_p));
        let adjusted = holm(&p.collect::<Result<Vec<f64>, Error>>()?);
        let place = |arm: usize| variants.iter().position(|variant| *variant == arm);
        Ok((0..rules.arms()).map(|arm| place(arm).map(|place| adjusted[place])).collect())
    }

    /// Whether enough is known for anybody to lead.
    fn is_admitted(&self, rules: &Rules) -> bool {
        self.looks.last().is_some_and(|look| {
            let is_small =
                look.sight.arms.iter().any(|arm| arm.counted() < rules.minimum_sent_per_arm);
            let has_few = look.sight.answered() < rules.minimum_events;
            look.spending_time >= rules.maturity_gate && !is_small && !has_few
        })
    }
}

/// What was counted of the deciding metric in each period; each gets a number when it is first seen.
fn periods(sight: &Sight, numbers: &mut BTreeMap<Span, u32>) -> Result<Vec<Period>, Error> {
    let period = |period: &look::Period| {
        let cell = |arm: &Seen| Cell { units: arm.counted(), answered: arm.tally.answered };
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        Ok(Period {
            number: *numbers.entry(period.span).or_insert(next),
            shares: Weights::new(period.shares.clone())?,
            cells: period.arms.iter().map(cell).collect(),
        })
    };
    sight.periods.iter().map(period).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use cursus_statistics::Fraction;

    use super::*;
    use crate::counts::Tally;
    use crate::design::tests::bandit;
    use crate::design::{Direction, Metric, Role, WhenInconclusive};
    use crate::verdict::{Action as Told, Verdict, judge};

    /// What each arm's units did: how many, how many answered, and how many complained.
    type Arms = [[u64; 3]; 2];

    /// A look a day, at which the arms of one more period are known.
    fn looks(days: &[Arms]) -> Vec<Look> {
        let tally = |answered: u64| Tally { answered, ..Tally::default() };
        let seen = |[units, answered, complained]: [u64; 3]| Seen {
            units,
            tally: tally(answered),
            guardrails: vec![tally(complained)],
        };
        let sum = |days: &[Arms], arm: usize| {
            let add = |sum: [u64; 3], day: &Arms| [0, 1, 2].map(|it| sum[it] + day[arm][it]);
            seen(days.iter().fold([0; 3], add))
        };
        let period = |(day, arms): (usize, &Arms)| look::Period {
            span: Span { allocation: u32::try_from(day).unwrap() + 1, exposed: 0 },
            shares: vec![0.1, 0.9],
            arms: arms.map(seen).to_vec(),
        };
        let look = |day: usize| {
            let told = &days[..day];
            Look {
                time: DateTime::UNIX_EPOCH + TimeDelta::days(i64::try_from(day).unwrap()),
                spending_time: Fraction::ONE,
                sight: Sight {
                    arms: vec![sum(told, 0), sum(told, 1)],
                    holdout_units: 0,
                    strays: 0,
                    periods: told.iter().enumerate().map(period).collect(),
                },
            }
        };
        (1..=days.len()).map(look).collect()
    }

    fn guarded() -> Design {
        let mut design = bandit();
        design.metrics[1] = Metric {
            id: "complaints".parse().unwrap(),
            role: Role::Guardrail,
            direction: Direction::Lower,
            ..design.metrics[0].clone()
        };
        design
    }

    fn said(design: &Design, days: &[Arms], stage: Stage) -> Verdict {
        judge(design, &looks(days), stage).unwrap()
    }

    #[test]
    fn a_lead_within_the_periods_wins_and_is_told_by_what_was_seen_there() {
        let days = [[[100, 10, 0], [900, 180, 0]]; 8];
        let verdict = said(&guarded(), &days, Stage::Exposing);
        assert_eq!((verdict.action, verdict.arm), (Told::Promote, Some(1)), "{verdict:?}");
        assert!(verdict.reason_text.contains("10.0 points"), "{}", verdict.reason_text);
        let mut fewer = guarded();
        fewer.metrics[0].direction = Direction::Lower;
        let verdict = said(&fewer, &days, Stage::Exposing);
        assert_eq!((verdict.action, verdict.arm), (Told::Promote, Some(0)), "{verdict:?}");
    }

    #[test]
    fn a_lead_that_comes_from_the_times_alone_ends_by_the_policy() {
        // Whatever the day, both answer alike.
        let days = [[[400, 40, 0], [100, 10, 0]], [[100, 50, 0], [900, 450, 0]]];
        let mut design = guarded();
        let verdict = said(&design, &days, Stage::Exposing);
        assert_eq!(verdict.reason_code, "NOT_SIGNIFICANT_YET");
        assert!(verdict.statistic.abs() < 0.5, "{verdict:?}");
        assert_eq!(said(&design, &days, Stage::Last).action, Told::Hold);
        design.control = Some(0);
        design.when_inconclusive = WhenInconclusive::Control;
        let verdict = said(&design, &days, Stage::Last);
        assert_eq!((verdict.action, verdict.arm), (Told::PromoteControl, Some(0)));
        assert!(verdict.is_final && verdict.against_control[1].is_some_and(|p| p > 0.2));
    }

    #[test]
    fn harm_is_sought_within_the_periods_too() {
        // On the first day many complain of everything, and the other arm had that day nearly to itself.
        let alike = [[[900, 90, 90], [100, 30, 10]], [[100, 10, 1], [900, 270, 9]]];
        let design = guarded();
        assert_eq!(said(&design, &alike, Stage::Exposing).action, Told::Promote);
        let worse = [[[900, 90, 90], [100, 30, 25]], [[100, 10, 1], [900, 270, 40]]];
        let verdict = said(&design, &worse, Stage::Exposing);
        assert_eq!(
            (verdict.action, verdict.reason_code.as_str()),
            (Told::Hold, "GUARDRAIL:complaints")
        );
    }

    #[test]
    fn evidence_of_being_behind_is_not_evidence_of_being_ahead() {
        let mut days = vec![[[100, 25, 0], [900, 135, 0]]; 5];
        let mut design = guarded();
        design.control = Some(0);
        let first = said(&design, &days, Stage::Exposing);
        assert_eq!((first.action, first.arm), (Told::Promote, Some(0)));
        days.extend([[[100, 15, 0], [900, 234, 0]]; 5]);
        let turned = said(&design, &days, Stage::Last);
        assert_eq!(turned.reason_code, "INCONCLUSIVE_AT_DEADLINE", "{turned:?}");
        assert!(turned.against_control[1].is_some_and(|p| p > 0.05));
    }

    #[test]
    fn nobody_wins_before_there_are_enough() {
        let mut looks = looks(&[[[100, 10, 0], [900, 300, 0]]; 3]);
        let last = looks.last_mut().unwrap();
        last.spending_time = Fraction::saturating(0.5);
        let verdict = judge(&guarded(), &looks, Stage::Exposing).unwrap();
        assert_eq!(verdict.reason_code, "IMMATURE_OR_TOO_FEW_EVENTS");
        assert_eq!(verdict.boundary, None);
    }
}
