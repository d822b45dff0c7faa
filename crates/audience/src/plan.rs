//! A checked rule, ready to be evaluated.

use crate::bitset::Bitset;
use crate::block::Block;
use crate::bulk::Bulk;
use crate::compile::Compiler;
use crate::due::Due;
use crate::error::RuleError;
use crate::limits::Limits;
use crate::mentions::Mentions;
use crate::node::Node;
use crate::rule::Rule;
use crate::schema::Schema;
use crate::shape;
use crate::single::Single;
use crate::window::{next_change, within_horizon};

/// So few slots are asked about one after another; more are cheaper to ask about together.
const FEW_SLOTS: usize = 64;

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

/// Who belongs, and when that may change: of contacts who are due before a horizon each one's moment, of later ones
/// only the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    pub bits: Bitset,
    /// The first moment after now at which a contact's answer could change with no new data, of those that have one
    /// before the horizon, in the order of their slots: perhaps too early, never too late.
    pub due: Vec<(u16, i64)>,
    /// The first such moment from the horizon on. When it has come, whoever wants to know who is due must ask again.
    pub later: Option<i64>,
}

impl Outlook {
    fn new(bits: Bitset, due: Due) -> Self {
        let (due, later) = due.into_parts();
        Self { bits, due, later }
    }

    /// The first moment at which somebody's answer could change.
    pub fn next_change(&self) -> Option<i64> {
        self.due.iter().map(|(_, moment)| *moment).chain(self.later).min()
    }
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
        let (bits, due) = self.bulk(block, block.live(), now, Due::first());
        Membership { bits, next_change: due.later() }
    }

    /// Who of the block belongs at a moment, and who is due before a later one, `until`. The sooner that is, the fewer
    /// are to be remembered; the later, the longer it serves.
    ///
    /// # Panics
    ///
    /// If the block was not loaded for what the plan [mentions](Self::mentions).
    pub fn outlook(&self, block: &Block, now: i64, until: i64) -> Outlook {
        let (bits, due) = self.bulk(block, block.live(), now, Due::until(until));
        Outlook::new(bits, due)
    }

    /// What [`outlook`](Self::outlook) says of some slots, at the cost of those.
    ///
    /// # Panics
    ///
    /// If the block was not loaded for what the plan [mentions](Self::mentions).
    pub fn outlook_of(&self, slots: &[u16], block: &Block, now: i64, until: i64) -> Outlook {
        let mut due = Due::until(until);
        if slots.len() > FEW_SLOTS {
            let mut asked: Bitset = slots.iter().copied().collect();
            asked &= block.live();
            let (bits, due) = self.bulk(block, &asked, now, due);
            return Outlook::new(bits, due);
        }
        self.check_loaded(block);
        let mut bits = Bitset::new();
        for slot in slots.iter().copied().filter(|slot| block.live().contains(*slot)) {
            let mut single = Single::new(block, slot, within_horizon(now));
            if self.nodes().all(|node| single.node(node)) {
                bits.insert(slot);
            }
            due.note(slot, single.next());
        }
        Outlook::new(bits, due)
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
        let mut bulk = Bulk::new(block, within_horizon(now), Due::first());
        let mut running = block.live().clone();
        let count = |clause: &Clause| {
            running = bulk.node(&clause.node, &running);
            ClauseCount { text: clause.text.clone(), remaining: running.len() }
        };
        self.clauses.iter().map(count).collect()
    }

    /// Which of the candidates belong, and when that may change.
    fn bulk(&self, block: &Block, candidates: &Bitset, now: i64, due: Due) -> (Bitset, Due) {
        self.check_loaded(block);
        let mut bulk = Bulk::new(block, within_horizon(now), due);
        let bits = bulk.all(self.nodes(), candidates);
        (bits, bulk.into_due())
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
