//! From a rule to nodes: every name is looked up and every kind checked here, so that evaluation cannot fail.

use chrono::TimeDelta;

use crate::closest::closest;
use crate::error::RuleError;
use crate::limits::Limits;
use crate::mentions::{Field, Mentions, Reach};
use crate::node::{
    AggregateTest, BehaviourTest, CountTest, Leaf, Node, NumberTest, PropertyTest, TextTest,
};
use crate::rule::{Aggregate, Behaviour, Filter, Literal, Operator, Rule, Window};
use crate::schema::{Kind, Schema};
use crate::window::Span;

/// Offsets and windows beyond a hundred years are mistakes, and would leave the range of moments.
const LONGEST: TimeDelta = TimeDelta::days(36_525);

/// The most events a count is compared with: a contact cannot have more.
const MOST_EVENTS: f64 = 1e9;

pub(crate) struct Compiler<'a> {
    schema: &'a Schema,
    limits: &'a Limits,
    mentions: Mentions,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(schema: &'a Schema, limits: &'a Limits) -> Self {
        Self { schema, limits, mentions: Mentions::default() }
    }

    pub(crate) fn into_mentions(self) -> Mentions {
        self.mentions
    }

    /// Recurses as deep as the rule; its shape has been checked.
    pub(crate) fn node(&mut self, rule: &Rule, path: &str) -> Result<Node, RuleError> {
        Ok(match rule {
            Rule::All(operands) => Node::All(self.operands(operands, &format!("{path}.all"))?),
            Rule::Any(operands) => Node::Any(self.operands(operands, &format!("{path}.any"))?),
            Rule::Not(operand) => Node::Not(Box::new(self.node(operand, &format!("{path}.not"))?)),
            Rule::Has { attribute } => {
                let kind = self.attribute(attribute, path)?;
                Node::Leaf(Leaf::Has(Field { name: attribute.clone(), kind }))
            }
            Rule::Compare { attribute, operator, value } => {
                let kind = self.attribute(attribute, path)?;
                comparable(kind, value, &format!("{path}.value"))?;
                Node::Leaf(compare(attribute, *operator, value, path)?)
            }
            Rule::In { attribute, values } => Node::Leaf(self.list(attribute, values, path)?),
            Rule::Text { attribute, position, text } => {
                self.attribute_of(Kind::Text, attribute, path)?;
                let test = TextTest::Match(*position, text.clone());
                Node::Leaf(Leaf::Text { attribute: attribute.clone(), test })
            }
            Rule::Contains { attribute, member } => {
                self.attribute_of(Kind::TextSet, attribute, path)?;
                let (attribute, member) = (attribute.clone(), member.clone());
                Node::Leaf(Leaf::Contains { attribute, member })
            }
            Rule::Age { attribute, operator, offset } => {
                self.attribute_of(Kind::Time, attribute, path)?;
                let offset = seconds(*offset, -LONGEST, LONGEST, &format!("{path}.offset"))?;
                let attribute = attribute.clone();
                Node::Leaf(Leaf::Age { attribute, operator: *operator, offset })
            }
            Rule::Behaviour(behaviour) => {
                Node::Leaf(Leaf::Behaviour(self.behaviour(behaviour, path)?))
            }
        })
    }

    fn operands(&mut self, rules: &[Rule], path: &str) -> Result<Vec<Node>, RuleError> {
        rules
            .iter()
            .enumerate()
            .map(|(index, rule)| self.node(rule, &format!("{path}[{index}]")))
            .collect()
    }

    /// The kind of a known attribute, which is from now on mentioned.
    fn attribute(&mut self, name: &str, path: &str) -> Result<Kind, RuleError> {
        let Some(kind) = self.schema.attribute(name) else {
            let path = format!("{path}.attribute");
            return Err(RuleError::new(path, "an attribute of the workspace", shown(name))
                .with_closest(closest(name, self.schema.attributes())));
        };
        self.mentions.attributes.insert(Field { name: name.to_owned(), kind });
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
        if values.is_empty() {
            return Err(RuleError::new(format!("{path}.values"), "at least one value", "none"));
        }
        let mut texts = Vec::new();
        let mut numbers = Vec::new();
        for (index, value) in values.iter().enumerate() {
            comparable(kind, value, &format!("{path}.values[{index}]"))?;
            match value {
                Literal::Text(text) => texts.push(text.clone()),
                Literal::Number(number) => numbers.push(*number),
                Literal::Flag(_) | Literal::Time(_) => {}
            }
        }
        let attribute = attribute.to_owned();
        if kind == Kind::Text {
            let test = TextTest::In(texts.into_iter().collect());
            return Ok(Leaf::Text { attribute, test });
        }
        numbers.sort_by(f64::total_cmp);
        Ok(Leaf::Number { attribute, test: NumberTest::In(numbers) })
    }

    fn behaviour(&mut self, rule: &Behaviour, path: &str) -> Result<BehaviourTest, RuleError> {
        let event = &rule.event;
        if event.is_empty() || !self.schema.allows_event(event) {
            let expected = "the name of an event of the workspace";
            return Err(RuleError::new(format!("{path}.event"), expected, shown(event))
                .with_closest(closest(event, self.schema.events())));
        }
        let filters = rule
            .filters
            .iter()
            .enumerate()
            .map(|(index, rule)| filter(rule, &format!("{path}.where[{index}]")))
            .collect::<Result<Vec<_>, _>>()?;
        let span = self.span(rule.window, path)?;
        let aggregate = aggregate(rule, path)?;
        self.mention_event(rule, &filters);
        Ok(BehaviourTest { event: event.clone(), filters, span, aggregate })
    }

    fn span(&self, window: Window, path: &str) -> Result<Span, RuleError> {
        let second = TimeDelta::seconds(1);
        let longest = self.limits.window.min(LONGEST);
        let Some(from) = window.from else {
            let to = seconds(window.to, TimeDelta::zero(), longest, &format!("{path}.to"))?;
            return Ok(Span { from: Span::EVER, to });
        };
        let from_micros = seconds(from, second, longest, &format!("{path}.from"))?;
        let to = seconds(window.to, TimeDelta::zero(), from - second, &format!("{path}.to"))?;
        Ok(Span { from: from_micros, to })
    }

    fn mention_event(&mut self, rule: &Behaviour, filters: &[PropertyTest]) {
        let mention = self.mentions.events.entry(rule.event.clone()).or_default();
        mention.properties.extend(filters.iter().map(PropertyTest::field));
        if let Aggregate::Sum(property) = &rule.aggregate {
            mention.properties.insert(Field { name: property.clone(), kind: Kind::Number });
        }
        let reach = rule.window.from.map_or(Reach::Ever, Reach::Last);
        mention.reach = mention.reach.max(reach);
    }
}

