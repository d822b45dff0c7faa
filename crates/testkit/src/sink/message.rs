//! An accepted message, read as a recipient's mail program reads it.

use std::borrow::Cow;

use mail_parser::MessageParser;

/// One message as it came over the wire.
#[derive(Clone, Debug)]
pub struct Message {
    raw: Vec<u8>,
}

impl Message {
    pub(super) fn new(raw: Vec<u8>) -> Self {
        Self { raw }
    }

    /// Every byte, dots unstuffed.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// A header's value, unfolded; the first when there are several.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// Every value of a header, unfolded and not decoded.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        let mut wanted = false;
        for line in self.header_lines() {
            if line.starts_with([' ', '\t']) {
                if let Some(value) = values.last_mut().filter(|_| wanted) {
                    value.push_str(&line.replacen('\t', " ", 1));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            wanted = field.trim_end().eq_ignore_ascii_case(name);
            if wanted {
                values.push(value.trim().to_owned());
            }
        }
        values
    }

    /// The HTML body, decoded.
    pub fn html(&self) -> Option<String> {
        let parsed = MessageParser::default().parse(&self.raw)?;
        // The parser would make HTML of a text part.
        let is_html = parsed.html_part(0)?.is_text_html();
        parsed.body_html(0).filter(|_| is_html).map(Cow::into_owned)
    }

    /// The text body, decoded.
    pub fn text(&self) -> Option<String> {
        let parsed = MessageParser::default().parse(&self.raw)?;
        let is_text = !parsed.text_part(0)?.is_text_html();
        parsed.body_text(0).filter(|_| is_text).map(Cow::into_owned)
    }

    /// What the HTML body links to and shows, in order, entities decoded; else the addresses in the
    /// text body.
    pub fn links(&self) -> Vec<String> {
        match self.html() {
            Some(html) => references(&html),
            None => self.text().map(|text| addresses(&text)).unwrap_or_default(),
        }
    }

    fn header_lines(&self) -> impl Iterator<Item = String> {
        let lines = self.raw.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.take_while(|line| !line.is_empty());
        lines.map(|line| String::from_utf8_lossy(line).into_owned())
    }
}

fn references(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some((attribute, after)) = rest.split_once('=') {
        rest = after;
        let is_reference = attribute.ends_with("href") || attribute.ends_with("src");
        let Some(quote) = after.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
            continue;
        };
        let Some((address, after)) = after[1..].split_once(quote) else { break };
        rest = after;
        if is_reference && address.starts_with("http") {
            found.push(address.replace("&amp;", "&"));
        }
    }
    found
}

fn addresses(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| letter.is_whitespace() || "<>()[]\"".contains(letter));
    words.filter(|word| word.starts_with("http")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
        List-Unsubscribe:\r\n <https://t.example/u/1>,\r\n\t<mailto:u@t.example>\r\n\
        X-Many: one\r\nX-Many: two\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nsee https://t.example/text\r\n\
        --b\r\nContent-Type: text/html; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n\
        <a href=3D\"https://t.example/c/1?a=3D1&amp;=\r\nb=3D2\">go</a>\r\n\
        <a href=3D'mailto:x@y'>write</a>\r\n\
        <img alt=3D\"a=3Db\" src=3D\"https://t.example/o/1\">\r\n--b--\r\n";

    fn mail() -> Message {
        Message::new(MAIL.as_bytes().to_vec())
    }

    #[test]
    fn a_folded_header_is_one_value() {
        let header = mail().header("list-unsubscribe").unwrap();
        assert_eq!(header.trim(), "<https://t.example/u/1>, <mailto:u@t.example>");
    }

    #[test]
    fn a_repeated_header_has_every_value_and_a_missing_one_none() {
        assert_eq!(mail().headers("X-Many"), ["one", "two"]);
        assert_eq!(mail().header("X-None"), None);
    }

    #[test]
    fn links_and_images_are_read_through_encoding_and_entities() {
        let expected = ["https://t.example/c/1?a=1&b=2", "https://t.example/o/1"];
        assert_eq!(mail().links(), expected);
    }

    #[test]
    fn a_message_without_html_gives_the_links_of_its_text() {
        let raw = b"Content-Type: text/plain\r\n\r\nsee <https://t.example/text>, please\r\n";
        let message = Message::new(raw.to_vec());
        assert_eq!(
            (message.html(), message.links()),
            (None, vec!["https://t.example/text".into()])
        );
    }

    #[test]
    fn both_bodies_are_decoded() {
        assert_eq!(mail().text().unwrap().trim(), "see https://t.example/text");
        assert!(mail().html().unwrap().contains("href=\"https://"));
    }
}
