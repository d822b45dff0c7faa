//! What a server said it can do.

use crate::Reply;

/// The extensions that change what we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) starttls: bool,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
}

impl Extensions {
    pub(super) fn read(lines: &[String]) -> Self {
        let mut extensions = Self::default();
        // The first line is the server's name.
        for line in lines.iter().skip(1) {
            let mut words = line.get(4..).unwrap_or_default().split_ascii_whitespace();
            match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("STARTTLS") => extensions.starttls = true,
                Some("AUTH") => {
                    for word in words {
                        extensions.auth_plain |= word.eq_ignore_ascii_case("PLAIN");
                        extensions.auth_login |= word.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        extensions
    }
}

/// A reply with its lines, which only the answer to EHLO needs.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) lines: Vec<String>,
}
