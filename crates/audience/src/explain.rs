//! Why a contact belongs, or does not: the rule as it is written, with what each of its clauses finds.

mod evidence;

use crate::block::Block;
use crate::builder::Value;
use crate::forecast::{Forecast, Until};
use crate::node::Node;
use crate::plan::Plan;
use crate::rule::Rule;
use crate::window::within_horizon;

/// What a clause of a rule says of one contact at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'a> {
    /// The clause as it is written.
    pub text: String,
    pub holds: bool,
    pub evidence: Evidence<'a>,
    /// The moment at which it came to be so, if the times of events, and of attributes that are compared with now,
    /// tell. It is `None` where it has always been so; where the clause asks for other attributes or for deals, of
    /// which it is not known since when they are as they are; and where the block was loaded without
    /// [all of the past](crate::Mentions::with_all_of_the_past).
    pub since: Option<i64>,
    /// When it ceases to be so, if nothing happens.
    pub until: Until,
    /// The clauses it is made of, in the order in which they are written; of a reference, the rule of the segment.
    pub clauses: Vec<Self>,
}

/// What a clause looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence<'a> {
    /// Other clauses, or nothing.
    Clauses,
    /// An attribute, and its value if it has one.
    Attribute { name: &'a str, value: Option<Value<'a>> },
    /// Events.
    Events(Counted),
    /// Deals. They have no times.
    Deals(Counted),
    /// The one of a hundred parts that the contact is in; `None` if it was loaded without a key.
    Bucket(Option<u8>),
}

/// The events, or deals, of a contact that are counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    pub count: usize,
    /// What is compared: the count, or what their numbers make. `None` if there is none.
    pub value: Option<f64>,
    /// When they were, the most recent first, and at most a hundred.
    pub times: Vec<i64>,
    /// Which one decides, if one does: the one without which a count were too low, or the one with the least or
    /// greatest number.
    pub deciding_time: Option<i64>,
}

impl Plan {
    /// Why a contact belongs, or does not; `None` if there is no contact in the slot.
    ///
    /// # Panics
    ///
    /// If the block was not loaded for what the plan [mentions](Self::mentions).
    pub fn explain<'a>(&'a self, block: &'a Block, slot: u16, now: i64) -> Option<Explanation<'a>> {
        self.check_loaded(block);
        let now = within_horizon(now);
        let forecast = Forecast::new(block, slot, now);
        let mut explainer = Explainer { plan: self, block, slot, now, forecast };
        block.live().contains(slot).then(|| explainer.clause(&self.rule, &self.node))
    }

    /// Until when a contact stays where it is, in the segment or not, if nothing happens. Unlike the next moment that
    /// [`evaluate_one`](Self::evaluate_one) returns, it is not just one at which that could change.
    ///
    /// # Panics
    ///
    /// If the block was not loaded for what the plan [mentions](Self::mentions).
    pub fn deadline(&self, block: &Block, slot: u16, now: i64) -> Until {
        if !block.live().contains(slot) {
            return Until::Never;
        }
        Forecast::new(block, slot, within_horizon(now)).ahead(&self.node).1
    }
}

struct Explainer<'a> {
    plan: &'a Plan,
    block: &'a Block,
    slot: u16,
    now: i64,
    forecast: Forecast<'a>,
}

impl<'a> Explainer<'a> {
    /// Recurses as deep as the rule with its segments; it was checked when it was compiled.
    fn clause(&mut self, rule: &'a Rule, node: &'a Node) -> Explanation<'a> {
        let (holds, until) = self.forecast.ahead(node);
        let since = self.forecast.back(node, holds);
        let clauses = match (rule, node) {
            (Rule::All(rules), Node::All(operands)) | (Rule::Any(rules), Node::Any(operands)) => {
                let operands = rules.iter().zip(operands.as_written());
                operands.map(|(rule, node)| self.clause(rule, node)).collect()
            }
            (Rule::Not(rule), Node::Not(node)) => vec![self.clause(rule, node)],
            (Rule::InSegment { segment }, node) => {
                let rule = self.plan.findings.segments.get(segment);
                rule.map(|rule| self.clause(rule, node)).into_iter().collect()
            }
            _ => Vec::new(),
        };
        let evidence = match (rule, node) {
            (Rule::InSegment { .. }, _) => Evidence::Clauses,
            (_, Node::Leaf(leaf)) => evidence::of(leaf, self.block, self.slot, self.now),
            _ => Evidence::Clauses,
        };
        Explanation { text: rule.to_string(), holds, evidence, since, until, clauses }
    }
}
