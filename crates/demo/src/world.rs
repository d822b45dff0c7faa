//! What the demo knows and the services do not: who the people are and how each of them will react.
//!
//! Everything is fixed before the campaign starts, so the report can be checked against it afterwards.

mod hillstrom;
mod synthetic;

use std::path::Path;

use cursus_api::{content, experiment, segmentation};

/// A contact list, the campaign it gets, and what the people will do.
pub struct World {
    /// For people.
    pub title: String,
    /// The attributes the workspace has.
    pub attributes: Vec<(&'static str, segmentation::AttributeKind)>,
    /// Everyone on the list.
    pub people: Vec<Person>,
    /// What they did before the campaign.
    pub history: Vec<segmentation::Event>,
    /// The segments; `people` know which of them they are in.
    pub segments: Vec<Segment>,
    /// What each arm reads.
    pub variants: Vec<Variant>,
    /// How the arms are compared.
    pub design: experiment::Design,
    /// Whether the arms come from a past experiment instead of from the hash.
    pub assigned: bool,
    /// Rows that must be refused, each with the reason.
    pub bad_rows: Vec<(segmentation::Contact, &'static str)>,
    /// Addresses the receiving server does not know.
    pub unknown_addresses: Vec<String>,
    /// Addresses that had unsubscribed before.
    pub unsubscribed: Vec<String>,
}

/// Somebody on the list.
pub struct Person {
    /// The contact's id.
    pub id: String,
    /// The address.
    pub email: String,
    /// What is known.
    pub attributes: Vec<(&'static str, segmentation::Value)>,
    /// For each of the world's segments, whether the person is in it.
    pub in_segment: Vec<bool>,
    /// The arm of the past experiment (`None` for its holdout), if there was one.
    pub assigned_arm: Option<usize>,
    /// What the person does after each arm's message, and last, when left alone.
    pub reactions: Vec<Reaction>,
}

/// What a person does.
#[derive(Clone, Copy, Default)]
pub struct Reaction {
    /// Loads the pictures.
    pub opens: bool,
    /// Follows the link; without a message, comes by.
    pub visits: bool,
    /// Spends this much; 0 for nothing.
    pub spend_cents: i64,
}

/// A segment and its rule.
pub struct Segment {
    /// Its id.
    pub id: &'static str,
    /// For people.
    pub display_name: &'static str,
    /// Who is in it.
    pub rule: segmentation::Rule,
}

/// An arm and its template.
pub struct Variant {
    /// The arm's and the template's id.
    pub arm: &'static str,
    /// For people.
    pub display_name: &'static str,
    /// A piece of its HTML that no other variant has.
    pub mark: &'static str,
    /// What it says.
    pub source: content::Source,
}

impl World {
    /// People made by a seeded generator.
    pub fn synthetic(seed: u64, people: usize) -> Self {
        synthetic::world(seed, people)
    }

    /// The customers of the `MineThatData` e-mail challenge: `hillstrom.csv`, or the folder it is in.
    pub fn hillstrom(path: &Path) -> anyhow::Result<Self> {
        hillstrom::world(path)
    }

    /// The reaction of somebody left alone comes after those to the arms.
    pub fn alone(&self) -> usize {
        self.variants.len()
    }
}

mod rule {
    //! Rules in a few words.

    use cursus_api::segmentation::{All, Comparison, Operator, Rule, Value, rule::Kind, value};

    pub(super) fn everyone() -> Rule {
        all([])
    }

    pub(super) fn all(rules: impl IntoIterator<Item = Rule>) -> Rule {
        Rule { kind: Some(Kind::All(All { rules: rules.into_iter().collect() })) }
    }

    pub(super) fn compare(attribute: &str, operator: Operator, value: Value) -> Rule {
        Rule {
            kind: Some(Kind::Comparison(Comparison {
                attribute: attribute.to_owned(),
                operator: operator.into(),
                value: Some(value),
            })),
        }
    }

    pub(super) fn number(number: f64) -> Value {
        Value { kind: Some(value::Kind::Number(number)) }
    }

    pub(super) fn text(text: &str) -> Value {
        Value { kind: Some(value::Kind::Text(text.to_owned())) }
    }

    pub(super) fn flag(flag: bool) -> Value {
        Value { kind: Some(value::Kind::Flag(flag)) }
    }
}

mod design {
    //! The metrics that both worlds are judged by.

    use cursus_api::experiment::{Arm, Metric, metric::Kind};
    use prost_types::Duration;

    pub(super) const WINDOW: Duration = Duration { seconds: 14 * 24 * 3600, nanos: 0 };

    pub(super) fn metrics() -> Vec<Metric> {
        vec![
            metric("visit", "Visits", Kind::Conversion, &["email.clicked", "site.visited"]),
            metric("conversion", "Conversions", Kind::Conversion, &["purchase"]),
            Metric {
                property: "amount".to_owned(),
                ..metric("revenue", "Revenue", Kind::Revenue, &["purchase"])
            },
            metric("open", "Opens", Kind::Conversion, &["email.opened"]),
        ]
    }

    fn metric(id: &str, display_name: &str, kind: Kind, events: &[&str]) -> Metric {
        Metric {
            metric_id: id.to_owned(),
            display_name: display_name.to_owned(),
            kind: kind.into(),
            events: events.iter().map(ToString::to_string).collect(),
            window: Some(WINDOW),
            ..Metric::default()
        }
    }

    pub(super) fn arms(variants: &[super::Variant]) -> Vec<Arm> {
        variants
            .iter()
            .map(|variant| Arm {
                arm_id: variant.arm.to_owned(),
                display_name: variant.display_name.to_owned(),
                weight: 1.0,
            })
            .collect()
    }
}
