//! Whether a rule is small enough to look at: the one check that does not recurse, and comes before all others.

use crate::error::RuleError;
use crate::limits::Limits;
use crate::rule::{Aggregate, Filter, Literal, Rule};

/// What is left of the limits for a rule and all rules of segments that take the place of references in it.
///
/// A reference is short, and what it stands for may be long and be referred to again and again. Hence the bound on
/// bytes, which a rule that stands alone has in the size of the message or the text that brought it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Room {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { nodes: limits.nodes, bytes: limits.text, depth: limits.depth }
    }

    /// Refuses a rule over the limits, after looking at no more of it than they allow. However many bytes it has,
    /// they take no room: whoever brought it has bounded them.
    pub(crate) fn admit_whole(&mut self, rule: &Rule, limits: &Limits) -> Result<(), RuleError> {
        let bytes = std::mem::replace(&mut self.bytes, usize::MAX);
        let admitted = self.admit(rule, limits);
        self.bytes = bytes;
        admitted
    }

    /// Goes to the operands of a rule: there is one level less below them.
    pub(crate) fn descend(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(crate) fn ascend(&mut self) {
        self.depth += 1;
    }

    /// Takes the room that a rule needs, after looking at no more of it than there is room for.
    pub(crate) fn admit(&mut self, rule: &Rule, limits: &Limits) -> Result<(), RuleError> {
        self.take_nodes(1, limits)?;
        let mut open = vec![(rule, 1, "rule".to_owned())];
        while let Some((rule, depth, path)) = open.pop() {
            if depth > self.depth {
                return Err(too_many(&path, limits.depth, "levels"));
            }
            match rule {
                Rule::All(operands) | Rule::Any(operands) => {
                    let branch = if matches!(rule, Rule::All(_)) { "all" } else { "any" };
                    let branch = format!("{path}.{branch}");
                    at_most(&branch, operands.len(), limits.operands, "operands")?;
                    self.take_nodes(operands.len(), limits)?;
                    open.extend(operands.iter().enumerate().rev().map(|(index, operand)| {
                        (operand, depth + 1, format!("{branch}[{index}]"))
                    }));
                }
                Rule::Not(operand) => {
                    self.take_nodes(1, limits)?;
                    open.push((operand, depth + 1, format!("{path}.not")));
                }
                leaf => {
                    let mut strings = Strings { limits, bytes: 0 };
                    self.take_nodes(filters(leaf).len(), limits)?;
                    strings.leaf(leaf, &path)?;
                    self.take_bytes(strings.bytes, limits)?;
                }
            }
        }
        Ok(())
    }

    fn take_nodes(&mut self, count: usize, limits: &Limits) -> Result<(), RuleError> {
        match self.nodes.checked_sub(count) {
            Some(left) => self.nodes = left,
            None => return Err(too_many("rule", limits.nodes, "nodes")),
        }
        Ok(())
    }

    fn take_bytes(&mut self, count: usize, limits: &Limits) -> Result<(), RuleError> {
        match self.bytes.checked_sub(count) {
            Some(left) => self.bytes = left,
            None => return Err(too_many("rule", limits.text, "bytes")),
        }
        Ok(())
    }
}

fn filters(leaf: &Rule) -> &[Filter] {
    match leaf {
        Rule::Behaviour(behaviour) => &behaviour.filters,
        Rule::Deals(deals) => &deals.filters,
        _ => &[],
    }
}

/// Checks the strings and lists of a leaf, and adds up what they take.
struct Strings<'a> {
    limits: &'a Limits,
    bytes: usize,
}

impl Strings<'_> {
    fn leaf(&mut self, leaf: &Rule, path: &str) -> Result<(), RuleError> {
        match leaf {
            Rule::Has { attribute } | Rule::Age { attribute, .. } => {
                self.short(path, "attribute", attribute)
            }
            Rule::Compare { attribute, value, .. } => {
                self.short(path, "attribute", attribute)?;
                self.literal(path, "value", value)
            }
            Rule::In { attribute, values } => {
                self.short(path, "attribute", attribute)?;
                self.list(path, values)
            }
            Rule::Text { attribute, text, .. } => {
                self.short(path, "attribute", attribute)?;
                self.short(path, "text", text)
            }
            Rule::Contains { attribute, member } => {
                self.short(path, "attribute", attribute)?;
                self.short(path, "member", member)
            }
            Rule::InSegment { segment } => self.short(path, "segment", segment),
            Rule::Subscribed { topic } => self.short(path, "topic", topic),
            Rule::Bucket { salt, .. } => self.short(path, "salt", salt),
            Rule::Behaviour(behaviour) => {
                self.short(path, "event", &behaviour.event)?;
                self.filters(path, &behaviour.filters)?;
                if let Some(order) = &behaviour.order {
                    self.short(&format!("{path}.order"), "event", &order.event)?;
                }
                self.aggregate(path, &behaviour.aggregate)
            }
            Rule::Deals(deals) => {
                self.filters(path, &deals.filters)?;
                self.aggregate(path, &deals.aggregate)
            }
            Rule::All(_) | Rule::Any(_) | Rule::Not(_) => Ok(()),
        }
    }

    fn filters(&mut self, path: &str, filters: &[Filter]) -> Result<(), RuleError> {
        at_most(&format!("{path}.where"), filters.len(), self.limits.operands, "filters")?;
        for (index, filter) in filters.iter().enumerate() {
            let path = format!("{path}.where[{index}]");
            self.short(&path, "property", filter.property())?;
            match filter {
                Filter::Compare { value, .. } => self.literal(&path, "value", value)?,
                Filter::In { values, .. } => self.list(&path, values)?,
                Filter::Text { text, .. } => self.short(&path, "text", text)?,
                Filter::Has { .. } | Filter::Age { .. } => {}
            }
        }
        Ok(())
    }

    fn aggregate(&mut self, path: &str, aggregate: &Aggregate) -> Result<(), RuleError> {
        match aggregate.parts() {
            (name, Some(property)) => self.short(path, name, property),
            (_, None) => Ok(()),
        }
    }

    fn list(&mut self, path: &str, values: &[Literal]) -> Result<(), RuleError> {
        at_most(&format!("{path}.values"), values.len(), self.limits.list, "values")?;
        self.bytes = self.bytes.saturating_add(size_of_val(values));
        values.iter().enumerate().try_for_each(|(index, value)| match value {
            Literal::Text(text) if text.len() > self.limits.string => {
                self.short(path, &format!("values[{index}]"), text)
            }
            value => self.literal(path, "values", value),
        })
    }

    fn literal(&mut self, path: &str, part: &str, literal: &Literal) -> Result<(), RuleError> {
        match literal {
            Literal::Text(text) => self.short(path, part, text),
            Literal::Number(_) | Literal::Flag(_) | Literal::Time(_) => Ok(()),
        }
    }

    fn short(&mut self, path: &str, part: &str, text: &str) -> Result<(), RuleError> {
        self.bytes = self.bytes.saturating_add(text.len());
        if text.len() > self.limits.string {
            at_most(&format!("{path}.{part}"), text.len(), self.limits.string, "bytes")?;
        }
        Ok(())
    }
}

fn at_most(path: &str, found: usize, most: usize, of: &str) -> Result<(), RuleError> {
    if found > most {
        return Err(RuleError::new(path, format!("at most {most} {of}"), found.to_string()));
    }
    Ok(())
}

fn too_many(path: &str, most: usize, of: &str) -> RuleError {
    RuleError::new(path, format!("at most {most} {of}"), "more")
}
