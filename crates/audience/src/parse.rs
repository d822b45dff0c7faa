//! From text to a rule: the part of CEL that rules are written in, read in one pass and without looking back.
//!
//! `lexer` cuts the text into words; `rules`, `chains` and `values` are the grammar; `spans` remembers where each part
//! of the rule was. What it costs is bounded by the limits, whatever the text.

mod chains;
mod lexer;
mod rules;
mod spans;
mod values;

use std::ops::Range;

use crate::closest::closest;
use crate::error::{Place, RuleError, TextError};
use crate::limits::Limits;
use crate::plan::Plan;
use crate::rule::Rule;
use crate::schema::Schema;
use crate::shape::Room;

use lexer::{Lexer, Token};
use spans::Spans;

/// A rule read from text, which remembers where in the text each of its parts was.
#[derive(Clone, Debug)]
pub struct RuleText<'a> {
    text: &'a str,
    rule: Rule,
    spans: Spans,
}

impl Rule {
    /// Reads a rule, as `Display` or a person wrote it. Whether it makes sense in a workspace,
    /// [`Plan::compile`] says.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, TextError> {
        RuleText::parse(text, limits).map(RuleText::into_rule)
    }
}

impl<'a> RuleText<'a> {
    /// Reads a rule that is within the limits.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, TextError> {
        let Parsed { rule, spans } =
            Parser::read(text, limits).map_err(|fault| fault.in_text(text))?;
        let read = Self { text, rule, spans };
        match Room::new(limits).admit_whole(&read.rule, limits) {
            Ok(()) => Ok(read),
            Err(error) => Err(read.locate(&error)),
        }
    }

    /// Checks the rule; what is wrong is shown in the text.
    pub fn compile(&self, schema: &Schema, limits: Limits) -> Result<Plan, TextError> {
        Plan::compile(&self.rule, schema, limits).map_err(|error| self.locate(&error))
    }

    /// Where in the text that is which is wrong with the rule.
    pub fn locate(&self, error: &RuleError) -> TextError {
        TextError {
            place: Place::new(self.text, self.spans.find(&error.path)),
            expected: error.expected.clone(),
            found: error.found.clone(),
            closest: error.closest.clone(),
        }
    }

    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    pub fn into_rule(self) -> Rule {
        self.rule
    }
}

/// What keeps a text from being a rule.
#[derive(Debug)]
struct Fault {
    range: Range<usize>,
    expected: String,
    found: String,
    closest: Option<String>,
}

impl Fault {
    fn new(range: Range<usize>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { range, expected: expected.into(), found: found.into(), closest: None }
    }

    fn with_closest(mut self, closest: Option<&str>) -> Self {
        self.closest = closest.map(str::to_owned);
        self
    }

    fn in_text(self, text: &str) -> TextError {
        let Self { range, expected, found, closest } = self;
        TextError { place: Place::new(text, range), expected, found, closest }
    }
}

/// A rule with the places of its parts.
#[derive(Debug)]
struct Parsed {
    rule: Rule,
    spans: Spans,
}

/// A part of a rule and where it was.
#[derive(Debug)]
struct Written<T> {
    value: T,
    range: Range<usize>,
}

/// Reads with one token of foresight.
#[derive(Debug)]
struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    range: Range<usize>,
    /// Where the token before this one ended.
    end: usize,
    limits: &'a Limits,
    /// How many more nodes there may be.
    nodes: usize,
    /// How many more parentheses and negations may be open.
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn read(text: &'a str, limits: &'a Limits) -> Result<Parsed, Fault> {
        if text.len() > limits.text {
            let expected = format!("at most {} bytes", limits.text);
            return Err(Fault::new(0..0, expected, text.len().to_string()));
        }
        let mut lexer = Lexer::new(text);
        let (token, range) = lexer.next()?;
        // A level of the tree is written with one negation and one pair of parentheses at most.
        let nesting = limits.depth.saturating_mul(2);
        let mut parser = Self { lexer, token, range, end: 0, limits, nodes: limits.nodes, nesting };
        let parsed = parser.rule()?;
        match parser.token {
            Token::End => Ok(parsed),
            _ => Err(parser.fault("`&&`, `||` or the end of the text")),
        }
    }

    /// Goes to the next token and returns this one with its place.
    fn advance(&mut self) -> Result<Written<Token<'a>>, Fault> {
        let (token, range) = self.lexer.next()?;
        self.end = self.range.end;
        let value = std::mem::replace(&mut self.token, token);
        let range = std::mem::replace(&mut self.range, range);
        Ok(Written { value, range })
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(found) if found == symbol)
    }

    fn eat(&mut self, symbol: &str) -> Result<bool, Fault> {
        let found = self.is(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.eat(symbol)? { Ok(()) } else { Err(self.fault(format!("`{symbol}`"))) }
    }

    /// A string, whose escapes are resolved.
    fn text(&mut self, expected: &str) -> Result<Written<String>, Fault> {
        let Token::Text(text) = &mut self.token else { return Err(self.fault(expected)) };
        let value = std::mem::take(text);
        let range = self.advance()?.range;
        Ok(Written { value, range })
    }

    fn name(&mut self, expected: &str) -> Result<Written<&'a str>, Fault> {
        let Token::Name(value) = self.token else { return Err(self.fault(expected)) };
        let range = self.advance()?.range;
        Ok(Written { value, range })
    }

    /// Whether the present token is this name.
    fn is_name(&self, name: &str) -> bool {
        matches!(self.token, Token::Name(found) if found == name)
    }

    /// The present token is not what belongs there.
    fn fault(&self, expected: impl Into<String>) -> Fault {
        let written = self.lexer.text.get(self.range.clone()).unwrap_or_default();
        Fault::new(self.range.clone(), expected, self.token.shown(written))
    }

    /// The present token is not what belongs there, but perhaps a misspelt one of those that do.
    fn unknown(&self, expected: impl Into<String>, known: &[&'static str]) -> Fault {
        let fault = self.fault(expected);
        match self.token {
            Token::Name(name) => fault.with_closest(closest(name, known.iter().copied())),
            _ => fault,
        }
    }

    fn count_node(&mut self) -> Result<(), Fault> {
        match self.nodes.checked_sub(1) {
            Some(left) => self.nodes = left,
            None => return Err(self.too_many(self.limits.nodes, "nodes")),
        }
        Ok(())
    }

    /// Opens a parenthesis or a negation, which is the present token.
    fn enter(&mut self) -> Result<(), Fault> {
        match self.nesting.checked_sub(1) {
            Some(left) => self.nesting = left,
            None => return Err(self.too_many(self.limits.depth, "levels")),
        }
        self.advance().map(drop)
    }

    fn leave(&mut self) {
        self.nesting += 1;
    }

    fn too_many(&self, most: usize, of: &str) -> Fault {
        Fault::new(self.range.clone(), format!("at most {most} {of}"), "more")
    }
}
