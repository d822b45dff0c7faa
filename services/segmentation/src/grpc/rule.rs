//! The contract's rules, which are also what is stored, and the engine's.
//!
//! This is the tree; `behaviours` has what contacts did and their deals, and `values` what things are compared with.
//! A rule is as deep as prost decodes, which bounds the recursion here; the engine's limits are tighter.

mod behaviours;
mod values;

use cursus_api::segmentation as proto;
use cursus_audience::{Rule, RuleError};
use prost::Message;

use crate::error::Error;

use behaviours::{decode_behaviour, decode_deals, encode_behaviour, encode_deals};
use values::{
    decode_literal, decode_literals, encode_literal, encode_operator, encode_position, offset,
    operator, part, position, unset,
};
pub(crate) use values::{encode_duration, encode_moment, length, moment};

/// A rule as it is stored.
pub(crate) fn to_bytes(rule: &Rule) -> Vec<u8> {
    encode(rule).encode_to_vec()
}

/// A stored rule.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Rule, Error> {
    let stored = proto::Rule::decode(bytes).map_err(|_| Error::Corrupt("rule"))?;
    decode(stored, "rule").map_err(|_| Error::Corrupt("rule"))
}

/// Reads what a client sent. `path` names the rule in errors.
pub(crate) fn decode(rule: proto::Rule, path: &str) -> Result<Rule, RuleError> {
    use proto::rule::Kind;
    let Some(kind) = rule.kind else { return Err(unset(path, "a condition")) };
    Ok(match kind {
        Kind::All(all) => Rule::All(decode_many(all.rules, &format!("{path}.all"))?),
        Kind::Any(any) => Rule::Any(decode_many(any.rules, &format!("{path}.any"))?),
        Kind::Not(operand) => Rule::Not(Box::new(decode(*operand, &format!("{path}.not"))?)),
        Kind::Has(attribute) => Rule::Has { attribute },
        Kind::Comparison(comparison) => Rule::Compare {
            operator: operator(comparison.operator, path)?,
            value: decode_literal(comparison.value, &format!("{path}.value"))?,
            attribute: comparison.attribute,
        },
        Kind::Membership(membership) => Rule::In {
            attribute: membership.attribute,
            values: decode_literals(membership.values, path)?,
        },
        Kind::Text(text) => Rule::Text {
            position: position(text.position, path)?,
            attribute: text.attribute,
            text: text.text,
        },
        Kind::Contains(contains) => {
            Rule::Contains { attribute: contains.attribute, member: contains.member }
        }
        Kind::Age(age) => Rule::Age {
            operator: operator(age.operator, path)?,
            offset: offset(age.offset, path)?,
            attribute: age.attribute,
        },
        Kind::Behaviour(behaviour) => Rule::Behaviour(decode_behaviour(behaviour, path)?),
        Kind::Deals(deals) => Rule::Deals(decode_deals(deals, path)?),
        Kind::InSegment(segment) => Rule::InSegment { segment },
        Kind::Subscribed(topic) => Rule::Subscribed { topic },
        Kind::Bucket(bucket) => Rule::Bucket {
            from: part(bucket.from, &format!("{path}.from"))?,
            to: part(bucket.to, &format!("{path}.to"))?,
            salt: bucket.salt,
        },
    })
}

/// Writes a rule for a client, or for storage.
pub(crate) fn encode(rule: &Rule) -> proto::Rule {
    use proto::rule::Kind;
    let kind = match rule {
        Rule::All(rules) => Kind::All(proto::All { rules: rules.iter().map(encode).collect() }),
        Rule::Any(rules) => Kind::Any(proto::Any { rules: rules.iter().map(encode).collect() }),
        Rule::Not(operand) => Kind::Not(Box::new(encode(operand))),
        Rule::Has { attribute } => Kind::Has(attribute.clone()),
        Rule::Compare { attribute, operator, value } => Kind::Comparison(proto::Comparison {
            attribute: attribute.clone(),
            operator: encode_operator(*operator).into(),
            value: Some(encode_literal(value)),
        }),
        Rule::In { attribute, values } => Kind::Membership(proto::Membership {
            attribute: attribute.clone(),
            values: values.iter().map(encode_literal).collect(),
        }),
        Rule::Text { attribute, position, text } => Kind::Text(proto::TextMatch {
            attribute: attribute.clone(),
            position: encode_position(*position).into(),
            text: text.clone(),
        }),
        Rule::Contains { attribute, member } => Kind::Contains(proto::SetContains {
            attribute: attribute.clone(),
            member: member.clone(),
        }),
        Rule::Age { attribute, operator, offset } => Kind::Age(proto::AgeComparison {
            attribute: attribute.clone(),
            operator: encode_operator(*operator).into(),
            offset: Some(encode_duration(*offset)),
        }),
        Rule::Behaviour(behaviour) => Kind::Behaviour(encode_behaviour(behaviour)),
        Rule::Deals(deals) => Kind::Deals(encode_deals(deals)),
        Rule::InSegment { segment } => Kind::InSegment(segment.clone()),
        Rule::Subscribed { topic } => Kind::Subscribed(topic.clone()),
        Rule::Bucket { salt, from, to } => Kind::Bucket(proto::Bucket {
            salt: salt.clone(),
            from: (*from).into(),
            to: (*to).into(),
        }),
    };
    proto::Rule { kind: Some(kind) }
}

fn decode_many(rules: Vec<proto::Rule>, path: &str) -> Result<Vec<Rule>, RuleError> {
    rules
        .into_iter()
        .enumerate()
        .map(|(index, rule)| decode(rule, &format!("{path}[{index}]")))
        .collect()
}

#[cfg(test)]
mod tests;
