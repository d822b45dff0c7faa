//! The scenarios of the acceptance file.

use std::error::Error;
use std::fs;
use std::path::Path;

use cursus_statistics::Fraction;
use cursus_statistics::assignment::Weights;
use cursus_statistics::monitor::Design;
use serde::Deserialize;

use crate::campaign::{Arrival, Campaign};
use crate::table::{Allowed, Row};

#[derive(Debug, Deserialize)]
pub(crate) struct Scenario {
    name: String,
    kind: Kind,
    p_a: f64,
    p_b: f64,
    n_a: u32,
    n_b: u32,
    reps: u32,
    gate: f64,
    timing_exponent: f64,
    looks: u32,
    measured: f64,
    mean_decision_maturity: f64,
    pass_if: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Type1,
    Power,
}

pub(crate) fn read(path: &Path) -> Result<Vec<Scenario>, Box<dyn Error>> {
    let scenarios: Vec<Scenario> = serde_json::from_str(&fs::read_to_string(path)?)?;
    if scenarios.is_empty() {
        return Err("the acceptance file has no scenarios".into());
    }
    Ok(scenarios)
}

/// Five per cent and three standard errors of as many replicates.
pub(crate) fn most_false_alarms(replicates: u32) -> f64 {
    0.05 + 3.0 * (0.05 * 0.95 / f64::from(replicates)).sqrt()
}

impl Scenario {
    pub(crate) fn run(&self) -> Result<Row, Box<dyn Error>> {
        let weights = Weights::new(vec![f64::from(self.n_a), f64::from(self.n_b)])?;
        let campaign = Campaign {
            design: Design {
                maturity_gate: Fraction::new(self.gate)?,
                ..Design::standard(weights)
            },
            rates: vec![self.p_a, self.p_b],
            sent: vec![self.n_a.into(), self.n_b.into()],
            exponent: self.timing_exponent,
            arrival: Arrival::AtOnce,
            looks: self.looks,
        };
        // The same dice whatever else is in the file.
        let seed = self.name.bytes().fold(7_u64, |seed, byte| seed * 31 % 65_521 + u64::from(byte));
        let outcomes = campaign.run(seed, self.reps.into())?;
        let (measured, allowed, latest) = match self.kind {
            Kind::Type1 => {
                let limit = Allowed::AtMost(most_false_alarms(self.reps));
                (outcomes.promoted.iter().sum(), limit, None)
            }
            Kind::Power => {
                let least = self.number_after(">=")?;
                let right = outcomes.promoted[usize::from(self.p_b > self.p_a)];
                (right, Allowed::AtLeast(least), Some(self.number_after("<=")?))
            }
        };
        Ok(Row {
            name: self.name.clone(),
            measured,
            designed: Some(self.measured),
            allowed,
            decided_at: Some((outcomes.decided_at, Some(self.mean_decision_maturity), latest)),
            replicates: self.reps.into(),
            looks: outcomes.looks,
            seconds: outcomes.judging.as_secs_f64(),
        })
    }

    fn number_after(&self, sign: &str) -> Result<f64, Box<dyn Error>> {
        let (_, after) = self.pass_if.split_once(sign).ok_or("a limit is missing")?;
        Ok(after.split_whitespace().next().ok_or("a limit is missing")?.parse()?)
    }
}
