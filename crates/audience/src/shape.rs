//! Whether a rule is small enough to look at: the one check that does not recurse, and comes before all others.

use crate::error::RuleError;
use crate::limits::Limits;
use crate::rule::{Aggregate, Behaviour, Literal, Rule};

/// Refuses a rule over the limits, after looking at no more of it than they allow.
pub(crate) fn check(rule: &Rule, limits: &Limits) -> Result<(), RuleError> {
    let mut nodes = Nodes { left: limits.nodes, limits };
    nodes.take(1)?;
    let mut open = vec![(rule, 1, "rule".to_owned())];
    while let Some((rule, depth, path)) = open.pop() {
        if depth > limits.depth {
            return Err(too_many(&path, limits.depth, "levels"));
        }
        match rule {
            Rule::All(operands) | Rule::Any(operands) => {
                let branch = if matches!(rule, Rule::All(_)) { "all" } else { "any" };
                at_most(&format!("{path}.{branch}"), operands.len(), limits.operands, "operands")?;
                nodes.take(operands.len())?;
                open.extend(operands.iter().enumerate().rev().map(|(index, operand)| {
                    (operand, depth + 1, format!("{path}.{branch}[{index}]"))
                }));
            }
            Rule::Not(operand) => {
                nodes.take(1)?;
                open.push((operand, depth + 1, format!("{path}.not")));
            }
            Rule::Behaviour(behaviour) => {
                nodes.take(behaviour.filters.len())?;
                check_behaviour(behaviour, &path, limits)?;
            }
            leaf => check_strings(leaf, &path, limits)?,
        }
    }
    Ok(())
}

struct Nodes<'a> {
    left: usize,
    limits: &'a Limits,
}

impl Nodes<'_> {
    fn take(&mut self, count: usize) -> Result<(), RuleError> {
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => return Err(too_many("rule", self.limits.nodes, "nodes")),
        }
        Ok(())
    }
}

fn check_strings(leaf: &Rule, path: &str, limits: &Limits) -> Result<(), RuleError> {
    match leaf {
        Rule::Has { attribute } | Rule::Age { attribute, .. } => {
            short(&format!("{path}.attribute"), attribute, limits)
        }
        Rule::Compare { attribute, value, .. } => {
            short(&format!("{path}.attribute"), attribute, limits)?;
            short_literal(|| format!("{path}.value"), value, limits)
        }
        Rule::In { attribute, values } => {
            short(&format!("{path}.attribute"), attribute, limits)?;
            at_most(&format!("{path}.values"), values.len(), limits.list, "values")?;
            values.iter().enumerate().try_for_each(|(index, value)| {
                short_literal(|| format!("{path}.values[{index}]"), value, limits)
            })
        }
        Rule::Text { attribute, text, .. } => {
            short(&format!("{path}.attribute"), attribute, limits)?;
            short(&format!("{path}.text"), text, limits)
        }
        Rule::Contains { attribute, member } => {
            short(&format!("{path}.attribute"), attribute, limits)?;
            short(&format!("{path}.member"), member, limits)
        }
        Rule::All(_) | Rule::Any(_) | Rule::Not(_) | Rule::Behaviour(_) => Ok(()),
    }
}

fn check_behaviour(behaviour: &Behaviour, path: &str, limits: &Limits) -> Result<(), RuleError> {
    short(&format!("{path}.event"), &behaviour.event, limits)?;
    let filters = &behaviour.filters;
    at_most(&format!("{path}.where"), filters.len(), limits.operands, "filters")?;
    for (index, filter) in filters.iter().enumerate() {
        short(&format!("{path}.where[{index}].property"), &filter.property, limits)?;
        short_literal(|| format!("{path}.where[{index}].value"), &filter.value, limits)?;
    }
    match &behaviour.aggregate {
        Aggregate::Count => Ok(()),
        Aggregate::Sum(property) => short(&format!("{path}.sum"), property, limits),
    }
}

fn short_literal(
    path: impl Fn() -> String,
    literal: &Literal,
    limits: &Limits,
) -> Result<(), RuleError> {
    match literal {
        Literal::Text(text) if text.len() > limits.string => short(&path(), text, limits),
        _ => Ok(()),
    }
}

fn short(path: &str, text: &str, limits: &Limits) -> Result<(), RuleError> {
    at_most(path, text.len(), limits.string, "bytes")
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
