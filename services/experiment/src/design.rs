//! How an experiment is run: what may be asked for, and the digest that an approval is about.

use std::collections::HashSet;

use chrono::TimeDelta;
use cursus_ids::{ArmId, MetricId};
use cursus_statistics::assignment::Weights;
use cursus_statistics::response::ResponseCurve;
use cursus_statistics::{Alpha, Fraction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MOST_ARMS: usize = 10;
const MOST_METRICS: usize = 20;
const MOST_EVENTS: usize = 20;
const MOST_HELD_OUT: f64 = 0.5;
/// The names of events and properties.
const LONGEST_NAME: usize = 128;
const LONGEST_LABEL: usize = 1_024;
pub(crate) const LABEL: &str = "use at most 1,024 bytes without control characters";
pub(crate) const NAME: &str = "use 1 to 128 bytes without control characters";
/// Arms that differ more than this are a slip of the finger.
const WIDEST_WEIGHTS: f64 = 1e6;
const LONGEST_WINDOW: TimeDelta = TimeDelta::days(366);

/// How an experiment is run. Its JSON is canonical: fields in this order and no maps.
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

/// Something counted for every unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) id: MetricId,
    pub(crate) display_name: String,
    pub(crate) kind: Kind,
    pub(crate) events: Vec<String>,
    pub(crate) window_seconds: f64,
}

impl Metric {
    pub(crate) fn title(&self) -> &str {
        if self.display_name.is_empty() { self.id.as_ref() } else { &self.display_name }
    }

    /// The property that is summed; empty for a conversion.
    pub(crate) fn property(&self) -> &str {
        match &self.kind {
            Kind::Conversion => "",
            Kind::Revenue { property } => property,
        }
    }
}

/// What is computed for a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Conversion,
    Revenue { property: String },
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
        }
        self.check_analysis()
    }

    fn check_analysis(&self) -> Result<(), Malformed> {
        // A laxer test than this is none; a stricter one than this is beyond what the boundaries can tell apart.
        let is_alpha = (1e-6..=0.5).contains(&self.alpha);
        require(is_alpha, "alpha", "it must be 0.000001 to 0.5")?;
        let why = "it must be positive, and 366 days at most";
        require(is_window(self.decision_seconds), "decision_window", why)?;
        require(is_window(self.response_median_seconds), "response_median", why)?;
        let is_spread = (0.01..=10.0).contains(&self.response_log_sd);
        require(is_spread, "response_log_sd", "it must be 0.01 to 10")?;
        let needs_control = self.when_inconclusive == WhenInconclusive::Control;
        let why = "the control can only be recommended if there is one: name `control_arm`";
        require(!needs_control || self.control.is_some(), "inconclusive_policy", why)
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
        let median = std::time::Duration::from_secs_f64(self.response_median_seconds);
        ResponseCurve::new(median, self.response_log_sd)
    }

    /// How soon after its exposure a unit's answer is early, in seconds.
    pub(crate) fn early_seconds(&self) -> Result<f64, cursus_statistics::Error> {
        let window = self.primary().window_seconds.min(self.decision_seconds);
        let window = std::time::Duration::from_secs_f64(window);
        Ok(self.curve()?.early_age(window).as_secs_f64())
    }

    pub(crate) fn decision_window(&self) -> TimeDelta {
        seconds(self.decision_seconds)
    }
}

impl Metric {
    fn check(&self, index: usize) -> Result<(), Malformed> {
        let field = |name: &str| format!("metrics[{index}].{name}");
        require(is_lower(self.id.as_ref()), field("metric_id"), "use lower case")?;
        require(is_label(&self.display_name), field("display_name"), LABEL)?;
        let are_some = (1..=MOST_EVENTS).contains(&self.events.len());
        require(are_some, field("events"), "there must be 1 to 20")?;
        let mut events = HashSet::new();
        for (place, event) in self.events.iter().enumerate() {
            let field = format!("metrics[{index}].events[{place}]");
            require(is_name(event), &field, NAME)?;
            require(events.insert(event), &field, "it is named twice")?;
        }
        if let Kind::Revenue { property } = &self.kind {
            require(is_name(property), field("property"), NAME)?;
        }
        let why = "it must be positive, and 366 days at most";
        require(is_window(self.window_seconds), field("window"), why)
    }
}

