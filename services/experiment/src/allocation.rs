//! How a bandit divides new units, and when it does so anew.

use chrono::{DateTime, TimeDelta, Utc};
use cursus_statistics::assignment::Weights;
use cursus_statistics::bandit::{self, Cohort};
use cursus_statistics::{Fraction, Proportion, posterior};

use crate::design::{Bandit, Design, Direction, Rule, seconds};

/// In steps of this part of the window it is told how long ago units were exposed.
const STEPS: i32 = 200;

/// A way to divide new units, and since when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Allocation {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) start_time: DateTime<Utc>,
    /// In the order of the design; together 1.
    pub(crate) shares: Vec<f64>,
}

/// What is known of one arm, with units whose window is not over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) answered: u64,
    pub(crate) cohorts: Vec<Cohort>,
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

    /// When units are to be divided anew.
    pub(crate) fn end_time(&self, bandit: &Bandit) -> DateTime<Utc> {
        self.start_time + seconds(bandit.period_seconds)
    }

    /// The one that follows, from how likely each arm is the best; none while nothing is known of an arm.
    pub(crate) fn next(
        &self,
        design: &Design,
        arms: &[Known],
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, cursus_statistics::Error> {
        let Some(bandit) = design.bandit else { return Ok(None) };
        let curve = design.curve()?;
        let window = std::time::Duration::from_secs_f64(design.primary().window_seconds);
        let rate = |arm: &Known| {
            let mature = bandit::mature_units(&curve, window, &arm.cohorts);
            wanted(bandit::delayed(arm.answered, mature)?, design.primary().direction)
        };
        let Some(rates) = arms.iter().map(rate).collect::<Option<Vec<Proportion>>>() else {
            return Ok(None);
        };
        let (standing, floor) = (posterior::standing(&rates), Fraction::new(bandit.floor)?);
        let weights = match bandit.rule {
            Rule::Thompson => bandit::thompson(&standing, floor)?,
            Rule::TopTwo => bandit::top_two(&standing, floor)?,
        };
        let shares = weights.shares().collect();
        Ok(Some(Self { number: self.number + 1, start_time: now, shares }))
    }
}

/// The rate of what is wanted: of events, or of their absence.
fn wanted(rate: Proportion, direction: Direction) -> Option<Proportion> {
    match direction {
        Direction::Higher => Some(rate),
        Direction::Lower => Proportion::new(rate.trials() - rate.successes(), rate.trials()).ok(),
    }
}

/// How finely the age of units is told.
pub(crate) fn step(design: &Design) -> TimeDelta {
    (seconds(design.primary().window_seconds) / STEPS).max(TimeDelta::milliseconds(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::design::tests::bandit;

    fn known(answered: u64, hours: u64, units: u64) -> Known {
        Known { answered, cohorts: vec![Cohort { age: Duration::from_hours(hours), units }] }
    }

    fn shares(design: &Design, arms: &[Known]) -> Option<Vec<f64>> {
        let first = Allocation::first(design, DateTime::UNIX_EPOCH).unwrap();
        Some(first.next(design, arms, DateTime::UNIX_EPOCH).unwrap()?.shares)
    }

    #[test]
    fn the_better_arm_gets_more_and_no_arm_less_than_the_floor() {
        let mut design = bandit();
        let arms = [known(100, 500, 1_000), known(200, 500, 1_000)];
        let shares_of = |design: &Design| shares(design, &arms).unwrap();
        let thompson = shares_of(&design);
        assert!(thompson[1] > 0.94 && (thompson[0] - 0.05).abs() < 1e-6, "{thompson:?}");
        design.metrics[0].direction = Direction::Lower;
        let fewer = shares_of(&design);
        assert!(fewer[0] > 0.94, "{fewer:?}");
        design.bandit.as_mut().unwrap().rule = Rule::TopTwo;
        let both = shares_of(&design);
        assert!((both[0] - 0.5).abs() < 1e-9, "{both:?}");
    }

    #[test]
    fn an_arm_is_not_worse_for_units_that_had_no_time_to_answer() {
        let design = bandit();
        let old_and_new = [known(100, 500, 1_000), known(2, 0, 1_000)];
        assert_eq!(shares(&design, &[known(1, 500, 10), known(0, 0, 0)]), None);
        let fresh = shares(&design, &old_and_new);
        let ripe = shares(&design, &[known(100, 500, 1_000), known(2, 500, 1_000)]).unwrap();
        assert!(fresh.is_none_or(|shares| shares[1] > 0.2) && ripe[1] < 0.06, "{ripe:?}");
    }

    #[test]
    fn an_allocation_lasts_a_period() {
        let design = bandit();
        let first = Allocation::first(&design, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(first.shares, [0.5, 0.5]);
        let end = first.end_time(&design.bandit.unwrap());
        assert_eq!(end, DateTime::UNIX_EPOCH + TimeDelta::days(1));
    }
}
