//! From a rule to nodes: every name is looked up and every kind checked here, so that evaluation cannot fail.
//!
//! This is the tree and the attributes; `events` has what contacts did and their deals, `segments` the references,
//! and `literals` what is asked of values wherever they stand.

mod events;
mod literals;
mod segments;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;

use crate::bucket::{BUCKET_KEY, BucketTest};
use crate::closest::closest;
use crate::error::{RuleError, shown};
use crate::limits::Limits;
use crate::mentions::{Field, Mentions};
use crate::node::{Leaf, Node, NumberTest, Operands, TextTest};
use crate::rule::{Literal, Operator, Rule, SUBSCRIPTIONS};
use crate::schema::{Kind, Schema};
use crate::shape::Room;

use literals::{List, comparable, list, seconds, wanted};

/// Offsets and windows beyond a hundred years are mistakes, and would leave the range of moments.
const LONGEST: TimeDelta = TimeDelta::days(36_525);

pub(crate) struct Compiler<'a> {
    schema: &'a Schema,
    limits: &'a Limits,
    room: Room,
    /// The segments whose rules are being compiled, each for the one before it.
    open: Vec<&'a str>,
    /// The circle of segments that was found, if one was.
    circle: Option<String>,
    findings: Findings,
}

/// What becomes known on the way.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) mentions: Mentions,
    /// The rules that took the place of references.
    pub(crate) segments: BTreeMap<String, Arc<Rule>>,
}

impl<'a> Compiler<'a> {
    /// `segment` is the one whose rule is compiled, if it is one's.
    pub(crate) fn new(schema: &'a Schema, limits: &'a Limits, segment: Option<&'a str>) -> Self {
        Self {
            schema,
            limits,
            room: Room::new(limits),
            open: segment.into_iter().collect(),
            circle: None,
            findings: Findings::default(),
        }
    }

    /// Checks a rule. What it costs is bounded by the limits, however hostile the rule.
    pub(crate) fn compile(mut self, rule: &Rule) -> Result<(Node, Findings), RuleError> {
        self.room.admit_whole(rule, self.limits)?;
        let node = self.node(rule, "rule")?;
        Ok((node, self.findings))
    }

    /// Recurses as deep as the rule; its shape has been checked.
    fn node(&mut self, rule: &Rule, path: &str) -> Result<Node, RuleError> {
        Ok(Node::Leaf(match rule {
            Rule::All(operands) => {
                return self.operands(operands, &format!("{path}.all")).map(Node::All);
            }
            Rule::Any(operands) => {
                return self.operands(operands, &format!("{path}.any")).map(Node::Any);
            }
            Rule::Not(operand) => {
                self.room.descend();
                let operand = self.node(operand, &format!("{path}.not"))?;
                self.room.ascend();
                return Ok(Node::Not(Box::new(operand)));
            }
            Rule::InSegment { segment } => return self.segment(segment, path),
            Rule::Has { attribute } => {
                let kind = self.attribute(attribute, path)?;
                Leaf::Has(Field { name: attribute.clone(), kind })
            }
            Rule::Compare { attribute, operator, value } => {
                let kind = self.attribute(attribute, path)?;
                comparable(kind, value, &format!("{path}.value"))?;
                compare(attribute, *operator, value, path)?
            }
            Rule::In { attribute, values } => self.list(attribute, values, path)?,
            Rule::Text { attribute, position, text } => {
                self.attribute_of(Kind::Text, attribute, path)?;
                let test = TextTest::Match(*position, text.clone());
                Leaf::Text { attribute: attribute.clone(), test }
            }
            Rule::Contains { attribute, member } => {
                self.attribute_of(Kind::TextSet, attribute, path)?;
                Leaf::Contains { attribute: attribute.clone(), member: member.clone() }
            }
            Rule::Age { attribute, operator, offset } => {
                self.attribute_of(Kind::Time, attribute, path)?;
                let offset = seconds(*offset, -LONGEST, LONGEST, &format!("{path}.offset"))?;
                Leaf::Age { attribute: attribute.clone(), operator: *operator, offset }
            }
            Rule::Behaviour(behaviour) => Leaf::Behaviour(self.behaviour(behaviour, path)?),
            Rule::Deals(deals) => Leaf::Behaviour(self.deals(deals, path)?),
            Rule::Subscribed { topic } => {
                self.attribute_of(Kind::TextSet, SUBSCRIPTIONS, path)?;
                Leaf::Contains { attribute: SUBSCRIPTIONS.to_owned(), member: topic.clone() }
            }
            Rule::Bucket { salt, from, to } => self.bucket(salt, (*from, *to), path)?,
        }))
    }

