//! A checked rule, ready to be evaluated.

use std::slice;

use crate::bitset::Bitset;
use crate::block::Block;
use crate::bulk::Bulk;
use crate::compile::{Compiler, Findings};
use crate::due::Due;
use crate::error::RuleError;
use crate::limits::Limits;
use crate::mentions::Mentions;
use crate::node::Node;
use crate::rule::Rule;
use crate::schema::Schema;
use crate::single::Single;
use crate::window::{next_change, within_horizon};

/// So few slots are asked about one after another; more are cheaper to ask about together.
const FEW_SLOTS: usize = 64;

/// A rule that makes sense in a workspace, compiled to tests of columns.
#[derive(Debug)]
pub struct Plan {
    pub(crate) rule: Rule,
    /// The rule with those of segments in the place of references.
    pub(crate) node: Node,
    pub(crate) findings: Findings,
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
        Self::new(rule, Compiler::new(schema, &limits, None))
    }

    /// Checks the rule of a segment, which must not lead back to that segment.
    pub fn compile_segment(
        id: &str,
        rule: &Rule,
        schema: &Schema,
        limits: Limits,
    ) -> Result<Self, RuleError> {
        Self::new(rule, Compiler::new(schema, &limits, Some(id)))
    }

    fn new(rule: &Rule, compiler: Compiler<'_>) -> Result<Self, RuleError> {
        let (node, findings) = compiler.compile(rule)?;
        Ok(Self { rule: rule.clone(), node, findings })
    }

    /// Which attributes, events and properties it reads.
    pub fn mentions(&self) -> &Mentions {
        &self.findings.mentions
    }

    /// The segments whose rules are part of it, whether the rule refers to them or one of them does. When the rule of
    /// one changes, this plan is of the past.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.findings.segments.keys().map(String::as_str)
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
            if single.node(&self.node) {
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
        let holds = single.node(&self.node);
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
        let count = |(rule, node): (&Rule, &Node)| {
            running = bulk.node(node, &running);
            ClauseCount { text: rule.to_string(), remaining: running.len() }
        };
        self.clauses().map(count).collect()
    }

    /// The operands of a conjunction, or the rule as its only one.
    fn clauses(&self) -> impl Iterator<Item = (&Rule, &Node)> {
        let (rules, nodes) = match (&self.rule, &self.node) {
            (Rule::All(rules), Node::All(operands)) => (&rules[..], operands.as_written()),
            (rule, node) => (slice::from_ref(rule), slice::from_ref(node)),
        };
        rules.iter().zip(nodes)
    }

    /// Which of the candidates belong, and when that may change.
    fn bulk(&self, block: &Block, candidates: &Bitset, now: i64, due: Due) -> (Bitset, Due) {
        self.check_loaded(block);
        let mut bulk = Bulk::new(block, within_horizon(now), due);
        let bits = bulk.node(&self.node, candidates);
        (bits, bulk.into_due())
    }

    /// Clauses that are never reached would hide that their columns are missing.
    pub(crate) fn check_loaded(&self, block: &Block) {
        assert!(
            block.mentions().covers(self.mentions()),
            "the block was not loaded for this plan: {:?}",
            self.mentions()
        );
    }
}
