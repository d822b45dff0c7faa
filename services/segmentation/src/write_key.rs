//! A write key: what a program elsewhere shows to have its calls taken.
//!
//! A key is `cwk_`, twelve digits by which it is found, `_`, and the secret itself. Only its beginning and a hash of the
//! whole are kept.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use cursus_ids::WriteKeyName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::segment::DisplayName;

/// The most keys of a workspace that are not revoked.
pub(crate) const MOST_WRITE_KEYS: i64 = 100;

/// Random bytes of a key: those by which it is found, and the secret ones.
pub(crate) const RANDOM_BYTES: usize = FINDING + 24;
const FINDING: usize = 6;
const MARK: &str = "cwk_";
const LENGTH: usize = MARK.len() + 2 * FINDING + 1 + 2 * 24;

/// A write key as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteKey {
    pub(crate) name: WriteKeyName,
    pub(crate) display_name: String,
    pub(crate) prefix: String,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) revoke_time: Option<DateTime<Utc>>,
}

/// A write key to be created.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: WriteKeyName,
    pub(crate) display_name: DisplayName,
}

/// A key as a program shows it. It is in no log: there is no `Debug`.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(random: [u8; RANDOM_BYTES]) -> Self {
        let mut text = MARK.to_owned();
        for (index, byte) in random.iter().enumerate() {
            if index == FINDING {
                text.push('_');
            }
            write!(text, "{byte:02x}").expect("a string takes every write");
        }
        Self(text)
    }

    /// What somebody shows, if it can be a key at all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_key = text.len() == LENGTH
            && text.starts_with(MARK)
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_key.then(|| Self(text.to_owned()))
    }

    /// How it begins.
    pub(crate) fn prefix(&self) -> &str {
        &self.0[..MARK.len() + 2 * FINDING]
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// Whether it is the key with this hash. Takes the same time wherever they differ.
    pub(crate) fn is(&self, sha256: &[u8]) -> bool {
        self.sha256().ct_eq(sha256).into()
    }

    /// To be shown, once.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_beginning_and_known_by_its_hash() {
        let key = Secret::new([7; RANDOM_BYTES]);
        let shown = Secret::parse(&key.clone().into_text()).unwrap();
        assert_eq!(shown.prefix(), "cwk_070707070707");
        assert!(shown.is(&key.sha256()));
        let mut other = [7; RANDOM_BYTES];
        other[RANDOM_BYTES - 1] = 8;
        let other = Secret::new(other);
        assert_eq!(other.prefix(), key.prefix());
        assert!(!other.is(&key.sha256()));
        assert!(!other.is(b"too short"));
    }

    #[test]
    fn what_cannot_be_a_key_is_not_looked_up() {
        let key = Secret::new([7; RANDOM_BYTES]).into_text();
        for text in ["", "abc123", &key[1..], &format!("{key}0"), &key.replace("cwk", "kwc")] {
            assert!(Secret::parse(text).is_none(), "{text}");
        }
        assert!(Secret::parse(&"é".repeat(LENGTH / 2)).is_none());
    }
}
