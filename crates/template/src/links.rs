//! Where a message's links lead, and which of them are counted.
//!
//! A link that is the same for everyone becomes a slot with a number; its destination is looked up on the server when it
//! is followed, so that no link of ours can be made to lead elsewhere. The rest is let through only if a contact's values
//! cannot decide which host it leads to.

use std::cell::RefCell;

use lol_html::{
    RewriteStrSettings, doc_comments, element,
    html_content::{Comment, Element},
    rewrite_str,
};
use url::{Host, Url};

use crate::{
    Code, Finding, Part, html, inspect,
    shield::{Piece, Shield},
};

/// Elements that run, load or send something. No mail reader shows them; some drop a message that has them.
const FORBIDDEN: [&str; 12] = [
    "applet", "base", "button", "embed", "form", "frame", "iframe", "input", "object", "script",
    "select", "textarea",
];

/// The links of one template, in the order of their first use.
pub(crate) struct Links<'s> {
    shield: &'s mut Shield,
    /// Destinations with the placeholders of their slots.
    slots: Vec<(String, String)>,
    findings: Vec<Finding>,
    /// Unsubscribe links that everyone sees.
    unsubscribe: usize,
}

/// What an address is.
enum Target {
    Unsubscribe {
        for_everyone: bool,
    },
    /// The same for everyone.
    Fixed(String),
    /// Has a contact's values in it, or is no web address.
    Untracked,
}

impl<'s> Links<'s> {
    pub(crate) fn new(shield: &'s mut Shield) -> Self {
        Self { shield, slots: Vec::new(), findings: Vec::new(), unsubscribe: 0 }
    }

    /// The destinations, by slot number, and what was found.
    pub(crate) fn finish(self) -> (Vec<String>, Vec<Finding>) {
        (self.slots.into_iter().map(|(destination, _)| destination).collect(), self.findings)
    }

    /// The HTML with slots for its links.
    pub(crate) fn rewrite_html(&mut self, html: &str) -> Result<String, Finding> {
        let html = self.rewrite(html)?;
        if self.unsubscribe == 0 {
            self.findings.push(Finding::error(
                Code::MissingUnsubscribeLink,
                Part::Body,
                "every recipient must see a link to `{{ unsubscribe_url }}`: add `<a href=\"{{ unsubscribe_url }}\">` outside of conditions and loops",
            ));
        }
        Ok(html)
    }

