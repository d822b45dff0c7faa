//! Filling a version in for a batch of contacts. One that cannot be filled in does not keep the others from it.

use std::collections::HashMap;

use cursus_ids::{ContactName, TemplateVersionName};
use cursus_template::{RenderError, Rendered};
use serde_json::{Map, Value};

use crate::editions::Edition;
use crate::error::Error;

/// The most bytes that the messages of a batch have together: an answer of 64 MiB is accepted by clients, and there is
/// more in it.
const BATCH_BYTES: usize = 48 << 20;

/// What is known about each contact, as far as a version asks for it.
pub(crate) type Contacts = HashMap<ContactName, Map<String, Value>>;

/// Who is to be written to, and with which version. All are of the version's workspace.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) version: TemplateVersionName,
    pub(crate) recipients: Vec<Recipient>,
}

/// One contact, and what is theirs alone.
#[derive(Clone, Debug)]
pub(crate) struct Recipient {
    pub(crate) contact: ContactName,
    /// Instead of the version's links; empty keeps those.
    pub(crate) link_urls: Vec<String>,
    pub(crate) open_pixel_url: Option<String>,
    pub(crate) unsubscribe_url: String,
}

/// What one contact will read, or why it cannot be said.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) contact: ContactName,
    pub(crate) outcome: Result<Rendered, Failure>,
}

/// Why a message is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) why: String,
}

/// Reasons never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NoSuchContact,
    TooLarge,
    RenderFailed,
}

impl Batch {
    /// Refuses replacements that do not fit the version's links.
    pub(crate) fn check(&self, edition: &Edition) -> Result<(), Error> {
        let expected = edition.links.len();
        let fits = |given: usize| given == 0 || given == expected;
        let misfit = self.recipients.iter().position(|it| !fits(it.link_urls.len()));
        let Some(index) = misfit else { return Ok(()) };
        let given = self.recipients[index].link_urls.len();
        let why = format!(
            "the version has {expected} links, and {given} replacements were given: give one for each, or none"
        );
        Err(Error::invalid(format!("recipients[{index}].link_urls"), why))
    }
}

/// In the order of the recipients.
pub(crate) fn render(
    edition: &Edition,
    recipients: Vec<Recipient>,
    contacts: &Contacts,
) -> Vec<Message> {
    let mut room = BATCH_BYTES;
    let message = |recipient: Recipient| {
        let outcome = match contacts.get(&recipient.contact) {
            Some(contact) => one(edition, &recipient, contact).and_then(|it| fit(it, &mut room)),
            None => Err(Failure {
                reason: Reason::NoSuchContact,
                why: "there is no such contact: it was never written, or it was removed".to_owned(),
            }),
        };
        Message { contact: recipient.contact, outcome }
    };
    recipients.into_iter().map(message).collect()
}

fn one(
    edition: &Edition,
    recipient: &Recipient,
    contact: &Map<String, Value>,
) -> Result<Rendered, Failure> {
    let keeps = recipient.link_urls.is_empty();
    let recipient = cursus_template::Recipient {
        contact,
        link_urls: if keeps { &edition.links } else { &recipient.link_urls },
        open_pixel_url: recipient.open_pixel_url.as_deref(),
        unsubscribe_url: &recipient.unsubscribe_url,
    };
    edition.renderer.render(&recipient).map_err(Failure::from)
}

fn fit(rendered: Rendered, room: &mut usize) -> Result<Rendered, Failure> {
    let bytes = rendered.subject.len() + rendered.html.len() + rendered.text.len();
    match room.checked_sub(bytes) {
        Some(left) => {
            *room = left;
            Ok(rendered)
        }
        None => Err(Failure {
            reason: Reason::TooLarge,
            why: "the messages of the batch are too large together: ask for fewer at once"
                .to_owned(),
        }),
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let reason = match error {
            RenderError::OutOfFuel { .. } | RenderError::TooLarge { .. } => Reason::TooLarge,
            RenderError::Malformed { .. }
            | RenderError::Failed { .. }
            | RenderError::Links { .. } => Reason::RenderFailed,
        };
        Self { reason, why: cursus_fault::chain(&error) }
    }
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoSuchContact => "NO_SUCH_CONTACT",
            Self::TooLarge => "TOO_LARGE",
            Self::RenderFailed => "RENDER_FAILED",
        }
    }
}

