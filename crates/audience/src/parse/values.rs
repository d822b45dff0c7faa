//! What attributes, properties and aggregates are compared with: literals, moments and lengths of time.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use winnow::Parser as _;
use winnow::ascii::digit1;
use winnow::combinator::repeat;
use winnow::token::one_of;

use super::lexer::Token;
use super::spans::Spans;
use super::{Fault, Parser, Written};
use crate::rule::{Literal, Operator};

/// What CEL and the contract of the service take for a timestamp.
const YEARS: RangeInclusive<i32> = 1..=9_999;

const VALUES: [&str; 4] = ["false", "now", "timestamp", "true"];

/// What stands on the right of an operator.
pub(super) enum Operand {
    Literal(Literal),
    /// So much is added to the present moment.
    Now(TimeDelta),
}

impl Parser<'_> {
    /// The operator that the present token is.
    pub(super) fn operator(&self) -> Option<Operator> {
        let Token::Symbol(symbol) = self.token else { return None };
        Some(match symbol {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return None,
        })
    }

    pub(super) fn operand(&mut self) -> Result<Operand, Fault> {
        if !self.is_name("now") {
            let expected = "a string, a number, `true`, `false`, `timestamp(\"…\")` or `now`";
            return self.literal(expected).map(Operand::Literal);
        }
        self.advance()?;
        let sign = match self.token {
            Token::Symbol("-") => -1,
            Token::Symbol("+") => 1,
            _ => return Ok(Operand::Now(TimeDelta::zero())),
        };
        self.advance()?;
        if !self.is_name("duration") {
            return Err(self.unknown("`duration(\"…\")`", &["duration"]));
        }
        self.advance()?;
        self.expect("(")?;
        let length = self.duration()?.value;
        self.expect(")")?;
        Ok(Operand::Now(length * sign))
    }

    /// `["DE", "FR"]`, with or without a comma at its end.
    pub(super) fn list(&mut self) -> Result<(Vec<Literal>, Vec<Spans>), Fault> {
        let (mut values, mut spans) = (Vec::new(), Vec::new());
        self.expect("[")?;
        while !self.eat("]")? {
            if values.len() == self.limits.list {
                return Err(self.too_many(self.limits.list, "values"));
            }
            let start = self.range.start;
            values.push(self.literal("a string, a number or `]`")?);
            let range = start..self.end;
            spans.push(Spans::new("values", range).numbered("values", spans.len()));
            if !self.is("]") && !self.eat(",")? {
                return Err(self.fault("`,` or `]`"));
            }
        }
        Ok((values, spans))
    }

    fn literal(&mut self, expected: &str) -> Result<Literal, Fault> {
        match &self.token {
            Token::Text(_) => Ok(Literal::Text(self.text(expected)?.value)),
            Token::Number(_) | Token::Symbol("-") => self.number(expected).map(Literal::Number),
            Token::Name(flag @ ("true" | "false")) => {
                let flag = *flag == "true";
                self.advance()?;
                Ok(Literal::Flag(flag))
            }
            Token::Name("timestamp") => {
                self.advance()?;
                self.expect("(")?;
                let time = self.time()?;
                self.expect(")")?;
                Ok(Literal::Time(time))
            }
            _ => Err(self.unknown(expected, &VALUES)),
        }
    }

    /// A number with or without a point, a sign and an exponent.
    pub(super) fn number(&mut self, expected: &str) -> Result<f64, Fault> {
        let start = self.range.start;
        let is_negative = self.eat("-")?;
        let Token::Number(digits) = self.token else { return Err(self.fault(expected)) };
        let written = self.advance()?;
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(if is_negative { -number } else { number }),
            _ => Err(Fault::new(
                start..written.range.end,
                "a number of at most 1.7976931348623157e308",
                written.value.shown(digits),
            )),
        }
    }

    /// One end of a range of parts of a hundred.
    pub(super) fn hundredths(&mut self) -> Result<Written<u8>, Fault> {
        const EXPECTED: &str = "a whole number from 0 to 100";
        let Token::Number(digits) = self.token else { return Err(self.fault(EXPECTED)) };
        match digits.parse::<u8>() {
            Ok(value) if value <= 100 => Ok(Written { value, range: self.advance()?.range }),
            _ => Err(self.fault(EXPECTED)),
        }
    }

    /// A length of time in quotes.
    pub(super) fn duration(&mut self) -> Result<Written<TimeDelta>, Fault> {
        const EXPECTED: &str =
            "a length of time, as `\"30d\"`, `\"24h\"`, `\"90m\"` or `\"1h30m\"`";
        let fault = self.fault(EXPECTED);
        let Written { value, range } = self.text(EXPECTED)?;
        match length(&value) {
            Some(value) => Ok(Written { value, range }),
            None => Err(fault),
        }
    }

    fn time(&mut self) -> Result<DateTime<Utc>, Fault> {
        const EXPECTED: &str = "a timestamp, as `\"2026-01-31T12:00:00Z\"`";
        let fault = self.fault(EXPECTED);
        let text = self.text(EXPECTED)?.value;
        match DateTime::parse_from_rfc3339(&text) {
            Ok(time) if YEARS.contains(&time.to_utc().year()) => Ok(time.to_utc()),
            _ => Err(fault),
        }
    }
}

/// Days, hours, minutes and seconds, added up; `None` beyond what can be counted.
fn length(text: &str) -> Option<TimeDelta> {
    let add = |sum: i64, (amount, unit): (i64, i64)| sum.checked_add(amount.checked_mul(unit)?);
    let seconds = repeat(1.., (amount, unit)).verify_fold(|| 0, add).parse(text).ok()?;
    TimeDelta::try_seconds(seconds)
}

fn amount(input: &mut &str) -> winnow::Result<i64> {
    digit1.try_map(str::parse).parse_next(input)
}

fn unit(input: &mut &str) -> winnow::Result<i64> {
    let seconds = |unit| match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        _ => 1,
    };
    one_of(['d', 'h', 'm', 's']).map(seconds).parse_next(input)
}
