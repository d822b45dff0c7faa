//! From what an author writes to what can be filled in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::{
    Code, FieldUse, Fields, Finding, Kind, Part, Recipient, RenderError, Renderer, Severity,
    fields::EMAIL,
    html, inspect,
    links::Links,
    markup,
    shield::{Hidden, Piece, Shield},
    tags, text,
};

const BODY_LIMIT: usize = 256 * 1024;
const TEXT_LIMIT: usize = 128 * 1024;
const LINE_LIMIT: usize = 2 * 1024;

const PIXEL: &str = "{% if _pixel %}<img src=\"{{ _pixel }}\" alt=\"\" width=\"1\" height=\"1\" style=\"display:block;border:0;width:1px;height:1px\">{% endif %}";

/// What an author writes: Jinja in all parts, and the body in MJML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    pub subject: String,
    /// What mail readers show behind the subject. May be empty.
    pub preheader: String,
    pub mjml: String,
    /// Derived from the body if there is none.
    pub text: Option<String>,
}

/// A template as it is stored: plain text with nothing left to do but fill in values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiled {
    pub subject: String,
    pub html: String,
    pub text: String,
    /// Where each numbered link leads.
    pub links: Vec<String>,
    /// Sorted by name.
    pub fields: Vec<FieldUse>,
    /// What the author should know; it changes nothing that recipients read.
    pub warnings: Vec<Finding>,
}

impl Compiled {
    /// All that decides what recipients read, in a form to be hashed: equal bytes, equal messages.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = b"cursus template 1".to_vec();
        let parts = [&self.subject, &self.html, &self.text];
        for part in parts.into_iter().chain(&self.links) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Checks the source and makes a template of it, or says everything that is in the way.
pub fn compile(source: &Source, fields: &Fields) -> Result<Compiled, Vec<Finding>> {
    let mut findings = sizes(source);
    stop_on_errors(&findings)?;

    let mut inspections = Vec::new();
    for (part, text) in parts(source) {
        match tags::find(text, part) {
            Ok(_) => {
                let inspection = inspect::inspect(text, part, fields);
                findings.extend_from_slice(inspection.findings());
                inspections.push(inspection);
            }
            Err(finding) => findings.push(finding),
        }
    }
    stop_on_errors(&findings)?;

    let mut shield = Shield::over(&parts(source).map(|(_, text)| text).collect::<Vec<_>>());
    let assembled = assemble(source, &mut shield).map_err(|finding| with(&findings, [finding]))?;
    findings.extend(assembled.findings);
    stop_on_errors(&findings)?;

    let mut compiled = Compiled {
        subject: source.subject.clone(),
        html: shield.restore(&assembled.html),
        text: shield.restore(&assembled.text),
        links: assembled.links,
        fields: inspect::merge(&inspections),
        warnings: Vec::new(),
    };
    markup::verify(&compiled.html).map_err(|finding| with(&findings, [finding]))?;
    rehearse(&compiled, fields).map_err(|finding| with(&findings, [finding]))?;
    compiled.warnings = findings;
    Ok(compiled)
}

struct Assembled {
    html: String,
    text: String,
    links: Vec<String>,
    findings: Vec<Finding>,
}

fn parts(source: &Source) -> impl Iterator<Item = (Part, &str)> {
    let text = source.text.as_deref().map(|text| (Part::Text, text));
    [
        (Part::Subject, source.subject.as_str()),
        (Part::Preheader, source.preheader.as_str()),
        (Part::Body, source.mjml.as_str()),
    ]
    .into_iter()
    .chain(text)
}

fn sizes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.subject.trim().is_empty() {
        findings.push(Finding::error(
            Code::EmptySubject,
            Part::Subject,
            "the subject is empty: write one",
        ));
    }
    for (part, text) in parts(source) {
        let limit = match part {
            Part::Subject | Part::Preheader => LINE_LIMIT,
            Part::Body => BODY_LIMIT,
            Part::Text => TEXT_LIMIT,
        };
        if text.len() > limit {
            let message =
                format!("the {part} has {} bytes, and {limit} are allowed: shorten it", text.len());
            findings.push(Finding::error(Code::TooLarge, part, message));
        }
    }
    findings
}

fn stop_on_errors(findings: &[Finding]) -> Result<(), Vec<Finding>> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(findings.to_vec());
    }
    Ok(())
}

fn with(findings: &[Finding], more: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    findings.iter().cloned().chain(more).collect()
}

