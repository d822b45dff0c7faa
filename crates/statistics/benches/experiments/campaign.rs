//! One simulated campaign: who answers and when, and what is counted at each look.

use std::time::{Duration, Instant};

use cursus_statistics::monitor::{
    Action, ArmCounts, Decision, Design, Evidence, Look, Reason, Sending, assess, replay,
};
use cursus_statistics::response::{Batch, ResponseCurve, spending_time};
use cursus_statistics::{Error, Fraction};
use rand::RngExt;

use crate::crowd::{self, Dice};

const WINDOW: Duration = Duration::from_hours(24);
/// Ages are rounded, and a look meant to be at the gate must not fall short of it.
const INSTANT: Duration = Duration::from_micros(1);
/// One in this many replicates is also judged look by look, which must give the same decisions.
const CHECKED: u64 = 2_000;

/// When mails leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// All at the start; outcomes mature.
    AtOnce,
    /// Evenly until the end; outcomes are immediate.
    Streaming,
}

/// A kind of campaign.
#[derive(Debug, Clone)]
pub(crate) struct Campaign {
    pub(crate) design: Design,
    pub(crate) rates: Vec<f64>,
    pub(crate) sent: Vec<u64>,
    /// The last arm's answers come after `maturity^exponent`: sooner when below 1.
    pub(crate) exponent: f64,
    pub(crate) arrival: Arrival,
    pub(crate) looks: u32,
}

/// What became of many replicates.
pub(crate) struct Outcomes {
    /// How often each arm was promoted as significantly best.
    pub(crate) promoted: Vec<f64>,
    /// Mean maturity at the decision, 1 without one.
    pub(crate) decided_at: f64,
    pub(crate) looks: u64,
    /// Spent judging, over all cores.
    pub(crate) judging: Duration,
}

struct Outcome {
    winner: Option<usize>,
    at: f64,
    looks: u64,
    judging: Duration,
}

impl Campaign {
    pub(crate) fn run(&self, seed: u64, replicates: u64) -> Result<Outcomes, Error> {
        let clock = Clock::new(self.looks)?;
        let outcomes = crowd::run(seed, replicates, |dice, number| {
            self.replicate(&clock, dice, number % CHECKED == 0)
        });
        let mut sum = Outcomes {
            promoted: vec![0.0; self.rates.len()],
            decided_at: 0.0,
            looks: 0,
            judging: Duration::ZERO,
        };
        let whole: f64 = outcomes.iter().map(|_| 1.0).sum();
        for outcome in outcomes {
            let outcome = outcome?;
            if let Some(winner) = outcome.winner {
                sum.promoted[winner] += 1.0 / whole;
            }
            sum.decided_at += outcome.at / whole;
            sum.looks += outcome.looks;
            sum.judging += outcome.judging;
        }
        Ok(sum)
    }

    fn replicate(&self, clock: &Clock, dice: &mut Dice, checked: bool) -> Result<Outcome, Error> {
        let looks = self.looks(clock, dice);
        let evidence = Evidence { looks: &looks, sending: Sending::Complete, guardrails: &[] };
        let began = Instant::now();
        let decisions = replay(&self.design, &evidence)?;
        let judging = began.elapsed();
        if checked {
            check(&self.design, &evidence, &decisions)?;
        }
        let decided = decisions.iter().find(|decision| is_promotion(decision));
        let at = decided.map_or(1.0, |decision| decision.spending_time.get());
        let winner = decided.and_then(|decision| decision.winner);
        Ok(Outcome { winner, at, looks: looks.len() as u64, judging })
    }

    /// What is counted at every look.
    pub(crate) fn looks(&self, clock: &Clock, dice: &mut Dice) -> Vec<Look> {
        let arms: Vec<Vec<ArmCounts>> =
            (0..self.rates.len()).map(|arm| self.counts(arm, clock, dice)).collect();
        let look = |(index, time): (usize, &Fraction)| Look {
            spending_time: *time,
            arms: arms.iter().map(|counts| counts[index]).collect(),
        };
        clock.times.iter().enumerate().map(look).collect()
    }

    fn counts(&self, arm: usize, clock: &Clock, dice: &mut Dice) -> Vec<ArmCounts> {
        let is_last = arm + 1 == self.rates.len();
        let exponent = if is_last { self.exponent } else { 1.0 };
        let mut counts =
            vec![ArmCounts { sent: 0, responders: 0, early_responders: 0 }; clock.times.len()];
        for _ in 0..self.sent[arm] {
            let first = match self.arrival {
                Arrival::AtOnce => 0,
                Arrival::Streaming => clock.first_look(dice.random()),
            };
            counts[first].sent += 1;
            if dice.random::<f64>() >= self.rates[arm] {
                continue;
            }
            let (seen, early) = match self.arrival {
                Arrival::AtOnce => {
                    let maturity = dice.random::<f64>().powf(1.0 / exponent);
                    (clock.first_look(maturity), maturity <= clock.early)
                }
                Arrival::Streaming => (first, true),
            };
            counts[seen].responders += 1;
            counts[seen].early_responders += u64::from(early);
        }
        for index in 1..counts.len() {
            let before = counts[index - 1];
            counts[index].sent += before.sent;
            counts[index].responders += before.responders;
            counts[index].early_responders += before.early_responders;
        }
        counts
    }
}

/// When looks are taken: evenly by the answers expected, the last at the deadline.
pub(crate) struct Clock {
    times: Vec<Fraction>,
    /// The maturity that parts early answers from late ones.
    early: f64,
}

impl Clock {
    /// By the clock of the real thing: opens within a day.
    pub(crate) fn new(looks: u32) -> Result<Self, Error> {
        let curve = ResponseCurve::OPENS;
        let within_window = curve.answered_within(WINDOW).get();
        let batch = [Batch { sent_after: Duration::ZERO, recipients: 1 }];
        let time = |look: u32| {
            let share = f64::from(look) / f64::from(looks);
            let age = curve.age_at(Fraction::saturating(share * within_window));
            spending_time(&curve, &batch, age.saturating_add(INSTANT).min(WINDOW), WINDOW)
        };
        let times = (1..=looks).map(time).collect::<Result<Vec<Fraction>, Error>>()?;
        let early = curve.answered_within(curve.early_age(WINDOW)).get() / within_window;
        Ok(Self { times, early })
    }

    /// The first look at which what happens at this maturity is seen.
    fn first_look(&self, maturity: f64) -> usize {
        self.times.partition_point(|time| time.get() < maturity).min(self.times.len() - 1)
    }
}

/// Whether an arm is declared significantly best.
pub(crate) fn is_promotion(decision: &Decision) -> bool {
    decision.action == Action::Promote && decision.reason == Reason::SignificantBest
}

/// A replay must decide at every look what was decided then.
pub(crate) fn check(
    design: &Design,
    evidence: &Evidence<'_>,
    decisions: &[Decision],
) -> Result<(), Error> {
    for (number, decision) in (1..).zip(decisions) {
        let seen = Evidence { looks: &evidence.looks[..number], ..*evidence };
        let verdict = assess(design, &seen)?;
        assert_eq!(
            (decision.action, &decision.reason, decision.winner),
            (verdict.action, &verdict.reason, verdict.winner),
            "look {number}"
        );
    }
    Ok(())
}
