//! What a composed message looks like to a parser nobody here wrote.

use mail_parser::{Message, MessageParser, MimeHeaders};
use proptest::prelude::*;

use super::*;
use crate::{Address, Domain};

const NAMES: [&str; 12] = [
    "Message-ID",
    "Date",
    "From",
    "Reply-To",
    "To",
    "Subject",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-ID",
    "Feedback-ID",
    "MIME-Version",
    "Content-Type",
];

struct Parts {
    message_id: MessageId,
    from: Mailbox,
    to: Mailbox,
    subject: HeaderText,
    html: String,
    text: String,
    url: UnsubscribeUrl,
    list_id: ListId,
    feedback_id: FeedbackId,
}

impl Parts {
    fn new(subject: &str, name: &str, html: &str, text: &str) -> Self {
        let address = |text| Address::new(text).unwrap();
        Self {
            message_id: MessageId::new("01J", &Domain::new("example.com").unwrap()).unwrap(),
            from: Mailbox::new(address("news@example.com"), Some(HeaderText::new(name).unwrap())),
            to: Mailbox::from(address("jane@example.org")),
            subject: HeaderText::new(subject).unwrap(),
            html: html.to_owned(),
            text: text.to_owned(),
            url: UnsubscribeUrl::new("https://l.example.com/u/abc?x=1").unwrap(),
            list_id: ListId::new("news.example.com").unwrap(),
            feedback_id: FeedbackId::new("c1", "w1", "campaign", "cursus").unwrap(),
        }
    }

    fn compose(&self) -> String {
        let bytes = compose(&Outgoing {
            message_id: &self.message_id,
            date: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            from: &self.from,
            reply_to: Some(&self.from),
            to: &self.to,
            subject: &self.subject,
            html: &self.html,
            text: &self.text,
            list_unsubscribe_url: &self.url,
            list_id: &self.list_id,
            feedback_id: &self.feedback_id,
        });
        String::from_utf8(bytes).unwrap()
    }
}

fn header_names(message: &str) -> Vec<&str> {
    let head = message.split("\r\n\r\n").next().unwrap();
    let starts = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    starts.map(|line| line.split_once(':').expect("a header has a colon").0).collect()
}

fn is_well_formed(message: &str) -> bool {
    message.is_ascii()
        && !message.contains('\0')
        && message.ends_with("\r\n")
        && !message.replace("\r\n", "").contains(['\r', '\n'])
        && message.split("\r\n").all(|line| line.len() <= 998)
}

#[test]
fn a_message_has_exactly_its_headers_and_two_parts() {
    let message = Parts::new("Grüße", "Cursus News", "<p>Hallo</p>", "Hallo").compose();
    assert_eq!(header_names(&message), NAMES);
    assert!(message.contains("List-Unsubscribe: <https://l.example.com/u/abc?x=1>\r\n"));
    assert!(message.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
    assert!(message.contains("List-ID: <news.example.com>\r\n"));
    assert!(message.contains("Feedback-ID: c1:w1:campaign:cursus\r\n"));
    assert!(message.contains("Message-ID: <01J@example.com>\r\n"));
    assert!(message.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"));
    let parsed = MessageParser::new().parse(message.as_bytes()).unwrap();
    assert_eq!(parsed.content_type().unwrap().subtype(), Some("alternative"));
    assert_eq!(parsed.text_body_count(), 1);
    assert_eq!(parsed.html_body_count(), 1);
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    let parts = Parts::new("a", "b", "<p>c</p>", "d");
    assert_eq!(parts.compose(), parts.compose());
}

#[test]
fn a_body_that_contains_the_boundary_gets_another() {
    let message =
        Parts::new("a", "b", "<p>\r\n--=_part_0--\r\n</p>", "--=_part_1\r\n\r\nforged").compose();
    let parsed = MessageParser::new().parse(message.as_bytes()).unwrap();
    assert_eq!(parsed.parts.len(), 3);
    assert!(parsed.body_text(0).unwrap().contains("forged"));
}

#[test]
fn a_long_unsubscribe_address_stays_on_one_short_enough_line() {
    let mut parts = Parts::new("a", "b", "c", "d");
    let url = format!("https://l.example.com/{}", "u".repeat(870));
    parts.url = UnsubscribeUrl::new(&url).unwrap();
    let message = parts.compose();
    assert!(is_well_formed(&message));
    assert!(message.contains(&format!("<{url}>")));
}

/// A part as a reader decodes it. Whether its last line ends is not ours to keep.
fn part(message: &Message<'_>, n: usize) -> String {
    message.parts[n].text_contents().unwrap().trim_end().to_owned()
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n.\r\n".to_owned()),
        Just("\n\nBcc: v@example.com\n".to_owned()),
        Just("--=_part_0".to_owned()),
        Just("=?utf-8?B?QQ==?=".to_owned()),
        Just("=0D=0A".to_owned()),
        Just("\0".to_owned()),
        Just("\"<>,;:\\".to_owned()),
        Just("👋ü".to_owned()),
        Just("x".repeat(1100)),
        "[ -~]{0,90}",
        "\\PC{0,30}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_message_has_a_line_that_its_parts_did_not_intend(
        subject in hostile(), name in hostile(), html in hostile(), text in hostile(),
    ) {
        // What the constructors refuse cannot be sent; what they accept must come out as it went in.
        let subject = HeaderText::new(&subject).map_or_else(|_| "s".to_owned(), |text| text.as_str().to_owned());
        let name = HeaderText::new(&name).map_or_else(|_| "n".to_owned(), |text| text.as_str().to_owned());
        let message = Parts::new(&subject, &name, &html, &text).compose();
        prop_assert!(is_well_formed(&message), "{}", message);
        prop_assert_eq!(header_names(&message), NAMES);
        let parsed = MessageParser::new().parse(message.as_bytes()).unwrap();
        prop_assert_eq!(parsed.parts.len(), 3);
        prop_assert_eq!(part(&parsed, 1), lines(&text).trim_end().to_owned());
        prop_assert_eq!(part(&parsed, 2), lines(&html).trim_end().to_owned());
        prop_assert_eq!(parsed.from().unwrap().iter().count(), 1);
        prop_assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("jane@example.org"));
    }

    #[test]
    fn a_subject_comes_back_as_it_was(subject in "[a-zA-Z0-9äöü€👋!?.,:;-]{1,20}( [a-zA-Z0-9äöü€👋!?.,:;-]{1,20}){0,8}") {
        let message = Parts::new(&subject, "n", "h", "t").compose();
        let parsed = MessageParser::new().parse(message.as_bytes()).unwrap();
        prop_assert_eq!(parsed.subject(), Some(subject.as_str()));
    }
}
