//! What contacts did and what deals they have: chains of calls, from the events to a number.

use super::lexer::Token;
use super::spans::Spans;
use super::{Fault, Parser};
use crate::rule::{Aggregate, Behaviour, Deals, Filter, Operator, Order, Rule, Sequel, Window};

const STEPS: [&str; 12] = [
    "any",
    "avg",
    "before",
    "between",
    "count",
    "followed_by",
    "max",
    "min",
    "not_followed_by",
    "sum",
    "where",
    "within",
];

const STEPS_OF_DEALS: [&str; 8] = ["any", "avg", "count", "exists", "max", "min", "sum", "where"];

/// An aggregate and what it is compared with.
struct Compared {
    aggregate: Aggregate,
    operator: Operator,
    value: f64,
}

impl Compared {
    fn any() -> Self {
        Self { aggregate: Aggregate::Count, operator: Operator::GreaterOrEqual, value: 1.0 }
    }
}

impl Parser<'_> {
    /// `events("login").where(e, …).within("30d").followed_by("purchase", "24h").count() >= 3`, the steps between the
    /// events and the aggregate in any order and each at most once.
    pub(super) fn behaviour(&mut self) -> Result<(Rule, Vec<Spans>), Fault> {
        self.advance()?;
        self.expect("(")?;
        let event = self.text("the name of an event in quotes")?;
        self.expect(")")?;
        let mut parts = vec![Spans::new("event", event.range)];
        let (mut filters, mut window, mut order) = (Vec::new(), None, None);
        let compared = loop {
            if order.is_some() && !self.is(".") {
                break Compared::any();
            }
            self.expect(".")?;
            match self.token {
                Token::Name("where") if filters.is_empty() => {
                    filters = self.conditions(&mut parts)?;
                }
                Token::Name("within" | "between" | "before") if window.is_none() => {
                    window = Some(self.window(&mut parts)?);
                }
                Token::Name("followed_by" | "not_followed_by") if order.is_none() => {
                    order = Some(self.order(&mut parts)?);
                }
                _ => {
                    let expected = "a step that is not there yet, as `where`, `within` or `not_followed_by`, \
                                    or `any`, `count`, `sum`, `min`, `max` or `avg`";
                    break self.aggregate((expected, &STEPS), &mut parts)?;
                }
            }
        };
        let behaviour = Behaviour {
            event: event.value,
            filters,
            window: window.unwrap_or(Window::EVER),
            order,
            aggregate: compared.aggregate,
            operator: compared.operator,
            value: compared.value,
        };
        Ok((Rule::Behaviour(behaviour), parts))
    }

    /// `deals.exists(d, …)`, or `deals.where(d, …).sum("amount") >= 50000.0`.
    pub(super) fn deals(&mut self) -> Result<(Rule, Vec<Spans>), Fault> {
        let mut parts = Vec::new();
        self.advance()?;
        self.expect(".")?;
        let (filters, compared) = if self.is_name("exists") {
            (self.conditions(&mut parts)?, Compared::any())
        } else {
            let mut filters = Vec::new();
            if self.is_name("where") {
                filters = self.conditions(&mut parts)?;
                self.expect(".")?;
            }
            let expected = if filters.is_empty() {
                "`exists`, `where`, `any`, `count`, `sum`, `min`, `max` or `avg`"
            } else {
                "`any`, `count`, `sum`, `min`, `max` or `avg`"
            };
            (filters, self.aggregate((expected, &STEPS_OF_DEALS), &mut parts)?)
        };
        let Compared { aggregate, operator, value } = compared;
        Ok((Rule::Deals(Deals { filters, aggregate, operator, value }), parts))
    }

    /// What follows `where` or `exists`, which is the present token: `(e, e.amount >= 50.0 && has(e.coupon))`.
    fn conditions(&mut self, parts: &mut Vec<Spans>) -> Result<Vec<Filter>, Fault> {
        let start = self.range.start;
        self.advance()?;
        self.expect("(")?;
        let variable = self.name("a name that stands for each, as `e`")?.value;
        self.expect(",")?;
        let mut filters = Vec::new();
        loop {
            if filters.len() == self.limits.operands {
                return Err(self.too_many(self.limits.operands, "filters"));
            }
            self.count_node()?;
            let start = self.range.start;
            let (filter, inner) = self.condition_on(variable)?;
            let whole = Spans::new("where", start..self.end).with(inner);
            parts.push(whole.numbered("where", filters.len()));
            filters.push(filter);
            if !self.eat("&&")? {
                break;
            }
        }
        if !self.eat(")")? {
            return Err(self.fault("`&&` or `)`"));
        }
        parts.push(Spans::new("where", start..self.end));
        Ok(filters)
    }

    fn condition_on(&mut self, variable: &str) -> Result<(Filter, Vec<Spans>), Fault> {
        if self.is_name("has") && variable != "has" {
            self.advance()?;
            self.expect("(")?;
            let (property, part) = self.property(variable)?;
            self.expect(")")?;
            return Ok((Filter::Has { property }, vec![part]));
        }
        let (property, part) = self.property(variable)?;
        let (filter, mut parts) = self.test(property)?;
        parts.push(part);
        Ok((filter, parts))
    }

    fn property(&mut self, variable: &str) -> Result<(String, Spans), Fault> {
        if !self.is_name(variable) {
            return Err(self.fault(format!("a condition on a property, as `{variable}.amount`")));
        }
        let start = self.range.start;
        self.advance()?;
        let name = self.member()?;
        Ok((name, Spans::new("property", start..self.end)))
    }

    /// `within("30d")`, `between("90d", "30d")` or `before("30d")`.
    fn window(&mut self, parts: &mut Vec<Spans>) -> Result<Window, Fault> {
        let step = self.name("a window")?.value;
        self.expect("(")?;
        let first = self.duration()?;
        let window = match step {
            "within" => {
                parts.push(Spans::new("from", first.range));
                Window::within(first.value)
            }
            "before" => {
                parts.push(Spans::new("to", first.range));
                Window { from: None, to: first.value }
            }
            _ => {
                self.expect(",")?;
                let last = self.duration()?;
                parts.push(Spans::new("from", first.range));
                parts.push(Spans::new("to", last.range));
                Window::between(first.value, last.value)
            }
        };
        self.expect(")")?;
        Ok(window)
    }

    /// `followed_by("purchase", "24h")` or `not_followed_by("purchase", "24h")`.
    fn order(&mut self, parts: &mut Vec<Spans>) -> Result<Order, Fault> {
        let step = self.name("an order")?;
        let sequel = match step.value {
            "followed_by" => Sequel::FollowedBy,
            _ => Sequel::NotFollowedBy,
        };
        self.expect("(")?;
        let event = self.text("the name of an event in quotes")?;
        self.expect(",")?;
        let within = self.duration()?;
        self.expect(")")?;
        let inner = vec![Spans::new("event", event.range), Spans::new("within", within.range)];
        parts.push(Spans::new("order", step.range.start..self.end).with(inner));
        Ok(Order { sequel, event: event.value, within: within.value })
    }

    fn aggregate(
        &mut self,
        (expected, known): (&str, &[&'static str]),
        parts: &mut Vec<Spans>,
    ) -> Result<Compared, Fault> {
        let of: Option<fn(String) -> Aggregate> = match self.token {
            Token::Name("any" | "count") => None,
            Token::Name("sum") => Some(Aggregate::Sum),
            Token::Name("min") => Some(Aggregate::Min),
            Token::Name("max") => Some(Aggregate::Max),
            Token::Name("avg") => Some(Aggregate::Average),
            _ => return Err(self.unknown(expected, known)),
        };
        let name = self.name(expected)?.value;
        self.expect("(")?;
        let aggregate = match of {
            None => Aggregate::Count,
            Some(of) => {
                let property = self.text("the name of a property in quotes")?;
                let aggregate = of(property.value);
                parts.push(Spans::new(aggregate.parts().0, property.range));
                aggregate
            }
        };
        self.expect(")")?;
        if name == "any" {
            return Ok(Compared::any());
        }
        let Some(operator) = self.operator() else {
            return Err(self.fault("`==`, `!=`, `<`, `<=`, `>` or `>=`"));
        };
        parts.push(Spans::new("operator", self.advance()?.range));
        let start = self.range.start;
        let value = self.number("a number")?;
        parts.push(Spans::new("value", start..self.end));
        Ok(Compared { aggregate, operator, value })
    }
}
