//! What contacts did and what deals they have.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::literals::{List, comparable, list, named, seconds, wanted, well_formed};
use super::{Compiler, LONGEST};
use crate::closest::closest;
use crate::error::{RuleError, shown};
use crate::mentions::{Field, Reach};
use crate::node::{
    AggregateTest, BehaviourTest, CountTest, NumberTest, OrderTest, PropertyTest, Reduction,
    TextTest,
};
use crate::rule::{Aggregate, Behaviour, Deals, Filter, Literal, Operator, Order, Sequel, Window};
use crate::schema::{DEALS, Kind};
use crate::window::Span;

/// The most events a count is compared with: a contact cannot have more.
const MOST_EVENTS: f64 = 1e9;

const SECOND: TimeDelta = TimeDelta::seconds(1);

const KINDS: [Kind; 5] = [Kind::Text, Kind::Number, Kind::Flag, Kind::Time, Kind::TextSet];

impl Compiler<'_> {
    pub(super) fn behaviour(
        &mut self,
        rule: &Behaviour,
        path: &str,
    ) -> Result<BehaviourTest, RuleError> {
        self.event(&rule.event, path)?;
        let reach = rule.window.from.map_or(Reach::Ever, Reach::Last);
        let test = BehaviourTest {
            event: rule.event.clone(),
            filters: self.filters(&rule.event, &rule.filters, path)?,
            span: self.span(rule.window, path)?,
            order: self.order(rule, &format!("{path}.order"))?,
            aggregate: self.aggregate(
                &rule.event,
                (&rule.aggregate, rule.operator, rule.value),
                path,
            )?,
        };
        if let Some(order) = &test.order {
            // What follows an event in the window is later than the window's beginning.
            self.mention(&order.event, reach, []);
        }
        self.mention_test(&test, reach);
        Ok(test)
    }

    pub(super) fn deals(&mut self, rule: &Deals, path: &str) -> Result<BehaviourTest, RuleError> {
        if self.schema.properties(DEALS).is_none_or(BTreeMap::is_empty) {
            return Err(RuleError::new(path, "a workspace with deals", "`deals`"));
        }
        let aggregate = (&rule.aggregate, rule.operator, rule.value);
        let test = BehaviourTest {
            event: DEALS.to_owned(),
            filters: self.filters(DEALS, &rule.filters, path)?,
            span: Span::ALWAYS,
            order: None,
            aggregate: self.aggregate(DEALS, aggregate, path)?,
        };
        self.mention_test(&test, Reach::Ever);
        Ok(test)
    }

    fn event(&self, event: &str, path: &str) -> Result<(), RuleError> {
        if event.is_empty() || event == DEALS || !self.schema.allows_event(event) {
            let expected = "the name of an event of the workspace";
            return Err(RuleError::new(format!("{path}.event"), expected, shown(event))
                .with_closest(closest(event, self.schema.events())));
        }
        Ok(())
    }

    fn span(&self, window: Window, path: &str) -> Result<Span, RuleError> {
        let longest = self.limits.window.min(LONGEST);
        let Some(from) = window.from else {
            let to = seconds(window.to, TimeDelta::zero(), longest, &format!("{path}.to"))?;
            return Ok(Span { from: Span::EVER, to });
        };
        let from_micros = seconds(from, SECOND, longest, &format!("{path}.from"))?;
        let to = seconds(window.to, TimeDelta::zero(), from - SECOND, &format!("{path}.to"))?;
        Ok(Span { from: from_micros, to })
    }

    fn order(&self, rule: &Behaviour, path: &str) -> Result<Option<OrderTest>, RuleError> {
        let Some(Order { sequel, event, within }) = &rule.order else { return Ok(None) };
        self.event(event, path)?;
        let longest = self.limits.window.min(LONGEST);
        let most = match (sequel, rule.window.from) {
            // By the time that nothing can follow any more, an event would have left the window.
            (Sequel::NotFollowedBy, Some(from)) => longest.min(from - SECOND),
            _ => longest,
        };
        let within = seconds(*within, SECOND, most, &format!("{path}.within"))?;
        Ok(Some(OrderTest { sequel: *sequel, event: event.clone(), within }))
    }

    fn filters(
        &self,
        event: &str,
        filters: &[Filter],
        path: &str,
    ) -> Result<Vec<PropertyTest>, RuleError> {
        let filter =
            |(index, filter)| self.filter(event, filter, &format!("{path}.where[{index}]"));
        filters.iter().enumerate().map(filter).collect()
    }

    fn filter(&self, event: &str, rule: &Filter, path: &str) -> Result<PropertyTest, RuleError> {
        let known = self.property(event, rule.property(), &format!("{path}.property"))?;
        let property = rule.property().to_owned();
        let only = |wanted: &[Kind], expected: &str| match known {
            Some(kind) if !wanted.contains(&kind) => {
                let found = format!("{}, which is {kind}", shown(&property));
                let expected = format!("a property that is {expected}");
                Err(RuleError::new(format!("{path}.property"), expected, found))
            }
            _ => Ok(()),
        };
        Ok(match rule {
            Filter::Has { .. } => {
                let kinds = known.map_or(KINDS.to_vec(), |kind| vec![kind]);
                PropertyTest::Has { property, kinds }
            }
            Filter::Compare { operator, value, .. } => {
                let kind = known.unwrap_or(value.kind());
                comparable(kind, value, &format!("{path}.value"))?;
                compare(property, *operator, value, path)?
            }
            Filter::In { values, .. } => {
                only(&[Kind::Text, Kind::Number], "a string or a number")?;
                let of_first = values.first().map(Literal::kind);
                let kind = known.or(of_first.filter(|kind| *kind == Kind::Number));
                match list(kind.unwrap_or(Kind::Text), values, path)? {
                    List::Texts(texts) => {
                        PropertyTest::Text { property, test: TextTest::In(texts) }
                    }
                    List::Numbers(numbers) => {
                        PropertyTest::Number { property, test: NumberTest::In(numbers) }
                    }
                }
            }
            Filter::Text { position, text, .. } => {
                only(&[Kind::Text], "a string")?;
                PropertyTest::Text { property, test: TextTest::Match(*position, text.clone()) }
            }
            Filter::Age { operator, offset, .. } => {
                only(&[Kind::Time], "a timestamp")?;
                let offset = seconds(*offset, -LONGEST, LONGEST, &format!("{path}.offset"))?;
                PropertyTest::Age { property, operator: *operator, offset }
            }
        })
    }

    /// The kind of a property, if it is known which properties the event has.
    fn property(&self, event: &str, name: &str, path: &str) -> Result<Option<Kind>, RuleError> {
        named(name, path)?;
        let Some(properties) = self.schema.properties(event) else { return Ok(None) };
        if let Some(kind) = properties.get(name) {
            return Ok(Some(*kind));
        }
        let of = if event == DEALS { "deals" } else { "the event" };
        Err(RuleError::new(path, format!("a property of {of}"), shown(name))
            .with_closest(closest(name, properties.keys().map(String::as_str))))
    }

    fn aggregate(
        &self,
        event: &str,
        (aggregate, operator, value): (&Aggregate, Operator, f64),
        path: &str,
    ) -> Result<AggregateTest, RuleError> {
        let reduction = match aggregate {
            Aggregate::Count => return count(operator, value, &format!("{path}.value")),
            Aggregate::Sum(_) => Reduction::Sum,
            Aggregate::Min(_) => Reduction::Min,
            Aggregate::Max(_) => Reduction::Max,
            Aggregate::Average(_) => Reduction::Average,
        };
        let (name, property) = aggregate.parts();
        let property = property.unwrap_or_default();
        let part = format!("{path}.{name}");
        match self.property(event, property, &part)? {
            None | Some(Kind::Number) => {}
            Some(kind) => {
                let found = format!("{}, which is {kind}", shown(property));
                return Err(RuleError::new(part, "a property that is a number", found));
            }
        }
        well_formed(&Literal::Number(value), &format!("{path}.value"))?;
        Ok(AggregateTest::Number { reduction, property: property.to_owned(), operator, value })
    }

    fn mention_test(&mut self, test: &BehaviourTest, reach: Reach) {
        let amount = match &test.aggregate {
            AggregateTest::Count(_) => None,
            AggregateTest::Number { property, .. } => {
                Some(Field { name: property.clone(), kind: Kind::Number })
            }
        };
        let filtered = test.filters.iter().flat_map(PropertyTest::fields);
        self.mention(&test.event, reach, filtered.chain(amount));
    }

    fn mention(&mut self, event: &str, reach: Reach, properties: impl IntoIterator<Item = Field>) {
        let mention = self.findings.mentions.events.entry(event.to_owned()).or_default();
        mention.properties.extend(properties);
        mention.reach = mention.reach.max(reach);
    }
}

fn compare(
    property: String,
    operator: Operator,
    value: &Literal,
    path: &str,
) -> Result<PropertyTest, RuleError> {
    Ok(match value {
        Literal::Text(text) => {
            PropertyTest::Text { property, test: TextTest::Compare(operator, text.clone()) }
        }
        Literal::Number(number) => {
            PropertyTest::Number { property, test: NumberTest::Compare(operator, *number) }
        }
        Literal::Flag(flag) => {
            PropertyTest::Flag { property, wanted: wanted(operator, *flag, path)? }
        }
        Literal::Time(time) => {
            PropertyTest::Time { property, operator, time: time.timestamp_micros() }
        }
    })
}

fn count(operator: Operator, value: f64, path: &str) -> Result<AggregateTest, RuleError> {
    if !(0.0..=MOST_EVENTS).contains(&value) || value.fract() != 0.0 {
        let expected = format!("a whole number from 0 to {MOST_EVENTS}");
        return Err(RuleError::new(path, expected, value.to_string()));
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and at most 1e9")]
    #[expect(clippy::cast_sign_loss, reason = "it is at least 0")]
    let count = value as usize;
    Ok(AggregateTest::Count(CountTest::new(operator, count)))
}