/// Refuses a literal that cannot be compared with attributes of a kind.
fn comparable(kind: Kind, literal: &Literal, path: &str) -> Result<(), RuleError> {
    if kind == Kind::TextSet {
        let expected = format!("`in`: {kind} is not compared");
        return Err(RuleError::new(path, expected, literal.kind().to_string()));
    }
    if literal.kind() != kind {
        return Err(RuleError::new(path, kind.to_string(), literal.kind().to_string()));
    }
    well_formed(literal, path)
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

fn filter(rule: &Filter, path: &str) -> Result<PropertyTest, RuleError> {
    named(&rule.property, &format!("{path}.property"))?;
    let value_path = format!("{path}.value");
    well_formed(&rule.value, &value_path)?;
    let (property, operator) = (rule.property.clone(), rule.operator);
    Ok(match &rule.value {
        Literal::Text(text) => {
            PropertyTest::Text { property, test: TextTest::Compare(operator, text.clone()) }
        }
        Literal::Number(number) => {
            PropertyTest::Number { property, test: NumberTest::Compare(operator, *number) }
        }
        Literal::Flag(flag) => {
            PropertyTest::Flag { property, wanted: wanted(operator, *flag, path)? }
        }
        Literal::Time(_) => {
            let expected = "a string, a number or a boolean";
            return Err(RuleError::new(value_path, expected, Kind::Time.to_string()));
        }
    })
}

fn aggregate(rule: &Behaviour, path: &str) -> Result<AggregateTest, RuleError> {
    let value = rule.value;
    match &rule.aggregate {
        Aggregate::Count if (0.0..=MOST_EVENTS).contains(&value) && value.fract() == 0.0 => {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and at most 1e9")]
            #[expect(clippy::cast_sign_loss, reason = "it is at least 0")]
            let count = value as usize;
            Ok(AggregateTest::Count(CountTest::new(rule.operator, count)))
        }
        Aggregate::Count => {
            let expected = format!("a whole number from 0 to {MOST_EVENTS}");
            Err(RuleError::new(format!("{path}.value"), expected, value.to_string()))
        }
        Aggregate::Sum(property) => {
            named(property, &format!("{path}.sum"))?;
            well_formed(&Literal::Number(value), &format!("{path}.value"))?;
            Ok(AggregateTest::Sum { property: property.clone(), operator: rule.operator, value })
        }
    }
}

/// The boolean that satisfies a comparison with another.
fn wanted(operator: Operator, flag: bool, path: &str) -> Result<bool, RuleError> {
    match operator {
        Operator::Equal => Ok(flag),
        Operator::NotEqual => Ok(!flag),
        _ => {
            let expected = "`==` or `!=`, as booleans have no order";
            Err(RuleError::new(format!("{path}.operator"), expected, format!("`{operator}`")))
        }
    }
}

fn named(name: &str, path: &str) -> Result<(), RuleError> {
    if name.is_empty() {
        return Err(RuleError::new(path, "a name", "an empty string"));
    }
    Ok(())
}

fn well_formed(literal: &Literal, path: &str) -> Result<(), RuleError> {
    match literal {
        Literal::Number(number) if !number.is_finite() => {
            Err(RuleError::new(path, "a finite number", format!("`{number}`")))
        }
        Literal::Time(time) if time.timestamp_subsec_nanos() % 1_000 != 0 => {
            let expected = "a timestamp in whole microseconds";
            Err(RuleError::new(path, expected, format!("`{time:?}`")))
        }
        _ => Ok(()),
    }
}

/// A length of whole seconds, as microseconds: windows roll to the second.
fn seconds(
    length: TimeDelta,
    least: TimeDelta,
    most: TimeDelta,
    path: &str,
) -> Result<i64, RuleError> {
    if length < least || length > most || length.subsec_nanos() != 0 {
        let (least, most) = (least.num_seconds(), most.num_seconds());
        let expected = format!("a whole number of seconds from {least} to {most}");
        return Err(RuleError::new(path, expected, format!("{}s", length.as_seconds_f64())));
    }
    Ok(length.num_seconds() * 1_000_000)
}

/// A name from a rule as a message quotes it.
fn shown(name: &str) -> String {
    let mut letters = name.chars();
    let start: String = letters.by_ref().take(64).collect();
    let rest = if letters.next().is_some() { "…" } else { "" };
    format!("`{}{rest}`", start.escape_debug())
}
