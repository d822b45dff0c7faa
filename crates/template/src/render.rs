//! Filling in one contact's values.

use std::sync::Arc;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
    value::Object,
};
use serde_json::{Map, Value as Json};

use crate::{Compiled, Part, html};

/// Steps a part may take, and with them bytes it may make: the engine charges for both. A message of 28 KiB takes 500.
const FUEL: u64 = 20_000;
const HTML_LIMIT: usize = 1024 * 1024;
const TEXT_LIMIT: usize = 256 * 1024;
/// A header's line must not be longer.
const SUBJECT_LIMIT: usize = 900;

const SUBJECT: &str = "subject.txt";
const BODY: &str = "body.html";
const TEXT: &str = "text.txt";

/// A compiled template, ready to be filled in, by any number of threads. Making one parses; rendering does not.
#[derive(Debug)]
pub struct Renderer {
    environment: Environment<'static>,
    fields: Arc<[String]>,
    links: usize,
}

/// One contact's values and addresses.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// Attributes by name, with `email`. What is `null` or not there is missing.
    pub contact: &'a Map<String, Json>,
    /// What each slot of [`Compiled::links`] leads to for this contact.
    pub link_urls: &'a [String],
    /// None sends no pixel.
    pub open_pixel_url: Option<&'a str>,
    pub unsubscribe_url: &'a str,
}

/// What this contact will read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line without control characters.
    pub subject: String,
    pub html: String,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("the {part} is not a template")]
    Malformed { part: Part, source: Error },
    #[error("the {part} takes more steps or memory than a message may")]
    OutOfFuel { part: Part },
    #[error("the {part} has {bytes} bytes, more than a message may")]
    TooLarge { part: Part, bytes: usize },
    #[error("the {part} cannot be filled in for this contact")]
    Failed { part: Part, source: Error },
    #[error("the template has {expected} links, and {given} addresses were given")]
    Links { expected: usize, given: usize },
}

/// What expressions see at the top: `contact`, `unsubscribe_url` and the slots.
#[derive(Debug)]
struct Root {
    contact: Value,
    unsubscribe_url: Value,
    link: Value,
    pixel: Value,
}

/// The fields a template uses, as far as the contact has them.
#[derive(Debug)]
struct Contact {
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Renderer {
    pub fn new(compiled: &Compiled) -> Result<Self, RenderError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(write_value);
        environment.add_filter("default", default);
        environment.add_filter("d", default);
        let parts = [
            (Part::Subject, SUBJECT, &compiled.subject),
            (Part::Body, BODY, &compiled.html),
            (Part::Text, TEXT, &compiled.text),
        ];
        for (part, name, source) in parts {
            environment
                .add_template_owned(name, source.clone())
                .map_err(|source| RenderError::Malformed { part, source })?;
        }
        let fields = compiled.fields.iter().map(|field| field.name.clone()).collect();
        Ok(Self { environment, fields, links: compiled.links.len() })
    }

    pub fn render(&self, recipient: &Recipient<'_>) -> Result<Rendered, RenderError> {
        if recipient.link_urls.len() != self.links {
            return Err(RenderError::Links {
                expected: self.links,
                given: recipient.link_urls.len(),
            });
        }
        let root = Value::from_object(self.root(recipient));
        let subject = one_line(&self.part(Part::Subject, SUBJECT, &root)?);
        let html = self.part(Part::Body, BODY, &root)?;
        let text = paragraphs(self.part(Part::Text, TEXT, &root)?);
        for (part, bytes, limit) in [
            (Part::Subject, subject.len(), SUBJECT_LIMIT),
            (Part::Body, html.len(), HTML_LIMIT),
            (Part::Text, text.len(), TEXT_LIMIT),
        ] {
            if bytes > limit {
                return Err(RenderError::TooLarge { part, bytes });
            }
        }
        Ok(Rendered { subject, html, text })
    }

    fn root(&self, recipient: &Recipient<'_>) -> Root {
        let value = |name: &String| recipient.contact.get(name).map_or(Value::UNDEFINED, value);
        let values = self.fields.iter().map(value).collect();
        Root {
            contact: Value::from_object(Contact { names: Arc::clone(&self.fields), values }),
            unsubscribe_url: Value::from(recipient.unsubscribe_url),
            link: recipient.link_urls.iter().map(String::as_str).collect(),
            pixel: recipient.open_pixel_url.map_or(Value::UNDEFINED, Value::from),
        }
    }

    fn part(&self, part: Part, name: &str, root: &Value) -> Result<String, RenderError> {
        let template = self.environment.get_template(name).expect("`new` has added every part");
        template.render(root.clone()).map_err(|source| match source.kind() {
            ErrorKind::OutOfFuel => RenderError::OutOfFuel { part },
            _ => RenderError::Failed { part, source },
        })
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "contact" => Some(self.contact.clone()),
            "unsubscribe_url" => Some(self.unsubscribe_url.clone()),
            "_link" => Some(self.link.clone()),
            "_pixel" => Some(self.pixel.clone()),
            _ => None,
        }
    }
}

impl Object for Contact {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        // The names come sorted from the compiler.
        let at = self.names.binary_search_by(|name| name.as_str().cmp(key)).ok()?;
        Some(self.values[at].clone())
    }
}

/// What is missing, `null` or blank gives way to the default; `0` and `false` are values.
fn default(value: &Value, other: Option<Value>) -> Value {
    let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
    if value.is_undefined() || value.is_none() || is_blank {
        other.unwrap_or_else(|| Value::from(""))
    } else {
        value.clone()
    }
}

fn write_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let escapes = matches!(state.auto_escape(), AutoEscape::Html) && !value.is_safe();
    match value.as_str() {
        Some(text) if escapes => html::write_escaped(out, text)?,
        Some(text) => out.write_str(text)?,
        None if escapes => html::write_escaped(out, &value.to_string())?,
        None => write!(out, "{value}")?,
    }
    Ok(())
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(truth) => Value::from(*truth),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => {
            whole(number).map_or_else(|| Value::from(number.as_f64()), Value::from)
        }
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(entries) => {
            Value::from_pairs(entries.iter().map(|(name, json)| (name.as_str(), value(json))))
        }
    }
}

/// A number without a fraction, so that `42.0` reads `42`.
fn whole(number: &serde_json::Number) -> Option<i64> {
    /// The integers that a float holds exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < EXACT);
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is in range")]
    number.as_i64().or_else(|| float().map(|float| float as i64))
}

/// Conditions that do not hold leave empty lines on both of their sides; one is enough.
fn paragraphs(text: String) -> String {
    let trimmed = text.trim();
    let mut out = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(start) = trimmed[at..].find('\n').map(|found| at + found) {
        at = start + trimmed[start..].bytes().take_while(|byte| *byte == b'\n').count();
        if at - start > 2 {
            out.push_str(&trimmed[copied..start + 2]);
            copied = at;
        }
    }
    if copied == 0 && trimmed.len() == text.len() {
        return text;
    }
    out.push_str(&trimmed[copied..]);
    out
}

/// The text as one line: what could end a header, or confuse its reader, becomes a space.
fn one_line(text: &str) -> String {
    let breaks =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut line = String::with_capacity(text.len());
    for word in text.split(breaks).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests;
