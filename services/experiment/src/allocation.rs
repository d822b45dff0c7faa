//! How a bandit divides new units, and when it does so anew.

use chrono::{DateTime, TimeDelta, Utc};
use cursus_statistics::assignment::Weights;
use cursus_statistics::bandit::{self, Progress};
use cursus_statistics::{Fraction, Proportion, posterior};

use crate::design::{Bandit, Design, Direction, Rule};

/// What happened longer ago says little of now.
pub(crate) const LOOKS_BACK: TimeDelta = TimeDelta::days(90);

/// A way to divide new units, and since when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Allocation {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) start_time: DateTime<Utc>,
    /// In the order of the design; together 1.
    pub(crate) shares: Vec<f64>,
}

impl Allocation {
    /// As designed.
    pub(crate) fn first(
        design: &Design,
        now: DateTime<Utc>,
    ) -> Result<Self, cursus_statistics::Error> {
        Ok(Self { number: 1, start_time: now, shares: design.weights()?.shares().collect() })
    }

    pub(crate) fn weights(&self) -> Result<Weights, cursus_statistics::Error> {
        Weights::new(self.shares.clone())
    }

    /// Whether units are to be divided anew: with every period, counted from the start.
    pub(crate) fn is_over(
        &self,
        bandit: &Bandit,
        start: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> bool {
        bandit.period_of(start, now) > bandit.period_of(start, self.start_time)
    }

    /// The one that follows, from how likely each arm is the best; with the same shares while nothing is known of an arm.
    pub(crate) fn next(
        &self,
        design: &Design,
        known: &[Vec<Progress>],
        now: DateTime<Utc>,
    ) -> Result<Self, cursus_statistics::Error> {
        let direction = design.primary().direction;
        let rates: Option<Vec<Proportion>> = bandit::standardized(known)
            .and_then(|rates| rates.into_iter().map(|rate| wanted(rate, direction)).collect());
        let shares = match (rates, design.bandit) {
            (Some(rates), Some(bandit)) => shares(bandit, &rates)?,
            _ => self.shares.clone(),
        };
        Ok(Self { number: self.number + 1, start_time: now, shares })
    }
}

fn shares(bandit: Bandit, rates: &[Proportion]) -> Result<Vec<f64>, cursus_statistics::Error> {
    let (standing, floor) = (posterior::standing(rates), Fraction::new(bandit.floor)?);
    let weights = match bandit.rule {
        Rule::Thompson => bandit::thompson(&standing, floor)?,
        Rule::TopTwo => bandit::top_two(&standing, floor)?,
    };
    Ok(weights.shares().collect())
}

/// The rate of what is wanted: of events, or of their absence.
fn wanted(rate: Proportion, direction: Direction) -> Option<Proportion> {
    match direction {
        Direction::Higher => Some(rate),
        Direction::Lower => Proportion::new(rate.trials() - rate.successes(), rate.trials()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::tests::bandit;

    fn shares(design: &Design, stretches: &[[(u64, f64); 2]]) -> Vec<f64> {
        let first = Allocation::first(design, DateTime::UNIX_EPOCH).unwrap();
        let progress = |arms: &[(u64, f64); 2]| {
            arms.map(|(answered, mature)| Progress { answered, mature }).to_vec()
        };
        let known: Vec<_> = stretches.iter().map(progress).collect();
        let next = first.next(design, &known, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(next.number, 2);
        next.shares
    }

    #[test]
    fn the_better_arm_gets_more_and_no_arm_less_than_the_floor() {
        let mut design = bandit();
        let stretches = [[(100, 1_000.0), (200, 1_000.0)]];
        let thompson = shares(&design, &stretches);
        assert!(thompson[1] > 0.94 && (thompson[0] - 0.05).abs() < 1e-6, "{thompson:?}");
        design.metrics[0].direction = Direction::Lower;
        let fewer = shares(&design, &stretches);
        assert!(fewer[0] > 0.94, "{fewer:?}");
        design.bandit.as_mut().unwrap().rule = Rule::TopTwo;
        let both = shares(&design, &stretches);
        assert!((both[0] - 0.5).abs() < 1e-9, "{both:?}");
    }

    #[test]
    fn an_arm_that_had_its_units_at_better_times_gets_no_more_for_it() {
        let better_at_all_times = [[(96, 800.0), (20, 200.0)], [(120, 200.0), (900, 1_800.0)]];
        let shares = shares(&bandit(), &better_at_all_times);
        assert!(shares[0] > 0.9, "pooled, 22 % would stand against 46 %: {shares:?}");
    }

    #[test]
    fn while_nothing_is_known_of_an_arm_shares_stay() {
        assert_eq!(shares(&bandit(), &[]), [0.5, 0.5]);
        assert_eq!(shares(&bandit(), &[[(1, 10.0), (0, 0.0)]]), [0.5, 0.5]);
    }

    #[test]
    fn an_allocation_lasts_a_period_counted_from_the_start() {
        let bandit = bandit().bandit.unwrap();
        let start = DateTime::UNIX_EPOCH;
        let second = Allocation {
            number: 2,
            start_time: start + TimeDelta::hours(25),
            shares: vec![0.5, 0.5],
        };
        let is_over = |hours| second.is_over(&bandit, start, start + TimeDelta::hours(hours));
        assert!(!is_over(47) && is_over(48));
    }
}