/// As a length of time; a checked design's seconds fit.
pub(crate) fn seconds(seconds: f64) -> TimeDelta {
    TimeDelta::from_std(std::time::Duration::from_secs_f64(seconds)).unwrap_or(LONGEST_WINDOW)
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
pub(crate) mod tests {
    use super::*;

    /// Two arms, a holdout, a conversion that decides and a revenue beside it.
    pub(crate) fn design() -> Design {
        let arm = |id: &str, weight| Arm {
            id: id.parse().unwrap(),
            display_name: format!("{id}'s mail"),
            weight,
        };
        let metric = |id: &str, event: &str, kind| Metric {
            id: id.parse().unwrap(),
            display_name: String::new(),
            kind,
            events: vec![event.to_owned()],
            window_seconds: 1_209_600.0,
        };
        let property = "amount".to_owned();
        Design {
            arms: vec![arm("men", 1.0), arm("women", 1.0)],
            control: None,
            holdout_share: 0.2,
            test_share: 1.0,
            metrics: vec![
                metric("visits", "site.visited", Kind::Conversion),
                metric("revenue", "purchase", Kind::Revenue { property }),
            ],
            alpha: 0.05,
            decision_seconds: 86_400.0,
            response_median_seconds: 9_000.0,
            response_log_sd: 1.5,
            when_inconclusive: WhenInconclusive::Hold,
        }
    }

    #[test]
    fn a_sound_design_is_accepted() {
        assert_eq!(design().check(), Ok(()));
    }

    #[test]
    fn each_fault_names_its_field() {
        type Fault = fn(&mut Design);
        let faults: [(&str, Fault); 15] = [
            ("arms", |it| it.arms.clear()),
            ("arms[1].arm_id", |it| it.arms[1].id = it.arms[0].id.clone()),
            ("arms[0].arm_id", |it| it.arms[0].id = "Men".parse().unwrap()),
            ("arms[1].weight", |it| it.arms[1].weight = 0.0),
            ("arms[0].weight", |it| it.arms[0].weight = f64::NAN),
            ("holdout_share", |it| it.holdout_share = 0.51),
            ("test_share", |it| it.test_share = 0.0),
            ("metrics", |it| it.metrics.clear()),
            ("metrics[1].metric_id", |it| it.metrics[1].id = it.metrics[0].id.clone()),
            ("metrics[0].events", |it| it.metrics[0].events.clear()),
            ("metrics[1].property", |it| {
                it.metrics[1].kind = Kind::Revenue { property: String::new() };
            }),
            ("metrics[0].window", |it| it.metrics[0].window_seconds = 0.0),
            ("alpha", |it| it.alpha = 1.0),
            ("decision_window", |it| it.decision_seconds = -1.0),
            ("inconclusive_policy", |it| it.when_inconclusive = WhenInconclusive::Control),
        ];
        for (field, spoil) in faults {
            let mut design = design();
            spoil(&mut design);
            assert_eq!(design.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn the_digest_changes_with_the_design_and_with_what_was_imported() {
        let digest = design().digest(&[1; 32]);
        assert_eq!(digest, design().digest(&[1; 32]));
        assert_ne!(digest, design().digest(&[2; 32]));
        let mut other = design();
        other.arms[1].weight = 2.0;
        assert_ne!(digest, other.digest(&[1; 32]));
    }

    #[test]
    fn a_design_survives_the_way_through_its_json() {
        let json = serde_json::to_value(design()).unwrap();
        assert_eq!(serde_json::from_value::<Design>(json).unwrap(), design());
    }

    #[test]
    fn the_holdout_is_taken_from_everybody_and_the_test_from_the_others() {
        let design = Design { test_share: 0.25, ..design() };
        let shares: Vec<f64> = design.tested_and_held_out().unwrap().shares().collect();
        for (share, expected) in shares.iter().zip([0.5, 0.5]) {
            assert!((share - expected).abs() < 1e-12, "{shares:?}");
        }
    }
}
