//! A message as bytes, ready to be signed and sent.

use chrono::{DateTime, Utc};
use mail_builder::{
    MessageBuilder,
    headers::{address, content_type::ContentType, date::Date, raw::Raw},
    mime::{BodyPart, MimePart},
};

use crate::{FeedbackId, HeaderText, ListId, Mailbox, MessageId, UnsubscribeUrl};

/// All that one message says, apart from its signature.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub message_id: &'a MessageId,
    pub date: DateTime<Utc>,
    pub from: &'a Mailbox,
    pub reply_to: Option<&'a Mailbox>,
    pub to: &'a Mailbox,
    pub subject: &'a HeaderText,
    pub html: &'a str,
    pub text: &'a str,
    pub list_unsubscribe_url: &'a UnsubscribeUrl,
    pub list_id: &'a ListId,
    pub feedback_id: &'a FeedbackId,
}

/// The message in its final form: ASCII, every line ended by CRLF and at most 998 bytes long.
///
/// The same parts give the same bytes, so that a retry sends what the first attempt sent.
pub fn compose(outgoing: &Outgoing<'_>) -> Vec<u8> {
    let (text, html) = (lines(outgoing.text), lines(outgoing.html));
    let boundary = boundary(&[&text, &html]);
    let body = MimePart::new(
        ContentType::new("multipart/alternative").attribute("boundary", boundary),
        vec![
            MimePart::new("text/plain", BodyPart::Text(text.into())),
            MimePart::new("text/html", BodyPart::Text(html.into())),
        ],
    );
    let mut bytes = Vec::new();
    headers(outgoing).body(body).serialize(&mut bytes);
    bytes
}

fn headers<'a>(outgoing: &Outgoing<'a>) -> MessageBuilder<'a> {
    let mut message = MessageBuilder::new()
        .message_id(outgoing.message_id.as_str())
        .date(Date::new(outgoing.date.timestamp()))
        .from(address(outgoing.from));
    if let Some(mailbox) = outgoing.reply_to {
        message = message.reply_to(address(mailbox));
    }
    message
        .to(address(outgoing.to))
        .subject(outgoing.subject.as_str())
        .header(
            "List-Unsubscribe",
            Raw::new(format!("<{}>", outgoing.list_unsubscribe_url.as_str())),
        )
        .header("List-Unsubscribe-Post", Raw::new("List-Unsubscribe=One-Click"))
        .header("List-ID", Raw::new(format!("<{}>", outgoing.list_id.as_str())))
        .header("Feedback-ID", Raw::new(outgoing.feedback_id.as_str()))
}

fn address(mailbox: &Mailbox) -> address::Address<'_> {
    // An empty name would be written as an empty quoted string.
    let name = mailbox.name().map(HeaderText::as_str).filter(|name| !name.trim().is_empty());
    address::Address::new_address(name, mailbox.address().as_str())
}

/// The body with CRLF at the end of each line and without the control characters that no mail may carry. A lone CR or LF
/// is what SMTP smuggling is made of.
fn lines(body: &str) -> String {
    let mut out = String::with_capacity(body.len() + body.len() / 32 + 2);
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push_str("\r\n");
            }
            '\n' => out.push_str("\r\n"),
            '\t' => out.push(c),
            c if c.is_ascii_control() => {}
            c => out.push(c),
        }
    }
    if !out.ends_with('\n') {
        out.push_str("\r\n");
    }
    out
}

/// A boundary that stands in neither part. `=_` cannot occur in an encoded part; a part sent as it is might have it.
fn boundary(parts: &[&str]) -> String {
    let mut n = 0;
    loop {
        let candidate = format!("=_part_{n}");
        if !parts.iter().any(|part| part.contains(&candidate)) {
            return candidate;
        }
        n += 1;
    }
}

#[cfg(test)]
mod tests;
