//! How an experiment is run: what may be asked for, and the digest that an approval is about.

mod bandit;
mod metric;

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use cursus_ids::{ArmId, ExperimentId};
use cursus_statistics::anytime::NormalMixture;
use cursus_statistics::assignment::Weights;
use cursus_statistics::monitor::{self, WhenInconclusive as Policy};
use cursus_statistics::response::ResponseCurve;
use cursus_statistics::{Alpha, Fraction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use self::bandit::{Bandit, Rule};
pub(crate) use self::metric::{Direction, Kind, Metric, OPENED, Role};

const MOST_ARMS: usize = 10;
const MOST_METRICS: usize = 20;
const MOST_HELD_OUT: f64 = 0.5;
/// The names of events and properties.
const LONGEST_NAME: usize = 128;
const LONGEST_LABEL: usize = 1_024;
pub(crate) const LABEL: &str = "use at most 1,024 bytes without control characters";
pub(crate) const NAME: &str = "use 1 to 128 bytes without control characters";
/// Arms that differ more than this are a slip of the finger.
const WIDEST_WEIGHTS: f64 = 1e6;
pub(crate) const LONGEST_WINDOW: TimeDelta = TimeDelta::days(366);
const USUAL_GATE: f64 = 0.8;
const EARLIEST_GATE: f64 = 0.5;
/// What a test without a deadline is judged on at least: a whole week, as people differ by its days.
pub(crate) const SHORTEST_RUN: Duration = Duration::from_hours(7 * 24);

/// How an experiment is run. Its JSON is canonical: fields in this order and no maps. Those that came later are left out
/// where they are as usual, so that a design that was approved before keeps its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Design {
    pub(crate) arms: Vec<Arm>,
    /// The incumbent's place among the arms.
    pub(crate) control: Option<usize>,
    pub(crate) holdout_share: f64,
    pub(crate) test_share: f64,
    /// The first one decides.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) alpha: f64,
    pub(crate) decision_seconds: f64,
    pub(crate) response_median_seconds: f64,
    pub(crate) response_log_sd: f64,
    pub(crate) when_inconclusive: WhenInconclusive,
    #[serde(default, skip_serializing_if = "Method::is_usual")]
    pub(crate) method: Method,
    #[serde(default = "usual_gate", skip_serializing_if = "is_usual_gate")]
    pub(crate) maturity_gate: f64,
    /// Empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) layer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layer_share: Option<f64>,
    /// Empty to hold out anew.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) holdout_period: String,
    /// Whether it is counted elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) aggregated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bandit: Option<Bandit>,
}

/// What a lead is held against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Method {
    #[default]
    GroupSequential,
    /// Sharpest when so many units have an event.
    Anytime { expected_events: u32 },
}

impl Method {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::GroupSequential
    }
}

pub(crate) fn usual_gate() -> f64 {
    USUAL_GATE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_usual_gate(gate: &f64) -> bool {
    (gate - USUAL_GATE).abs() <= 0.0
}

/// One of the things compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arm {
    pub(crate) id: ArmId,
    pub(crate) display_name: String,
    pub(crate) weight: f64,
}

impl Arm {
    /// What people call it.
    pub(crate) fn title(&self) -> &str {
        if self.display_name.is_empty() { self.id.as_ref() } else { &self.display_name }
    }
}

/// What to do at the deadline when the data decide nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WhenInconclusive {
    Hold,
    PosteriorBest,
    Control,
}

/// What is wrong with a design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) field: String,
    pub(crate) why: &'static str,
}

fn require(condition: bool, field: impl Into<String>, why: &'static str) -> Result<(), Malformed> {
    if condition { Ok(()) } else { Err(Malformed { field: field.into(), why }) }
}

