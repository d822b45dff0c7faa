//! Conditions and how they are joined: `||` binds less than `&&`, and that less than `!`, as in CEL.

use super::lexer::Token;
use super::spans::Spans;
use super::values::Operand;
use super::{Fault, Parsed, Parser, Written};
use crate::rule::{ACCOUNT, Filter, Position, Rule};

const CONDITIONS: [&str; 10] = [
    "account",
    "bucket",
    "contact",
    "deals",
    "events",
    "false",
    "has",
    "in_segment",
    "subscribed",
    "true",
];

const METHODS: [&str; 3] = ["contains", "endsWith", "startsWith"];

impl Parser<'_> {
    pub(super) fn rule(&mut self) -> Result<Parsed, Fault> {
        self.joined("||", ("any", Rule::Any), Self::conjunction)
    }

    fn conjunction(&mut self) -> Result<Parsed, Fault> {
        self.joined("&&", ("all", Rule::All), Self::negation)
    }

    fn joined(
        &mut self,
        symbol: &str,
        (step, join): (&'static str, fn(Vec<Rule>) -> Rule),
        operand: fn(&mut Self) -> Result<Parsed, Fault>,
    ) -> Result<Parsed, Fault> {
        let start = self.range.start;
        let first = operand(self)?;
        if !self.is(symbol) {
            return Ok(first);
        }
        self.count_node()?;
        let mut rules = vec![first.rule];
        let mut spans = vec![first.spans.numbered(step, 0)];
        while self.is(symbol) {
            if rules.len() == self.limits.operands {
                return Err(self.too_many(self.limits.operands, "operands"));
            }
            self.advance()?;
            let next = operand(self)?;
            spans.push(next.spans.numbered(step, rules.len()));
            rules.push(next.rule);
        }
        Ok(Parsed { rule: join(rules), spans: Spans::new("", start..self.end).with(spans) })
    }

    fn negation(&mut self) -> Result<Parsed, Fault> {
        if !self.is("!") {
            return self.condition();
        }
        let start = self.range.start;
        self.enter()?;
        let operand = self.negation()?;
        self.leave();
        self.count_node()?;
        let spans = Spans::new("", start..self.end).with(vec![operand.spans.named("not")]);
        Ok(Parsed { rule: Rule::Not(Box::new(operand.rule)), spans })
    }

    fn condition(&mut self) -> Result<Parsed, Fault> {
        if self.is("(") {
            self.enter()?;
            let inner = self.rule()?;
            self.leave();
            if !self.is(")") {
                return Err(self.fault("`&&`, `||` or `)`"));
            }
            self.advance()?;
            return Ok(inner);
        }
        self.count_node()?;
        let start = self.range.start;
        let (rule, parts) = self.leaf()?;
        Ok(Parsed { rule, spans: Spans::new("", start..self.end).with(parts) })
    }

    fn leaf(&mut self) -> Result<(Rule, Vec<Spans>), Fault> {
        const EXPECTED: &str =
            "a condition on `contact`, `account`, `events(…)` or `deals`, or a function";
        let name = match &self.token {
            Token::Name(name) => *name,
            Token::Text(_) => return self.contains(),
            _ => return Err(self.fault(EXPECTED)),
        };
        match name {
            "contact" | "account" => {
                let attribute = self.attribute()?;
                let (test, mut parts) = self.test(attribute.value)?;
                parts.push(Spans::new("attribute", attribute.range));
                Ok((of_contact(test), parts))
            }
            "events" => self.behaviour(),
            "deals" => self.deals(),
            "has" => {
                self.advance()?;
                self.expect("(")?;
                let attribute = self.attribute()?;
                self.expect(")")?;
                let parts = vec![Spans::new("attribute", attribute.range)];
                Ok((Rule::Has { attribute: attribute.value }, parts))
            }
            "in_segment" => {
                let id = self.only_argument("the id of a segment in quotes")?;
                let parts = vec![Spans::new("segment", id.range)];
                Ok((Rule::InSegment { segment: id.value }, parts))
            }
            "subscribed" => {
                let topic = self.only_argument("a topic in quotes")?;
                let parts = vec![Spans::new("topic", topic.range)];
                Ok((Rule::Subscribed { topic: topic.value }, parts))
            }
            "bucket" => self.bucket(),
            "true" | "false" => {
                self.advance()?;
                let join = if name == "true" { Rule::All } else { Rule::Any };
                Ok((join(Vec::new()), Vec::new()))
            }
            _ => Err(self.unknown(EXPECTED, &CONDITIONS)),
        }
    }

    /// `"vip" in contact.tags`
    fn contains(&mut self) -> Result<(Rule, Vec<Spans>), Fault> {
        let member = self.text("a string")?;
        if !self.is_name("in") {
            return Err(self.fault("`in`"));
        }
        self.advance()?;
        let attribute = self.attribute()?;
        let parts =
            vec![Spans::new("member", member.range), Spans::new("attribute", attribute.range)];
        Ok((Rule::Contains { attribute: attribute.value, member: member.value }, parts))
    }

    /// `bucket("holdout-2026", 0, 10)`
    fn bucket(&mut self) -> Result<(Rule, Vec<Spans>), Fault> {
        self.advance()?;
        self.expect("(")?;
        let salt = self.text("a salt in quotes")?;
        self.expect(",")?;
        let from = self.hundredths()?;
        self.expect(",")?;
        let to = self.hundredths()?;
        self.expect(")")?;
        let parts = vec![
            Spans::new("salt", salt.range),
            Spans::new("from", from.range),
            Spans::new("to", to.range),
        ];
        Ok((Rule::Bucket { salt: salt.value, from: from.value, to: to.value }, parts))
    }

    /// A function, which is the present token, of one string.
    fn only_argument(&mut self, expected: &str) -> Result<Written<String>, Fault> {
        self.advance()?;
        self.expect("(")?;
        let argument = self.text(expected)?;
        self.expect(")")?;
        Ok(argument)
    }

    /// `contact.plan` or `account["number of seats"]`, as the name of an attribute.
    fn attribute(&mut self) -> Result<Written<String>, Fault> {
        const EXPECTED: &str = "an attribute of `contact` or `account`";
        let prefix = match self.token {
            Token::Name("contact") => "",
            Token::Name("account") => ACCOUNT,
            _ => return Err(self.unknown(EXPECTED, &["account", "contact"])),
        };
        let start = self.range.start;
        self.advance()?;
        let name = self.member()?;
        Ok(Written { value: format!("{prefix}{name}"), range: start..self.end })
    }

    /// What follows the name of that which has it: `.plan` or `["first name"]`.
    pub(super) fn member(&mut self) -> Result<String, Fault> {
        if self.eat(".")? {
            return Ok(self.name("a name")?.value.to_owned());
        }
        if !self.is("[") {
            return Err(self.fault("`.` and a name"));
        }
        self.advance()?;
        let name = self.text("a name in quotes")?.value;
        self.expect("]")?;
        Ok(name)
    }

    /// What is asked of an attribute or of a property, which was just read.
    pub(super) fn test(&mut self, property: String) -> Result<(Filter, Vec<Spans>), Fault> {
        if let Some(operator) = self.operator() {
            let symbol = self.advance()?.range;
            let start = self.range.start;
            let operand = self.operand()?;
            let range = start..self.end;
            let (filter, part) = match operand {
                Operand::Literal(value) => {
                    (Filter::Compare { property, operator, value }, Spans::new("value", range))
                }
                Operand::Now(offset) => {
                    (Filter::Age { property, operator, offset }, Spans::new("offset", range))
                }
            };
            return Ok((filter, vec![Spans::new("operator", symbol), part]));
        }
        if self.is_name("in") {
            self.advance()?;
            let start = self.range.start;
            let (values, spans) = self.list()?;
            // The list as a whole is named without an index, its values with one.
            let mut parts = spans;
            parts.push(Spans::new("values", start..self.end));
            return Ok((Filter::In { property, values }, parts));
        }
        if !self.eat(".")? {
            let expected = "`==`, `!=`, `<`, `<=`, `>`, `>=`, `in [` or a method as `.contains(`";
            return Err(self.fault(expected));
        }
        let position = match self.token {
            Token::Name("contains") => Position::Anywhere,
            Token::Name("startsWith") => Position::Start,
            Token::Name("endsWith") => Position::End,
            _ => {
                let expected = "`contains`, `startsWith` or `endsWith`";
                return Err(self.unknown(expected, &METHODS));
            }
        };
        let text = self.only_argument("a string")?;
        let part = Spans::new("text", text.range);
        Ok((Filter::Text { property, position, text: text.value }, vec![part]))
    }
}

/// The same question, asked of an attribute.
fn of_contact(test: Filter) -> Rule {
    match test {
        Filter::Has { property } => Rule::Has { attribute: property },
        Filter::Compare { property, operator, value } => {
            Rule::Compare { attribute: property, operator, value }
        }
        Filter::In { property, values } => Rule::In { attribute: property, values },
        Filter::Text { property, position, text } => {
            Rule::Text { attribute: property, position, text }
        }
        Filter::Age { property, operator, offset } => {
            Rule::Age { attribute: property, operator, offset }
        }
    }
}
