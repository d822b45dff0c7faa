//! What is counted for every unit, and what for.

use std::collections::HashSet;

use cursus_ids::MetricId;
use serde::{Deserialize, Serialize};

use super::{LABEL, Malformed, NAME, is_label, is_lower, is_name, is_window, require};

const MOST_EVENTS: usize = 20;
/// What metrics of opens count.
pub(crate) const OPENED: &str = "email.opened";

/// Something counted for every unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) id: MetricId,
    pub(crate) display_name: String,
    pub(crate) kind: Kind,
    pub(crate) events: Vec<String>,
    pub(crate) window_seconds: f64,
    /// Of all but the first, which decides.
    #[serde(default, skip_serializing_if = "Role::is_usual")]
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Direction::is_usual")]
    pub(crate) direction: Direction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ceiling: Option<f64>,
    /// How long before its exposure a unit's events make its estimates sharper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) covariate_seconds: Option<f64>,
}

/// What a metric that does not decide is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    #[default]
    Shown,
    Guardrail,
}

impl Role {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::Shown
    }
}

/// What is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    #[default]
    Higher,
    Lower,
}

impl Direction {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::Higher
    }

    /// A difference, so that positive is better.
    pub(crate) fn gain(self, difference: f64) -> f64 {
        match self {
            Self::Higher => difference,
            Self::Lower => -difference,
        }
    }
}

impl Metric {
    /// Whether it counts opens, which a privacy proxy makes meaningless.
    pub(crate) fn counts_opens(&self) -> bool {
        self.events.iter().any(|event| event == OPENED)
    }

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

impl Metric {
    pub(super) fn check(&self, index: usize) -> Result<(), Malformed> {
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
        require(is_window(self.window_seconds), field("window"), why)?;
        require(self.covariate_seconds.is_none_or(is_window), field("covariate_window"), why)?;
        let Some(ceiling) = self.ceiling else { return Ok(()) };
        let has_ceiling = self.role == Role::Guardrail
            && self.kind == Kind::Conversion
            && self.direction == Direction::Lower;
        let why = "only guardrails that are conversions of which less is better have one";
        require(has_ceiling, field("ceiling"), why)?;
        let is_rate = ceiling > 0.0 && ceiling < 1.0;
        require(is_rate, field("ceiling"), "it must be above 0 and below 1")
    }
}
