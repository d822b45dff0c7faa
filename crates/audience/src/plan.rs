//! A checked rule, ready to be evaluated.

use crate::bitset::Bitset;
use crate::block::Block;
use crate::bulk::Bulk;
use crate::compile::Compiler;
use crate::error::RuleError;
use crate::limits::Limits;
use crate::mentions::Mentions;
use crate::node::Node;
use crate::rule::Rule;
use crate::schema::Schema;
use crate::shape;
use crate::single::Single;
use crate::window::{next_change, within_horizon};

/// A rule that makes sense in a workspace, compiled to tests of columns.
#[derive(Debug)]
pub struct Plan {
    /// The operands of a conjunction, or the rule as its only one, as written.
    clauses: Vec<Clause>,
    /// The clauses in the order in which they are asked.
    order: Vec<usize>,
    mentions: Mentions,
}

#[derive(Debug)]
struct Clause {
    text: String,
    node: Node,
}

/// Who belongs, and until when that is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub bits: Bitset,
    /// The first moment after now at which somebody's answer could change with no new data: perhaps too early,
    /// never too late. `None` if time alone changes nothing.
    pub next_change: Option<i64>,
}

/// How many contacts are left when a clause and all before it have been asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseCount {
    pub text: String,
    pub remaining: u32,
}

impl Plan {
    /// Checks a rule. What it costs is bounded by the limits, however hostile the rule.
    pub fn compile(rule: &Rule, schema: &Schema, limits: Limits) -> Result<Self, RuleError> {
        shape::check(rule, &limits)?;
        let mut compiler = Compiler::new(schema, &limits);
        let (rules, nodes) = match (rule, compiler.node(rule, "rule")?) {
            (Rule::All(rules), Node::All(nodes)) => (&rules[..], nodes),
            (rule, node) => (std::slice::from_ref(rule), vec![node]),
        };
        let mut clauses: Vec<Clause> = rules
            .iter()
            .zip(nodes)
            .map(|(rule, node)| Clause { text: rule.to_string(), node })
            .collect();
        for clause in &mut clauses {
            clause.node.sort_cheapest_first();
        }
        let mut order: Vec<usize> = (0..clauses.len()).collect();
        order.sort_by_cached_key(|index| clauses[*index].node.cost());
        Ok(Self { clauses, order, mentions: compiler.into_mentions() })
    }

    /// Which attributes, events and properties it reads.
    pub fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// Who of the block belongs at a moment.
    ///
    /// # Panics
    ///
    /// If the block was not loaded for what the plan [mentions](Self::mentions); so do the other evaluations.
    pub fn evaluate(&self, block: &Block, now: i64) -> Membership {
        self.check_loaded(block);
        let mut bulk = Bulk::new(block, within_horizon(now));
        let bits = bulk.all(self.nodes(), block.live());
        Membership { bits, next_change: next_change(bulk.next()) }
    }

    /// Whether one contact belongs at a moment, and the first moment after it at which that could change with no
    /// new data; always what [`evaluate`](Self::evaluate) finds for it.
    ///
    /// # Panics
    ///
    /// If the block was not loaded for what the plan [mentions](Self::mentions).
    pub fn evaluate_one(&self, block: &Block, slot: u16, now: i64) -> (bool, Option<i64>) {
        if !block.live().contains(slot) {
            return (false, None);
        }
        let mut single = Single::new(block, slot, within_horizon(now));
        let holds = self.nodes().all(|node| single.node(node));
        (holds, next_change(single.next()))
    }

    /// What each clause of the conjunction leaves of the block, in the order in which they are written.
    ///
    /// # Panics
    ///
    /// If the block was not loaded for what the plan [mentions](Self::mentions).
    pub fn funnel(&self, block: &Block, now: i64) -> Vec<ClauseCount> {
        self.check_loaded(block);
        let mut bulk = Bulk::new(block, within_horizon(now));
        let mut running = block.live().clone();
        let count = |clause: &Clause| {
            running = bulk.node(&clause.node, &running);
            ClauseCount { text: clause.text.clone(), remaining: running.len() }
        };
        self.clauses.iter().map(count).collect()
    }

    /// Clauses that are never reached would hide that their columns are missing.
    fn check_loaded(&self, block: &Block) {
        assert!(
            block.mentions().covers(&self.mentions),
            "the block was not loaded for this plan: {:?}",
            self.mentions
        );
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.order.iter().map(|index| &self.clauses[*index].node)
    }
}
