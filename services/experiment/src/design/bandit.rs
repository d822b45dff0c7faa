//! Bandits: arms that seem better get more of the new units.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Design, Kind, Malformed, Role, require, seconds};

/// With less an arm would never be heard of again.
const LOWEST_FLOOR: f64 = 0.02;
const SHORTEST_PERIOD: TimeDelta = TimeDelta::hours(6);
const LONGEST_PERIOD: TimeDelta = TimeDelta::days(30);

/// How new units are divided on the way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bandit {
    pub(crate) rule: Rule,
    /// The least share of an arm.
    pub(crate) floor: f64,
    pub(crate) period_seconds: f64,
}

impl Bandit {
    /// In which period after the start a moment is, from 0.
    pub(crate) fn period_of(&self, start: DateTime<Utc>, moment: DateTime<Utc>) -> f64 {
        ((moment - start).as_seconds_f64() / self.period_seconds).floor()
    }

    /// When the last period ends that is over at a moment.
    pub(crate) fn last_whole_period(
        &self,
        start: DateTime<Utc>,
        moment: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let periods = self.period_of(start, moment);
        if periods < 1.0 {
            return start.min(moment);
        }
        start + seconds(periods * self.period_seconds)
    }
}

/// How the shares follow from what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rule {
    Thompson,
    TopTwo,
}

impl Design {
    /// A bandit leaves only one comparison valid, so whatever needs another one is refused.
    pub(super) fn check_bandit(&self) -> Result<(), Malformed> {
        let Some(bandit) = self.bandit else { return Ok(()) };
        let field = |name: &str| format!("bandit.{name}");
        let highest = 1.0 / f64::from(u32::try_from(self.arms.len()).unwrap_or(u32::MAX));
        let is_floor = (LOWEST_FLOOR..=highest).contains(&bandit.floor);
        let why = "it must be 0.02 at least, and at most one over the number of arms";
        require(is_floor, field("floor"), why)?;
        let period = SHORTEST_PERIOD.as_seconds_f64()..=LONGEST_PERIOD.as_seconds_f64();
        let why = "it must be 6 hours at least, and 30 days at most";
        require(period.contains(&bandit.period_seconds), field("period"), why)?;
        require(self.arms.len() > 1, "bandit", "with one arm there is nothing to divide")?;
        let why = "it needs `METHOD_ANYTIME`: with a deadline, test a share and send the winner to the rest";
        require(self.is_open_ended(), "bandit", why)?;
        require(!self.aggregated, "bandit", "it cannot divide units that are counted elsewhere")?;
        let why = "under a bandit only a conversion decides: put one first";
        require(self.primary().kind == Kind::Conversion, "metrics[0].kind", why)?;
        for (index, metric) in self.metrics.iter().enumerate() {
            let guards = metric.role == Role::Guardrail;
            let why = "under a bandit only conversions guard";
            let is_sound = !guards || metric.kind == Kind::Conversion;
            require(is_sound, format!("metrics[{index}].kind"), why)?;
            let why = "under a bandit estimates are not compared: leave it empty";
            let is_free = metric.covariate_seconds.is_none();
            require(is_free, format!("metrics[{index}].covariate_window"), why)?;
        }
        Ok(())
    }
}
