//! Who a message is from and to.

use std::fmt;

use crate::{HeaderText, Malformed};

const LOCAL_LIMIT: usize = 64;
const ADDRESS_LIMIT: usize = 254;
const DOMAIN_LIMIT: usize = 253;
const LABEL_LIMIT: usize = 63;

/// A host name in ASCII, kept as given. Internationalised domains come as their `xn--` form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Domain(String);

/// A bare address, fit for an SMTP command: a dot-atom, `@`, and a domain of at least two labels.
///
/// Its `Debug` form hides the local part, so that no log can carry it by accident.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    at: usize,
}

/// An address with the name to show for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    address: Address,
    name: Option<HeaderText>,
}

impl Domain {
    pub fn new(text: &str) -> Result<Self, Malformed> {
        let refused = |why| Err(Malformed::new("domain", why));
        if text.is_empty() || text.len() > DOMAIN_LIMIT {
            return refused("its length must be 1 to 253");
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > LABEL_LIMIT {
                return refused("each label's length must be 1 to 63");
            }
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return refused("only ASCII letters, digits and hyphens are allowed");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return refused("a label must not start or end with a hyphen");
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether mail for strangers can be addressed to it: two labels or more, and not an IP address in disguise.
    fn is_public_shape(&self) -> bool {
        self.0.rsplit_once('.').is_some_and(|(_, top)| !top.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl Address {
    pub fn new(text: &str) -> Result<Self, Malformed> {
        let refused = |why| Err(Malformed::new("address", why));
        if text.len() > ADDRESS_LIMIT {
            return refused("it is longer than 254 characters");
        }
        let Some(at) = text.rfind('@') else { return refused("it has no `@`") };
        let (local, domain) = (&text[..at], Domain::new(&text[at + 1..])?);
        if local.is_empty() || local.len() > LOCAL_LIMIT {
            return refused("the part before `@` must have 1 to 64 characters");
        }
        if !is_dot_atom(local) {
            return refused("the part before `@` has a character or a dot where none is allowed");
        }
        if !domain.is_public_shape() {
            return refused(
                "the domain must have two labels or more and must not be an IP address",
            );
        }
        Ok(Self { text: text.to_owned(), at })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address(…@{})", self.domain())
    }
}

impl Mailbox {
    pub fn new(address: Address, name: Option<HeaderText>) -> Self {
        Self { address, name }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn name(&self) -> Option<&HeaderText> {
        self.name.as_ref()
    }
}

impl From<Address> for Mailbox {
    fn from(address: Address) -> Self {
        Self::new(address, None)
    }
}

/// RFC 5322 `dot-atom-text`: what may stand in an address or an identifier without quoting.
pub(crate) fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte))
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, accepted: bool) {
        assert_eq!(Address::new(text).is_ok(), accepted, "{text:?}");
    }

    #[test]
    fn ordinary_addresses_are_accepted() {
        for text in ["a@example.com", "o'brien+news@mail.example.co.uk", "x@xn--bcher-kva.example"]
        {
            check(text, true);
        }
    }

    #[test]
    fn addresses_that_could_carry_a_command_or_a_header_are_refused() {
        for text in [
            "a@example.com\r\nRCPT TO:<b@example.com>",
            "a\r\n@example.com",
            "a@example.com\0",
            "a@exa\nmple.com",
            "<a@example.com>",
            "a b@example.com",
            "a@example.com>",
            "\"a\\\r\"@example.com",
            "a\u{7f}@example.com",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn addresses_out_of_shape_are_refused() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long_domain = format!("a@{}.com", "b".repeat(64));
        for text in [
            "",
            "@",
            "a",
            "a@",
            "@example.com",
            "a@localhost",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            ".a@example.com",
            "a.@example.com",
            "a..b@example.com",
            "a@example..com",
            "a@-example.com",
            "ü@example.com",
            "a@bücher.example",
            &long_local,
            &long_domain,
        ] {
            check(text, false);
        }
    }

    #[test]
    fn debug_does_not_show_who_it_is() {
        let mailbox = Mailbox::from(Address::new("jane.doe@example.com").unwrap());
        assert!(!format!("{mailbox:?}").contains("jane"));
    }
}