    /// A hand-written text part with slots for its web addresses.
    pub(crate) fn rewrite_text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) =
            ["https://", "http://"].iter().filter_map(|scheme| rest.find(scheme)).min()
        {
            let length = rest[start..]
                .find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"'))
                .unwrap_or(rest.len() - start);
            let address = rest[start..start + length]
                .trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'']);
            out.push_str(&rest[..start]);
            match self.target(address) {
                Ok(Target::Fixed(destination)) => out.push_str(&self.slot(destination)),
                Ok(_) => out.push_str(address),
                Err(reason) => {
                    self.refuse(Part::Text, address, &reason);
                    out.push_str(address);
                }
            }
            rest = &rest[start + address.len()..];
        }
        out.push_str(rest);
        let for_everyone = self.shield.pieces(&out).iter().any(|piece| match piece {
            Piece::Placeholder(number) => {
                let hidden = self.shield.hidden(*number);
                hidden.depth == 0 && inspect::is_unsubscribe_url(&hidden.source)
            }
            Piece::Literal(_) => false,
        });
        if !for_everyone {
            self.findings.push(Finding::error(
                Code::MissingUnsubscribeLink,
                Part::Text,
                "every recipient must see the unsubscribe address: add `{{ unsubscribe_url }}` outside of conditions and loops",
            ));
        }
        out
    }

    fn rewrite(&mut self, html: &str) -> Result<String, Finding> {
        let links = RefCell::new(self);
        let settings = RewriteStrSettings::new()
            .append_element_content_handler(element!("*", |element| {
                links.borrow_mut().element(element, true);
                Ok(())
            }))
            .append_document_content_handler(doc_comments!(|comment| {
                links.borrow_mut().comment(comment);
                Ok(())
            }));
        rewrite_str(html, settings).map_err(|error| html::unreadable(&error))
    }

    fn element(&mut self, element: &mut Element<'_, '_>, shown: bool) {
        let name = element.tag_name();
        let refreshes = name == "meta"
            && element
                .get_attribute("http-equiv")
                .is_some_and(|value| value.eq_ignore_ascii_case("refresh"));
        if FORBIDDEN.contains(&name.as_str()) || refreshes {
            let message = format!("`<{name}>` does not work in mail: remove it");
            self.findings.push(Finding::error(Code::ForbiddenElement, Part::Body, message));
        }
        for attribute in element
            .attributes()
            .iter()
            .map(lol_html::html_content::Attribute::name)
            .filter(|name| name.starts_with("on"))
        {
            let message = format!(
                "the attribute `{attribute}` of `<{name}>` does not work in mail: remove it"
            );
            self.findings.push(Finding::error(Code::ForbiddenElement, Part::Body, message));
        }
        for attribute in ["src", "background", "poster"] {
            if let Some(value) = element.get_attribute(attribute)
                && let Err(reason) = self.resource(&unescape(&value))
            {
                self.refuse(Part::Body, &value, &reason);
            }
        }
        if name != "link"
            && let Some(value) = element.get_attribute("href")
        {
            self.link(element, &unescape(&value), shown);
        }
    }

    fn link(&mut self, element: &mut Element<'_, '_>, address: &str, shown: bool) {
        match self.target(address) {
            Ok(Target::Unsubscribe { for_everyone }) => {
                self.unsubscribe += usize::from(for_everyone && shown);
            }
            Ok(Target::Untracked) => {}
            Ok(Target::Fixed(destination)) => {
                let slot = self.slot(destination);
                element.set_attribute("href", &slot).expect("`href` is a valid attribute name");
            }
            Err(reason) => self.refuse(Part::Body, address, &reason),
        }
    }

    /// Outlook reads the markup in its conditional comments; its links are links like any other.
    fn comment(&mut self, comment: &mut Comment<'_>) {
        let text = comment.text();
        if self.broken(&text) {
            return;
        }
        let Some((condition, inner)) = text.split_once("]>").filter(|_| text.starts_with("[if"))
        else {
            return;
        };
        let links = RefCell::new(&mut *self);
        let settings =
            RewriteStrSettings::new().append_element_content_handler(element!("*", |element| {
                links.borrow_mut().element(element, false);
                Ok(())
            }));
        match rewrite_str(inner, settings) {
            Ok(rewritten) if rewritten == inner => {}
            Ok(rewritten) => comment
                .set_text(&format!("{condition}]>{rewritten}"))
                .expect("only attributes were changed, to placeholders"),
            Err(error) => self.findings.push(html::unreadable(&error)),
        }
    }

    /// Whether a tag put down as a comment of its own has ended up inside another one.
    fn broken(&mut self, comment: &str) -> bool {
        let pieces = self.shield.pieces(comment);
        let swallowed = pieces.iter().find_map(|piece| match piece {
            Piece::Placeholder(number) => {
                let hidden = self.shield.hidden(*number);
                (hidden.is_comment && pieces.len() > 1).then_some(hidden)
            }
            Piece::Literal(_) => None,
        });
        let Some(hidden) = swallowed else { return false };
        let message = format!(
            "`{}` cannot stand here: put it around the whole section or inside a text",
            hidden.source
        );
        self.findings.push(Finding::error(Code::MisplacedTag, Part::Body, message).at(hidden.line));
        true
    }

    fn target(&self, address: &str) -> Result<Target, String> {
        let address = address.trim();
        if let Some(hidden) = self.shield.only(address)
            && inspect::is_unsubscribe_url(&hidden.source)
        {
            return Ok(Target::Unsubscribe { for_everyone: hidden.depth == 0 });
        }
        if self.shield.has_placeholder(address) {
            return self.dynamic(address).map(|()| Target::Untracked);
        }
        if address.is_empty() || address.starts_with('#') {
            return Ok(Target::Untracked);
        }
        let url = Url::parse(address)
            .map_err(|_| "write the whole address, beginning with `https://`".to_owned())?;
        match url.scheme() {
            "mailto" | "tel" => Ok(Target::Untracked),
            "http" | "https" => web(&url).map(|()| Target::Fixed(url.into())),
            scheme => Err(format!("`{scheme}:` is not allowed: use `https:`, `mailto:` or `tel:`")),
        }
    }

    fn resource(&self, address: &str) -> Result<(), String> {
        let address = address.trim();
        if address.is_empty() {
            return Ok(());
        }
        if self.shield.has_placeholder(address) {
            return self.dynamic(address);
        }
        let url = Url::parse(address)
            .map_err(|_| "write the whole address, beginning with `https://`".to_owned())?;
        match url.scheme() {
            "http" | "https" => web(&url),
            scheme => Err(format!("`{scheme}:` is not allowed for images: use `https:`")),
        }
    }

    /// A contact's values may choose the page, never the host.
    fn dynamic(&self, address: &str) -> Result<(), String> {
        const REASON: &str =
            "an address with fields in it must begin with `https://`, a host and `/`, written out";
        let pieces = self.shield.pieces(address);
        let Some(Piece::Literal(start)) = pieces.first() else { return Err(REASON.to_owned()) };
        let host = start.strip_prefix("https://").ok_or(REASON)?;
        if !host.contains(['/', '?', '#']) {
            return Err(REASON.to_owned());
        }
        web(&Url::parse(start).map_err(|_| REASON)?)
    }

    fn slot(&mut self, destination: String) -> String {
        if let Some((_, slot)) = self.slots.iter().find(|(known, _)| *known == destination) {
            return slot.clone();
        }
        let slot = self.shield.slot(&format!("{{{{ _link[{}] }}}}", self.slots.len()));
        self.slots.push((destination, slot.clone()));
        slot
    }

    fn refuse(&mut self, part: Part, address: &str, reason: &str) {
        let pieces = self.shield.pieces(address);
        let line = pieces.iter().find_map(|piece| match piece {
            Piece::Placeholder(number) => self.shield.hidden(*number).line,
            Piece::Literal(_) => None,
        });
        let address: String = self.shield.restore(address).chars().take(120).collect();
        let message = format!("the address `{address}` is refused: {reason}");
        self.findings.push(Finding::error(Code::ForbiddenLink, part, message).at(line));
    }
}

fn web(url: &Url) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not have a user name or a password".to_owned());
    }
    match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => Ok(()),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Ok(()),
        _ => Err("it has no host".to_owned()),
    }
}

/// An attribute's value as a reader's device understands it. Serialised HTML has no other entities than these.
fn unescape(value: &str) -> String {
    let replaced = value
        .replace("&quot;", "\"")
        .replace("&nbsp;", "\u{a0}")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    // Last, so that `&amp;lt;` does not become `<`.
    replaced.replace("&amp;", "&")
}
