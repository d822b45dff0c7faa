//! What an experiment can find, and how soon, before anybody is exposed.

use std::time::Duration;

use cursus_statistics::Error;
use cursus_statistics::power::{Effect, SEQUENTIAL_INFLATION, power, test_and_roll};
use serde::{Deserialize, Serialize};

use crate::design::{Design, Kind, SHORTEST_RUN};

/// How sure one wants to be to find a difference that is there.
const POWER: f64 = 0.8;
/// Differences between mails are of this size as a rule, relative to their rate.
const USUAL_LIFT: f64 = 0.1;
const ARM_COUNTS: std::ops::RangeInclusive<u32> = 2..=10;

/// What is expected of an experiment. Not part of its design: nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expectation {
    pub(crate) audience: u32,
    pub(crate) rate: f64,
}

/// What it can find.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sizing {
    pub(crate) design: Option<Size>,
    pub(crate) by_arm_count: Vec<Size>,
    pub(crate) to_maturity: Duration,
    pub(crate) test_and_roll_units: Option<u64>,
}

/// With some number of arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Size {
    pub(crate) arms: u32,
    /// Of the smallest.
    pub(crate) units: u64,
    pub(crate) detectable: Option<f64>,
    pub(crate) power: f64,
}

/// Computed from the design and the expectation alone, so it need not be stored.
pub(crate) fn sizing(design: &Design, expectation: Option<Expectation>) -> Result<Sizing, Error> {
    let mut sizing = Sizing {
        design: None,
        by_arm_count: Vec::new(),
        to_maturity: to_maturity(design)?,
        test_and_roll_units: None,
    };
    let Some(expected) = expectation.filter(|_| design.primary().kind == Kind::Conversion) else {
        return Ok(sizing);
    };
    let others = f64::from(expected.audience) * (1.0 - design.holdout_share);
    let tested = others * design.test_share;
    let weights = design.weights()?;
    let smallest = weights.shares().fold(1.0, f64::min);
    if design.arms.len() > 1 {
        let arms = u32::try_from(design.arms.len()).unwrap_or(u32::MAX);
        sizing.design = Some(size(design, expected.rate, arms, tested * smallest)?);
    }
    for arms in ARM_COUNTS {
        let units = tested / f64::from(arms);
        sizing.by_arm_count.push(size(design, expected.rate, arms, units)?);
    }
    let response = (expected.rate * (1.0 - expected.rate)).sqrt();
    let units = test_and_roll(whole(others), response, USUAL_LIFT * expected.rate)?;
    sizing.test_and_roll_units = Some(whole(units.round()));
    Ok(sizing)
}

/// From the last exposure until enough answers are in. Without a deadline that is a week, and the window of the last.
fn to_maturity(design: &Design) -> Result<Duration, Error> {
    if design.is_open_ended() {
        return Ok(SHORTEST_RUN.max(Duration::from_secs_f64(design.answering_seconds())));
    }
    let window = Duration::from_secs_f64(design.decision_seconds);
    let curve = design.curve()?;
    let expected = curve.answered_within(window).get() * design.maturity_gate;
    Ok(curve.age_at(cursus_statistics::Fraction::saturating(expected)).min(window))
}

fn size(design: &Design, rate: f64, arms: u32, units: f64) -> Result<Size, Error> {
    let found = |arm: f64| of_power(design, rate, arm, units);
    let mut size = Size { arms, units: whole(units), detectable: None, power: 0.0 };
    if size.units == 0 {
        return Ok(size);
    }
    let better = rate * (1.0 + USUAL_LIFT);
    if better < 1.0 {
        size.power = found(better)?;
    }
    let (mut small, mut large) = (rate, 1.0 - 1e-9);
    if large <= small || found(large)? < POWER {
        return Ok(size);
    }
    // Power grows with the difference; 60 halvings are more than a number has digits.
    for _ in 0..60 {
        let middle = f64::midpoint(small, large);
        if middle > rate && found(middle)? >= POWER {
            large = middle;
        } else {
            small = middle;
        }
    }
    size.detectable = Some(large - rate);
    Ok(size)
}

/// How likely a monitored test of two arms finds the difference.
fn of_power(design: &Design, rate: f64, arm: f64, units: f64) -> Result<f64, Error> {
    let effective = whole(units / SEQUENTIAL_INFLATION).max(1);
    let effect = Effect::new(rate, arm)?;
    Ok(power(effect, effective, effective, design.alpha()?)?.get())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an audience is of a few thousand million at most"
)]
fn whole(units: f64) -> u64 {
    units.max(0.0).floor() as u64
}

impl Sizing {
    pub(crate) fn minutes_to_maturity(&self) -> u64 {
        self.to_maturity.as_secs().div_ceil(60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::tests::design;

    fn of(audience: u32, rate: f64) -> Sizing {
        let mut design = design();
        design.holdout_share = 0.0;
        sizing(&design, Some(Expectation { audience, rate })).unwrap()
    }

    #[test]
    fn the_detectable_effects_are_those_of_the_published_tables() {
        // By the documents: opens of 20 % with 5,000 in each arm, clicks of 2 % with 10,000.
        let opens = of(10_000, 0.2).design.unwrap();
        assert!((opens.detectable.unwrap() - 0.024).abs() < 0.001, "{opens:?}");
        let clicks = of(20_000, 0.02).design.unwrap();
        assert!((clicks.detectable.unwrap() - 0.0061).abs() < 0.0002, "{clicks:?}");
        assert!(clicks.power < 0.25);
    }

    #[test]
    fn more_arms_find_less_and_fewer_people_nothing() {
        let sizing = of(10_000, 0.2);
        assert_eq!(sizing.by_arm_count.len(), 9);
        let mut before = 0.0;
        for size in &sizing.by_arm_count {
            assert!(size.detectable.unwrap() > before, "{size:?}");
            before = size.detectable.unwrap();
        }
        let hopeless = of(4, 0.5).design.unwrap();
        assert_eq!((hopeless.units, hopeless.detectable), (2, None));
        assert!(of(0, 0.5).design.unwrap().power <= 0.0);
    }

    #[test]
    fn maturity_comes_at_the_gate_of_the_curve() {
        // By the documents: 6.8 hours of a day at four fifths, 2.2 at a half.
        let usual = sizing(&design(), None).unwrap();
        let hours = |sizing: &Sizing| sizing.to_maturity.as_secs_f64() / 3_600.0;
        assert!((hours(&usual) - 6.8).abs() < 0.1, "{}", hours(&usual));
        let mut fast = design();
        fast.maturity_gate = 0.5;
        let fast = sizing(&fast, None).unwrap();
        assert!((hours(&fast) - 2.2).abs() < 0.1, "{}", hours(&fast));
        assert_eq!((fast.design, fast.test_and_roll_units), (None, None));
    }
}
