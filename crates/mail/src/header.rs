//! Values that may stand in a header, each refusing what could end the line early.

use url::{Host, Url};

use crate::{Domain, Malformed, address::is_dot_atom};

const TEXT_LIMIT: usize = 998;
const IDENTIFIER_LIMIT: usize = 128;
/// A URL cannot be folded, and a line ends at 998 bytes.
const URL_LIMIT: usize = 900;

/// Free text for a header (a subject, a display name): any Unicode but control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderText(String);

/// A message's identity, without its angle brackets. The same message keeps it on every retry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(String);

/// RFC 2919: which list a message belongs to, shaped like a host name (`news.example.com`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListId(Domain);

/// What Gmail groups its feedback by: campaign, workspace, stream and sender, joined by colons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeedbackId(String);

/// RFC 8058: the one `https` address (or `http` on loopback) that ends the subscription when something is posted to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnsubscribeUrl(String);

impl HeaderText {
    pub fn new(text: &str) -> Result<Self, Malformed> {
        let refused = |why| Err(Malformed::new("header text", why));
        if text.len() > TEXT_LIMIT {
            return refused("it is longer than 998 bytes");
        }
        // Covers C0, DEL and C1. The Unicode line separators are no controls, yet some readers break lines at them.
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return refused("it has a control character or a line break");
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MessageId {
    /// `unique` must be a dot-atom that no other message of the domain has.
    pub fn new(unique: &str, domain: &Domain) -> Result<Self, Malformed> {
        if unique.len() > IDENTIFIER_LIMIT || !is_dot_atom(unique) {
            return Err(Malformed::new(
                "message id",
                "its left side must be a dot-atom of 1 to 128 characters",
            ));
        }
        Ok(Self(format!("{unique}@{}", domain.as_str())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ListId {
    pub fn new(text: &str) -> Result<Self, Malformed> {
        Domain::new(text).map(Self).map_err(|malformed| Malformed::new("list id", malformed.why))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FeedbackId {
    pub fn new(
        campaign: &str,
        workspace: &str,
        stream: &str,
        sender: &str,
    ) -> Result<Self, Malformed> {
        let fields = [campaign, workspace, stream, sender];
        if fields.iter().all(|field| is_feedback_field(field)) {
            Ok(Self(fields.join(":")))
        } else {
            Err(Malformed::new(
                "feedback id",
                "each field must be 1 to 128 ASCII letters, digits, `-`, `_` or `.`",
            ))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UnsubscribeUrl {
    pub fn new(text: &str) -> Result<Self, Malformed> {
        let refused = |why| Err(Malformed::new("unsubscribe URL", why));
        // Looked at before parsing: the URL standard drops tabs and line breaks silently.
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte)) {
            return refused("it must be printable ASCII without spaces, quotes and angle brackets");
        }
        if text.len() > URL_LIMIT {
            return refused("it is longer than 900 characters");
        }
        let Ok(url) = Url::parse(text) else { return refused("it is not a URL") };
        // On loopback there is nobody in between: that is how the system is tried out on one machine.
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return refused("it must be `https`");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("it must not have a user name or a password");
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_feedback_field(field: &str) -> bool {
    (1..=IDENTIFIER_LIMIT).contains(&field.len())
        && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_could_end_its_line_is_refused() {
        for text in [
            "Hi\r\nBcc: v@example.com",
            "a\nb",
            "a\rb",
            "a\0b",
            "a\u{85}b",
            "a\u{2028}b",
            "a\tb",
            "a\u{7f}",
        ] {
            assert!(HeaderText::new(text).is_err(), "{text:?}");
        }
        assert!(HeaderText::new(&"a".repeat(999)).is_err());
    }

    #[test]
    fn text_in_any_script_is_accepted() {
        for text in ["", "Grüße aus Köln", "こんにちは 👋", "50% =?off?="] {
            assert_eq!(HeaderText::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn identifiers_that_could_end_their_brackets_are_refused() {
        let domain = Domain::new("example.com").unwrap();
        for unique in ["", "a b", "a>b", "a@b", "a\r\nb", "a..b"] {
            assert!(MessageId::new(unique, &domain).is_err(), "{unique:?}");
        }
        assert_eq!(MessageId::new("01J.x", &domain).unwrap().as_str(), "01J.x@example.com");
        assert!(ListId::new("news>.example.com").is_err());
        assert!(FeedbackId::new("c", "w", "campaign", "a:b").is_err());
    }

    #[test]
    fn unsubscribe_urls_must_be_one_plain_https_address() {
        for text in [
            "http://example.com/u",
            "https://user:pass@example.com/u",
            "https://example.com/u\r\nX: y",
            "https://example.com/\tu",
            "https://example.com/u>, <mailto:a@example.com",
            "javascript:alert(1)",
            "mailto:a@example.com",
            "https://",
        ] {
            assert!(UnsubscribeUrl::new(text).is_err(), "{text:?}");
        }
        for text in
            ["https://example.com/u?t=a&b=c", "http://127.0.0.1:7002/u/t", "http://localhost/u/t"]
        {
            assert!(UnsubscribeUrl::new(text).is_ok(), "{text}");
        }
        assert!(UnsubscribeUrl::new("http://localhost.example.com/u").is_err());
    }
}
