//! Whom a message goes to, and the keyed hash by which an address is known where it must not be kept.

use std::fmt;
use std::str::FromStr;

use cursus_ids::WorkspaceId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// An address that mail can be sent to. Its domain is in lower-case ASCII; the part before `@` is as it was given,
/// because its case is the receiver's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(cursus_mail::Address);

/// What an address is known by in suppressions. Equal for spellings that reach the same mailbox; different in every
/// workspace; worthless without the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AddressHash([u8; 32]);

/// Makes address hashes.
#[derive(Clone)]
pub(crate) struct AddressHasher {
    keyed: Hmac<Sha256>,
}

impl Address {
    /// Nothing if nobody can be reached there.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.trim().rsplit_once('@')?;
        // Lower-cases, and turns an internationalised domain into its ASCII form.
        let url::Host::Domain(domain) = url::Host::parse(domain).ok()? else { return None };
        cursus_mail::Address::new(&format!("{local}@{domain}")).ok().map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn into_mail(self) -> cursus_mail::Address {
        self.0
    }

    pub(crate) fn domain(&self) -> &str {
        self.0.domain()
    }
}

impl AddressHash {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// From hexadecimal.
impl FromStr for AddressHash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(());
        }
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// In hexadecimal: the last part of a suppression's name.
impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl AddressHasher {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self { keyed: Hmac::new_from_slice(secret).expect("a key may have any length") }
    }

    /// The part before `@` counts in lower case: two mailboxes that differ in case alone do not exist in practice, one
    /// person who spells it in two ways does. Dots and `+` suffixes are left alone: what they mean differs by provider.
    pub(crate) fn hash(&self, workspace: &WorkspaceId, address: &Address) -> AddressHash {
        let tenant = self.keyed.clone().chain_update(workspace.as_ref()).finalize().into_bytes();
        let normalised = address.as_str().to_ascii_lowercase();
        AddressHash(
            Self::new(&tenant).keyed.chain_update(normalised).finalize().into_bytes().into(),
        )
    }
}

impl fmt::Debug for AddressHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressHasher(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(workspace: &str, address: &str) -> AddressHash {
        let hasher = AddressHasher::new(b"secret");
        hasher.hash(&workspace.parse().unwrap(), &Address::parse(address).unwrap())
    }

    #[test]
    fn spellings_of_one_mailbox_have_one_hash() {
        let expected = hash("acme", "ada@example.com");
        for spelling in [" ada@example.com ", "ADA@example.com", "ada@EXAMPLE.Com"] {
            assert_eq!(hash("acme", spelling), expected, "{spelling}");
        }
        assert_eq!(hash("acme", "x@bücher.example"), hash("acme", "x@XN--BCHER-KVA.example"));
    }

    #[test]
    fn other_mailboxes_workspaces_and_secrets_have_other_hashes() {
        let ada = hash("acme", "ada@example.com");
        assert_ne!(ada, hash("acme", "a.da@example.com"));
        assert_ne!(ada, hash("acme", "ada+news@example.com"));
        assert_ne!(ada, hash("other", "ada@example.com"));
        let address = Address::parse("ada@example.com").unwrap();
        let hasher = AddressHasher::new(b"another secret");
        assert_ne!(ada, hasher.hash(&"acme".parse().unwrap(), &address));
    }

    #[test]
    fn what_cannot_be_reached_is_no_address() {
        for text in
            ["", "ada", "@example.com", "ada@", "ada@10.0.0.1", "ada@[::1]", "a b@example.com"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
        assert_eq!(Address::parse("a@b.example\r\nRCPT TO:<c@d.example>"), None);
    }

    #[test]
    fn a_hash_is_shown_as_an_id_and_its_hasher_not_at_all() {
        let ada = hash("acme", "ada@example.com");
        assert_eq!(ada.to_string().parse(), Ok(ada));
        assert_eq!("zz".repeat(32).parse::<AddressHash>(), Err(()));
        assert_eq!(format!("{:?}", AddressHasher::new(b"secret")), "AddressHasher(..)");
    }
}
