//! The words of a rule's text: names, numbers, strings and symbols, one at a time and each with its place.

use std::ops::Range;

use winnow::ascii::{digit1, till_line_ending};
use winnow::combinator::{alt, dispatch, empty, fail, opt, preceded, repeat};
use winnow::error::ContextError;
use winnow::prelude::*;
use winnow::token::{any, literal, one_of, take, take_while};

use super::Fault;
use crate::error::shown;

/// Those that begin with another one come before it.
const SYMBOLS: [&str; 17] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ".", ",", "+", "-"];

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// An identifier or a keyword.
    Name(&'a str),
    /// A string without its quotes, as it is meant.
    Text(String),
    /// Digits, perhaps with a point and an exponent.
    Number(&'a str),
    Symbol(&'static str),
    End,
}

impl Token<'_> {
    /// As a message says that it was found; `written` is its place in the text.
    pub(crate) fn shown(&self, written: &str) -> String {
        match self {
            Self::End => "the end of the text".to_owned(),
            _ => shown(written),
        }
    }
}

/// Reads one token after the other; what it has not reached costs nothing.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    pub(crate) text: &'a str,
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, rest: text }
    }

    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    pub(crate) fn next(&mut self) -> Result<(Token<'a>, Range<usize>), Fault> {
        blank(&mut self.rest).map_err(|_| self.unknown())?;
        let start = self.at();
        let token = match self.rest.chars().next() {
            None => Token::End,
            Some(quote @ ('"' | '\'')) => self.string(quote)?,
            Some(digit) if digit.is_ascii_digit() => self.number()?,
            Some(_) => alt((
                name.map(Token::Name),
                alt(SYMBOLS.map(|symbol| literal(symbol).value(Token::Symbol(symbol)))),
            ))
            .parse_next(&mut self.rest)
            .map_err(|_: ContextError| self.unknown())?,
        };
        Ok((token, start..self.at()))
    }

    fn unknown(&self) -> Fault {
        let (start, letter) = (self.at(), self.rest.chars().next().unwrap_or_default());
        let closest = match letter {
            '=' => Some("=="),
            '&' => Some("&&"),
            '|' => Some("||"),
            _ => None,
        };
        Fault::new(
            start..start + letter.len_utf8(),
            "a name, a number, a string or an operator",
            shown(letter.encode_utf8(&mut [0; 4])),
        )
        .with_closest(closest)
    }

    fn unknown_escape(&self, at: usize) -> Fault {
        let found: String = self.text[at..].chars().take(2).collect();
        let expected = "an escape of a string, as `\\n` or `\\u00e9`";
        Fault::new(at..at + found.len(), expected, shown(&found))
    }

    fn number(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at();
        let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
        let read: Result<&str, ContextError> =
            (digit1, opt(('.', digit1)), opt(exponent)).take().parse_next(&mut self.rest);
        let number = read.map_err(|_| self.unknown())?;
        let unit: Result<Option<&str>, ContextError> = opt(name).parse_next(&mut self.rest);
        if let Ok(Some(unit)) = unit {
            let expected = "a number; a length of time is a string, as in `\"30d\"`";
            return Err(Fault::new(start..self.at(), expected, shown(&format!("{number}{unit}"))));
        }
        Ok(Token::Number(number))
    }

    fn string(&mut self, quote: char) -> Result<Token<'a>, Fault> {
        let start = self.at();
        self.rest = &self.rest[1..];
        let mut text = String::new();
        loop {
            let plain: Result<&str, ContextError> = take_while(0.., |letter: char| {
                letter != quote && !matches!(letter, '\\' | '\n' | '\r')
            })
            .parse_next(&mut self.rest);
            text.push_str(plain.unwrap_or_default());
            let at = self.at();
            match self.rest.chars().next() {
                Some(letter) if letter == quote => {
                    self.rest = &self.rest[1..];
                    return Ok(Token::Text(text));
                }
                Some('\\') => {
                    let letter = escape(&mut self.rest).map_err(|_| self.unknown_escape(at))?;
                    text.push(letter);
                }
                _ => {
                    let expected = format!("`{quote}` at the end of the string");
                    return Err(Fault::new(start..at, expected, "the end of the line"));
                }
            }
        }
    }
}

/// White space and comments.
fn blank(input: &mut &str) -> winnow::Result<()> {
    let space = take_while(1.., [' ', '\t', '\n', '\r', '\x0c']);
    repeat(0.., alt((space, ("//", till_line_ending).take()))).parse_next(input)
}

fn name<'a>(input: &mut &'a str) -> winnow::Result<&'a str> {
    let first = one_of(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let others = take_while(0.., |letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    (first, others).take().parse_next(input)
}

fn escape(input: &mut &str) -> winnow::Result<char> {
    let kind = dispatch! { any;
        letter @ ('\\' | '"' | '\'' | '`' | '?') => empty.value(letter),
        'a' => empty.value('\x07'),
        'b' => empty.value('\x08'),
        'f' => empty.value('\x0c'),
        'n' => empty.value('\n'),
        'r' => empty.value('\r'),
        't' => empty.value('\t'),
        'v' => empty.value('\x0b'),
        'x' | 'X' => code(2),
        'u' => code(4),
        'U' => code(8),
        _ => fail,
    };
    preceded('\\', kind).parse_next(input)
}

/// A letter by its number in so many hexadecimal digits.
fn code<'a>(digits: usize) -> impl Parser<&'a str, char, ContextError> {
    take(digits)
        .verify(|digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .verify_map(|digits| char::from_u32(u32::from_str_radix(digits, 16).ok()?))
}