/// The parts with placeholders for everything that is Jinja.
fn assemble(source: &Source, shield: &mut Shield) -> Result<Assembled, Finding> {
    let body = markup::shield(&source.mjml, shield)?;
    let preheader = html::escape(&plain(&source.preheader, Part::Preheader, shield)?);
    let written = source.text.as_ref().map(|text| plain(text, Part::Text, shield)).transpose()?;
    let pixel = shield.slot(PIXEL);

    let html = html::build(&body, shield)?;
    let mut links = Links::new(shield);
    let html = links.rewrite_html(&html)?;
    let written = written.map(|text| links.rewrite_text(&text));
    let (links, mut findings) = links.finish();
    let text = match written {
        Some(text) => text,
        None => text::derive(&html, shield)?,
    };
    findings.extend(lost(&html, shield));
    let html = html::dress(&html, &preheader, &pixel)?;
    Ok(Assembled { html, text, links, findings })
}

/// A part that is no markup, with placeholders.
fn plain(source: &str, part: Part, shield: &mut Shield) -> Result<String, Finding> {
    let mut out = String::with_capacity(source.len());
    let (mut from, mut depth) = (0, 0usize);
    for tag in tags::find(source, part)? {
        out.push_str(&source[from..tag.range.start]);
        from = tag.range.end;
        let is_block = match &tag.kind {
            tags::Kind::Comment => continue,
            tags::Kind::Value => false,
            tags::Kind::Block(word) => {
                match word.as_str() {
                    "if" | "for" => depth += 1,
                    "endif" | "endfor" => depth = depth.saturating_sub(1),
                    _ => {}
                }
                true
            }
        };
        let source = source[tag.range].to_owned();
        out.push_str(&shield.hide(Hidden {
            source,
            part: Some(part),
            line: Some(tag.line),
            is_block,
            depth,
            is_comment: false,
        }));
    }
    out.push_str(&source[from..]);
    Ok(out)
}

/// Tags of the body that MJML dropped on the way.
fn lost(html: &str, shield: &Shield) -> Vec<Finding> {
    let mut kept: Vec<bool> = Vec::new();
    for piece in shield.pieces(html) {
        if let Piece::Placeholder(number) = piece {
            kept.resize(kept.len().max(number + 1), false);
            kept[number] = true;
        }
    }
    shield
        .all()
        .filter(|(number, hidden)| {
            hidden.part == Some(Part::Body) && !kept.get(*number).copied().unwrap_or(false)
        })
        .map(|(_, hidden)| {
            let message = format!(
                "`{}` does not reach the message from here: move it into a text or a button",
                hidden.source
            );
            Finding::error(Code::MisplacedTag, Part::Body, message).at(hidden.line)
        })
        .collect()
}

/// Fills the template in for a contact who has everything and for one who has nothing but an address, so that what cannot
/// work for anyone is not found out when it is sent.
fn rehearse(compiled: &Compiled, fields: &Fields) -> Result<(), Finding> {
    let renderer = Renderer::new(compiled).map_err(|error| unworkable(error, ""))?;
    let everything = fields.iter().map(|(name, kind)| (name.to_owned(), sample(kind))).collect();
    let nothing = Map::from_iter([(EMAIL.to_owned(), json!("someone@example.com"))]);
    let contacts = [
        (everything, "for a contact who has every field"),
        (nothing, "for a contact who lacks every field"),
    ];
    for (contact, whose) in contacts {
        let recipient = Recipient {
            contact: &contact,
            link_urls: &compiled.links,
            open_pixel_url: Some("https://example.com/pixel"),
            unsubscribe_url: "https://example.com/unsubscribe",
        };
        renderer.render(&recipient).map_err(|error| unworkable(error, whose))?;
    }
    Ok(())
}

fn sample(kind: Kind) -> Json {
    match kind {
        Kind::Text => json!("Sample"),
        Kind::Number => json!(1),
        Kind::Boolean => json!(true),
        Kind::Time => json!("2026-01-01T00:00:00Z"),
        Kind::List => json!(["a", "b"]),
    }
}

fn unworkable(error: RenderError, whose: &str) -> Finding {
    let hint = "add defaults, or make it smaller";
    match error {
        RenderError::Malformed { part, source } => Finding::engine(Code::Syntax, part, &source),
        RenderError::Failed { part, source } => {
            let detail = source.detail().unwrap_or_default();
            // Its line would be one of the compiled part, not of the author's.
            Finding::error(
                Code::DoesNotRender,
                part,
                format!("{whose}: {}: {detail}: {hint}", source.kind()),
            )
        }
        RenderError::OutOfFuel { part } | RenderError::TooLarge { part, .. } => {
            Finding::error(Code::TooLarge, part, format!("{whose}: {error}: {hint}"))
        }
        RenderError::Links { .. } => {
            Finding::error(Code::DoesNotRender, Part::Body, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