impl Design {
    /// Whether it can be run.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        require((1..=MOST_ARMS).contains(&self.arms.len()), "arms", "there must be 1 to 10")?;
        let mut ids = HashSet::new();
        for (index, arm) in self.arms.iter().enumerate() {
            let field = |name: &str| format!("arms[{index}].{name}");
            let is_new = ids.insert(arm.id.as_ref());
            require(is_lower(arm.id.as_ref()), field("arm_id"), "use lower case")?;
            require(is_new, field("arm_id"), "another arm has it")?;
            require(is_label(&arm.display_name), field("display_name"), LABEL)?;
            let is_sane = (1.0 / WIDEST_WEIGHTS..=WIDEST_WEIGHTS).contains(&arm.weight);
            require(is_sane, field("weight"), "it must be positive, from 0.000001 to 1000000")?;
        }
        let is_share = (0.0..=MOST_HELD_OUT).contains(&self.holdout_share);
        require(is_share, "holdout_share", "it must be 0 to 0.5")?;
        let is_share = self.test_share > 0.0 && self.test_share <= 1.0;
        require(is_share, "test_share", "it must be above 0, and 1 at most")?;
        let count = self.metrics.len();
        require((1..=MOST_METRICS).contains(&count), "metrics", "there must be 1 to 20")?;
        let mut ids = HashSet::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            let is_new = ids.insert(metric.id.as_ref());
            require(is_new, format!("metrics[{index}].metric_id"), "another metric has it")?;
            metric.check(index)?;
            let is_known = !self.aggregated || metric.covariate_seconds.is_none();
            let why = "what units did before is not known where they are counted elsewhere";
            require(is_known, format!("metrics[{index}].covariate_window"), why)?;
        }
        let is_shown = self.primary().role == Role::Shown;
        require(is_shown, "metrics[0].role", "the first metric decides, so it does not guard")?;
        self.check_analysis()
    }

    fn check_analysis(&self) -> Result<(), Malformed> {
        // A laxer test than this is none; a stricter one than this is beyond what the boundaries can tell apart.
        let is_alpha = (1e-6..=0.5).contains(&self.alpha);
        require(is_alpha, "alpha", "it must be 0.000001 to 0.5")?;
        let why = "it must be positive, and 366 days at most";
        self.check_layer()?;
        self.check_bandit()?;
        let has_window = is_window(self.decision_seconds) || self.is_open_ended();
        require(has_window, "decision_window", why)?;
        let why = "a test without a deadline has none: leave it empty";
        let is_free = !self.is_open_ended() || self.decision_seconds.abs() <= 0.0;
        require(is_free, "decision_window", why)?;
        let is_gate = (EARLIEST_GATE..=1.0).contains(&self.maturity_gate);
        require(is_gate, "maturity_gate", "it must be 0.5 to 1")?;
        let why = "a test without a deadline counts units whose window is over: leave it empty";
        let is_free = !self.is_open_ended() || is_usual_gate(&self.maturity_gate);
        require(is_free, "maturity_gate", why)?;
        require(is_window(self.response_median_seconds), "response_median", why)?;
        let is_spread = (0.01..=10.0).contains(&self.response_log_sd);
        require(is_spread, "response_log_sd", "it must be 0.01 to 10")?;
        let needs_control = self.when_inconclusive == WhenInconclusive::Control;
        let why = "the control can only be recommended if there is one: name `control_arm`";
        require(!needs_control || self.control.is_some(), "inconclusive_policy", why)
    }

    fn check_layer(&self) -> Result<(), Malformed> {
        let is_id = |id: &str| id.parse::<ExperimentId>().is_ok() && is_lower(id);
        let why = "use an identifier in lower case";
        require(self.layer.is_empty() || is_id(&self.layer), "layer", why)?;
        let is_free = self.holdout_period.is_empty();
        require(is_free || is_id(&self.holdout_period), "holdout_period", why)?;
        let why = "without a share that is held out there is nothing to share";
        require(is_free || self.has_holdout(), "holdout_period", why)?;
        match self.layer_share {
            Some(share) if self.layer.is_empty() || !(share > 0.0 && share <= 1.0) => {
                let why = "it must be above 0, and 1 at most, and only with a `layer`";
                require(false, "layer_share", why)
            }
            None if !self.layer.is_empty() => {
                require(false, "layer_share", "say which share of the layer is needed")
            }
            _ => Ok(()),
        }
    }

    /// What an approval is about. `assignments` is the digest of what was imported.
    pub(crate) fn digest(&self, assignments: &[u8]) -> Vec<u8> {
        let design = serde_json::to_vec(self).expect("a design has no map and no foreign type");
        Sha256::new()
            .chain_update(b"cursus.experiment.design/1\0")
            .chain_update(u64::try_from(design.len()).unwrap_or(u64::MAX).to_be_bytes())
            .chain_update(design)
            .chain_update(assignments)
            .finalize()
            .to_vec()
    }

    pub(crate) fn arm(&self, id: &str) -> Option<usize> {
        self.arms.iter().position(|arm| arm.id.as_ref() == id)
    }

    /// The metric that decides.
    pub(crate) fn primary(&self) -> &Metric {
        self.metrics.first().expect("a checked design has a metric")
    }

    pub(crate) fn weights(&self) -> Result<Weights, cursus_statistics::Error> {
        Weights::new(self.arms.iter().map(|arm| arm.weight).collect())
    }

    /// The shares of all arms together and of the holdout.
    pub(crate) fn tested_and_held_out(&self) -> Result<Weights, cursus_statistics::Error> {
        let tested = (1.0 - self.holdout_share) * self.test_share;
        Weights::new(vec![tested, self.holdout_share])
    }

    pub(crate) fn has_holdout(&self) -> bool {
        self.holdout_share > 0.0
    }

    pub(crate) fn alpha(&self) -> Result<Alpha, cursus_statistics::Error> {
        Alpha::new(self.alpha)
    }

    pub(crate) fn test_fraction(&self) -> Fraction {
        Fraction::saturating(self.test_share)
    }

    pub(crate) fn curve(&self) -> Result<ResponseCurve, cursus_statistics::Error> {
        let median = Duration::from_secs_f64(self.response_median_seconds);
        ResponseCurve::new(median, self.response_log_sd)
    }

    /// Whether it goes on until somebody ends it.
    pub(crate) fn is_open_ended(&self) -> bool {
        matches!(self.method, Method::Anytime { .. })
    }

    /// The rules of the statistics.
    pub(crate) fn rules(&self) -> Result<monitor::Design, cursus_statistics::Error> {
        let (weights, alpha) = (self.weights()?, self.alpha()?);
        let standard = match self.method {
            Method::GroupSequential => monitor::Design {
                maturity_gate: Fraction::saturating(self.maturity_gate),
                ..monitor::Design::standard(weights)
            },
            Method::Anytime { expected_events } => {
                let mixture = NormalMixture::sharpest_at(f64::from(expected_events), alpha)?;
                monitor::Design::open_ended(weights, mixture)
            }
        };
        Ok(monitor::Design {
            control: self.control,
            alpha,
            when_inconclusive: match self.when_inconclusive {
                WhenInconclusive::Hold => Policy::Human,
                WhenInconclusive::PosteriorBest => Policy::PosteriorBest,
                WhenInconclusive::Control => Policy::Control,
            },
            ..standard
        })
    }

    /// The guardrails, with their places among the metrics.
    pub(crate) fn guardrails(&self) -> impl Iterator<Item = (usize, &Metric)> {
        self.metrics.iter().enumerate().filter(|(_, metric)| metric.role == Role::Guardrail)
    }

    /// How long after its exposure a unit's answers matter to the verdict.
    pub(crate) fn answering_seconds(&self) -> f64 {
        let window = self.primary().window_seconds;
        if self.is_open_ended() { window } else { window.min(self.decision_seconds) }
    }

    /// How soon after its exposure a unit's answer is early, in seconds.
    pub(crate) fn early_seconds(&self) -> Result<f64, cursus_statistics::Error> {
        let window = Duration::from_secs_f64(self.answering_seconds());
        Ok(self.curve()?.early_age(window).as_secs_f64())
    }

    /// How long after the last exposure the last answer that counts may come.
    pub(crate) fn decision_window(&self) -> TimeDelta {
        if self.is_open_ended() {
            seconds(self.primary().window_seconds)
        } else {
            seconds(self.decision_seconds)
        }
    }
}

/// As a length of time; a checked design's seconds fit.
pub(crate) fn seconds(seconds: f64) -> TimeDelta {
    TimeDelta::from_std(Duration::from_secs_f64(seconds)).unwrap_or(LONGEST_WINDOW)
}

fn is_lower(id: &str) -> bool {
    !id.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Whether it may name an event or a property.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control)
}

/// Whether it may be shown to people.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= LONGEST_LABEL && !text.contains(char::is_control)
}

fn is_window(seconds: f64) -> bool {
    seconds > 0.0 && seconds <= LONGEST_WINDOW.as_seconds_f64()
}

#[cfg(test)]
pub(crate) mod tests;