#[cfg(test)]
mod tests {
    use cursus_template::{Compiled, FieldUse};
    use serde_json::json;

    use super::*;

    fn edition(html: &str, links: &[&str]) -> Edition {
        let field = |name: &str| FieldUse { name: name.to_owned(), has_default: true };
        let compiled = Compiled {
            subject: "Hello".to_owned(),
            html: html.to_owned(),
            text: "Hello".to_owned(),
            links: links.iter().map(|link| (*link).to_owned()).collect(),
            fields: vec![field("bulk"), field("name")],
            warnings: Vec::new(),
        };
        Edition::new(compiled).unwrap()
    }

    fn recipient(id: &str) -> Recipient {
        Recipient {
            contact: format!("workspaces/acme/contacts/{id}").parse().unwrap(),
            link_urls: Vec::new(),
            open_pixel_url: None,
            unsubscribe_url: "https://example.com/u".to_owned(),
        }
    }

    fn contacts(ids: &[&str], values: &Value) -> Contacts {
        let values = values.as_object().unwrap();
        ids.iter().map(|id| (recipient(id).contact, values.clone())).collect()
    }

    fn reason(message: &Message) -> Option<&'static str> {
        message.outcome.as_ref().err().map(|failure| failure.reason.as_str())
    }

    #[test]
    fn a_batch_stays_below_its_limit_and_small_messages_still_fit() {
        let bulk = "x".repeat(1_000_000);
        let edition = edition(&format!("{{% if contact.bulk %}}{bulk}{{% endif %}}"), &[]);
        let ids: Vec<String> = (0..60).map(|n| format!("c{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut contacts = contacts(&ids, &json!({ "bulk": true }));
        contacts.insert(recipient("small").contact, Map::new());
        let recipients = ids.iter().chain([&"small"]).map(|id| recipient(id)).collect();
        let messages = render(&edition, recipients, &contacts);
        let bytes = |it: &Message| it.outcome.as_ref().map_or(0, |it| it.html.len());
        assert!(messages.iter().map(bytes).sum::<usize>() <= BATCH_BYTES);
        assert_eq!((reason(&messages[0]), reason(&messages[59])), (None, Some("TOO_LARGE")));
        assert_eq!(reason(&messages[60]), None);
    }

    #[test]
    fn one_message_that_is_too_large_does_not_stop_the_others() {
        let edition = edition("{{ contact.bulk }}", &[]);
        let mut contacts = contacts(&["big"], &json!({ "bulk": "x".repeat(2 << 20) }));
        contacts.insert(recipient("small").contact, Map::new());
        let recipients = vec![recipient("big"), recipient("gone"), recipient("small")];
        let messages = render(&edition, recipients, &contacts);
        let reasons: Vec<_> = messages.iter().map(reason).collect();
        assert_eq!(reasons, [Some("TOO_LARGE"), Some("NO_SUCH_CONTACT"), None]);
    }

    #[test]
    fn replacements_fit_the_links_or_are_none() {
        let edition = edition("{{ _link[0] }}", &["https://example.com/a"]);
        let check = |urls: &[&str]| {
            let link_urls = urls.iter().map(|url| (*url).to_owned()).collect();
            let version = "workspaces/acme/templates/spring/versions/1".parse().unwrap();
            let recipients = vec![recipient("a"), Recipient { link_urls, ..recipient("b") }];
            Batch { version, recipients }.check(&edition)
        };
        assert!(check(&[]).is_ok());
        assert!(check(&["https://t.example.com/1"]).is_ok());
        let error = check(&["https://t.example.com/1", "https://t.example.com/2"]).unwrap_err();
        assert!(error.to_string().starts_with("`recipients[1].link_urls`"), "{error}");
    }
}
