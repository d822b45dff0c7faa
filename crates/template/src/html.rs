//! From MJML to the HTML that goes out: columns become tables, style sheets become attributes.

use std::{
    collections::HashMap,
    error::Error as _,
    fmt::{self, Write},
};

use css_inline::CSSInliner;
use lol_html::{RewriteStrSettings, element, html_content::ContentType, rewrite_str};
use mrml::prelude::{
    parser::{Error, Span},
    render::RenderOptions,
};

use crate::{Code, Finding, Part, markup::Shielded, shield::Shield};

/// HTML with the author's placeholders still in it.
pub(crate) fn build(body: &Shielded, shield: &Shield) -> Result<String, Finding> {
    // No file or network is read: the parser's include loader refuses, and `mj-include` was refused before.
    let parsed = mrml::parse(&body.text).map_err(|error| malformed(body, &error))?;
    // Without this, MJML makes every reader's device load its default fonts from Google.
    let options = RenderOptions { fonts: HashMap::new(), ..RenderOptions::default() };
    let html = parsed
        .element
        .render(&options)
        .map_err(|error| Finding::error(Code::Malformed, Part::Body, format!("MJML: {error}")))?;
    let html = CSSInliner::options()
        .load_remote_stylesheets(false)
        .keep_link_tags(true)
        .keep_at_rules(true)
        .build()
        .inline(&html)
        .map_err(|error| Finding::error(Code::Malformed, Part::Body, format!("CSS: {error}")))?;
    Ok(shield.without_rows(html))
}

/// Puts the hidden preheader first and the pixel last.
pub(crate) fn dress(html: &str, preheader: &str, pixel: &str) -> Result<String, Finding> {
    const HIDDEN: &str = "display:none;overflow:hidden;max-height:0;max-width:0;opacity:0;font-size:1px;line-height:1px;color:transparent";
    let preheader = if preheader.is_empty() {
        String::new()
    } else {
        format!("<div style=\"{HIDDEN}\">{preheader}</div>")
    };
    let settings =
        RewriteStrSettings::new().append_element_content_handler(element!("body", |body| {
            body.prepend(&preheader, ContentType::Html);
            body.append(pixel, ContentType::Html);
            Ok(())
        }));
    rewrite_str(html, settings).map_err(|error| unreadable(&error))
}

pub(crate) fn unreadable(error: &dyn fmt::Display) -> Finding {
    Finding::error(Code::Malformed, Part::Body, format!("HTML: {error}"))
}

pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    write_escaped(&mut out, text).expect("writing to a string does not fail");
    out
}

/// Escapes for text and for quoted attributes.
pub(crate) fn write_escaped(out: &mut impl Write, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.write_str(&rest[..at])?;
        out.write_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &rest[at + 1..];
    }
    out.write_str(rest)
}

fn malformed(body: &Shielded, error: &Error) -> Finding {
    let message = match error {
        Error::UnexpectedElement { position, .. } => {
            let name = body.text.get(position.start..position.end).unwrap_or_default();
            format!("`{name}` is not allowed here")
        }
        Error::EndOfStream { .. } => "an element has no end".to_owned(),
        Error::NoRootNode => "the body must be one `<mjml>` element".to_owned(),
        Error::ParserError { source, .. } => source.to_string(),
        error => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    };
    Finding::error(Code::Malformed, Part::Body, format!("MJML: {message}")).at(line(body, error))
}

fn line(body: &Shielded, error: &Error) -> Option<u32> {
    match error {
        Error::ParserError { source, .. } => Some(body.line_of_line(source.pos().row)),
        Error::UnexpectedElement { position: Span { start, .. }, .. }
        | Error::UnexpectedToken { position: Span { start, .. }, .. }
        | Error::MissingAttribute { position: Span { start, .. }, .. }
        | Error::InvalidAttribute { position: Span { start, .. }, .. }
        | Error::InvalidFormat { position: Span { start, .. }, .. }
        | Error::IncludeLoaderError { position: Span { start, .. }, .. } => Some(body.line(*start)),
        Error::EndOfStream { .. } | Error::SizeLimit { .. } | Error::NoRootNode => None,
    }
}