    fn operands(&mut self, rules: &[Rule], path: &str) -> Result<Operands, RuleError> {
        self.room.descend();
        let nodes = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| self.node(rule, &format!("{path}[{index}]")))
            .collect::<Result<_, _>>()?;
        self.room.ascend();
        Ok(Operands::new(nodes))
    }

    /// The kind of a known attribute, which is from now on mentioned.
    fn attribute(&mut self, name: &str, path: &str) -> Result<Kind, RuleError> {
        // The key is for buckets only: a rule that compares it would depend on how it is made.
        let is_known = |name: &&str| *name != BUCKET_KEY;
        let Some(kind) = self.schema.attribute(name).filter(|_| is_known(&name)) else {
            let path = format!("{path}.attribute");
            let known = self.schema.attributes().filter(is_known);
            return Err(RuleError::new(path, "an attribute of the workspace", shown(name))
                .with_closest(closest(name, known)));
        };
        self.findings.mentions.attributes.insert(Field { name: name.to_owned(), kind });
        Ok(kind)
    }

    fn attribute_of(&mut self, wanted: Kind, name: &str, path: &str) -> Result<(), RuleError> {
        let kind = self.attribute(name, path)?;
        if kind != wanted {
            let found = format!("{}, which is {kind}", shown(name));
            let expected = format!("an attribute that is {wanted}");
            return Err(RuleError::new(format!("{path}.attribute"), expected, found));
        }
        Ok(())
    }

    fn list(&mut self, attribute: &str, values: &[Literal], path: &str) -> Result<Leaf, RuleError> {
        let kind = self.attribute(attribute, path)?;
        if !matches!(kind, Kind::Text | Kind::Number) {
            let found = format!("{}, which is {kind}", shown(attribute));
            let expected = "an attribute that is a string or a number";
            return Err(RuleError::new(format!("{path}.attribute"), expected, found));
        }
        let attribute = attribute.to_owned();
        Ok(match list(kind, values, path)? {
            List::Texts(texts) => Leaf::Text { attribute, test: TextTest::In(texts) },
            List::Numbers(numbers) => Leaf::Number { attribute, test: NumberTest::In(numbers) },
        })
    }

    fn bucket(&mut self, salt: &str, (from, to): (u8, u8), path: &str) -> Result<Leaf, RuleError> {
        if self.schema.attribute(BUCKET_KEY) != Some(Kind::Number) {
            return Err(RuleError::new(path, "a workspace with buckets", "`bucket`"));
        }
        if to > 100 {
            let expected = "a whole number from 1 to 100";
            return Err(RuleError::new(format!("{path}.to"), expected, to.to_string()));
        }
        if from >= to {
            let expected = format!("less than the end, which is {to}");
            return Err(RuleError::new(format!("{path}.from"), expected, from.to_string()));
        }
        let field = Field { name: BUCKET_KEY.to_owned(), kind: Kind::Number };
        self.findings.mentions.attributes.insert(field);
        Ok(Leaf::Bucket(BucketTest::new(salt, from, to)))
    }
}

fn compare(
    attribute: &str,
    operator: Operator,
    value: &Literal,
    path: &str,
) -> Result<Leaf, RuleError> {
    let attribute = attribute.to_owned();
    Ok(match value {
        Literal::Text(text) => {
            Leaf::Text { attribute, test: TextTest::Compare(operator, text.clone()) }
        }
        Literal::Number(number) => {
            Leaf::Number { attribute, test: NumberTest::Compare(operator, *number) }
        }
        Literal::Flag(flag) => Leaf::Flag { attribute, wanted: wanted(operator, *flag, path)? },
        Literal::Time(time) => Leaf::Time { attribute, operator, time: time.timestamp_micros() },
    })
}
