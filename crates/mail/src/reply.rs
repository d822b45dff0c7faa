//! What a server answered, reduced to what may be kept.

use std::fmt;

/// Replies are stored and shown; a server may not fill our tables.
const TEXT_LIMIT: usize = 512;

/// A complete SMTP reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub enhanced: Option<Enhanced>,
    /// The lines' text joined by spaces, printable, shortened.
    pub text: String,
}

/// RFC 3463: a status that says more than the code, such as `5.1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enhanced {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl Reply {
    /// Reads the lines of one reply, without their line ends. `None` when they are not one.
    pub(crate) fn parse<L: AsRef<str>>(lines: &[L]) -> Option<Self> {
        let code = code(lines.first()?.as_ref())?;
        let mut text = String::new();
        for (n, line) in lines.iter().enumerate() {
            let line = line.as_ref();
            let is_last = n + 1 == lines.len();
            if self::code(line)? != code || continues(line) == is_last {
                return None;
            }
            push_printable(&mut text, line.get(4..).unwrap_or_default());
        }
        let enhanced = text.split(' ').next().and_then(|word| Enhanced::parse(word, code));
        Some(Self { code, enhanced, text })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl Enhanced {
    /// One that contradicts the reply's code is not believed.
    fn parse(word: &str, code: u16) -> Option<Self> {
        let mut parts = word.splitn(3, '.');
        let class: u8 = number(parts.next()?)?.try_into().ok()?;
        let (subject, detail) = (number(parts.next()?)?, number(parts.next()?)?);
        (u16::from(class) == code / 100).then_some(Self { class, subject, detail })
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// Whether more lines of the same reply follow.
pub(crate) fn continues(line: &str) -> bool {
    line.as_bytes().get(3) == Some(&b'-')
}

fn code(line: &str) -> Option<u16> {
    let digits = line.as_bytes().get(..3)?;
    let separated = matches!(line.as_bytes().get(3), None | Some(b' ' | b'-'));
    let in_range = (b'2'..=b'5').contains(&digits[0])
        && (b'0'..=b'5').contains(&digits[1])
        && digits[2].is_ascii_digit();
    (separated && in_range)
        .then(|| digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

fn number(text: &str) -> Option<u16> {
    let well_formed =
        (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| text.parse().ok()).flatten()
}

fn push_printable(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    let room = TEXT_LIMIT.saturating_sub(text.chars().count());
    text.extend(line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(room));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_one_reply_are_joined() {
        let reply =
            Reply::parse(&["550-5.1.1 The account", "550-5.1.1 does not", "550 5.1.1 exist"])
                .unwrap();
        assert_eq!(reply.code, 550);
        assert_eq!(reply.enhanced.unwrap().to_string(), "5.1.1");
        assert_eq!(reply.text, "5.1.1 The account 5.1.1 does not 5.1.1 exist");
    }

    #[test]
    fn lines_that_do_not_belong_together_are_no_reply() {
        for lines in [
            &["250-a", "550 b"][..],
            &["250 a", "250 b"],
            &["250-a"],
            &["hello"],
            &["25"],
            &["250x"],
            &["650 a"],
            &["190 a"],
            &[],
        ] {
            assert_eq!(Reply::parse(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn an_enhanced_code_that_contradicts_the_reply_is_ignored() {
        assert_eq!(Reply::parse(&["450 5.1.1 no"]).unwrap().enhanced, None);
        assert_eq!(Reply::parse(&["550 5.1.1234 no"]).unwrap().enhanced, None);
        assert_eq!(Reply::parse(&["550 5.1 no"]).unwrap().enhanced, None);
    }

    #[test]
    fn the_text_is_printable_and_short() {
        let reply = Reply::parse(&[format!("550 a\u{1b}[31m{}", "x".repeat(9000))]).unwrap();
        assert!(reply.text.chars().count() <= TEXT_LIMIT);
        assert!(!reply.text.chars().any(char::is_control));
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(lines in prop::collection::vec("[2-5]?[0-5]?[0-9]?[ -]?\\PC{0,20}", 0..4)) {
            let _ = Reply::parse(&lines);
        }
    }
}
