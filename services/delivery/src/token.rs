//! What a tracking URL carries: which message, which link and for what purpose, signed, so that nobody can make one up,
//! and a token made for one purpose is worth nothing for another.

use std::fmt;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cursus_ids::WorkspaceId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::message::Key;

const VERSION: u8 = 1;
const SIGNATURE: usize = 16;
/// Version, key, purpose, length of the workspace; then the workspace; then message and link.
const HEAD: usize = 4;
const TAIL: usize = 16 + 2;
const LONGEST: usize = HEAD + 63 + TAIL + SIGNATURE;
/// The most characters that a token has.
pub(crate) const LONGEST_TEXT: usize = (LONGEST * 4).div_ceil(3);
const SHORTEST_SECRET: usize = 32;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Open,
    Click,
    Unsubscribe,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) purpose: Purpose,
    pub(crate) workspace: WorkspaceId,
    pub(crate) message: Key,
    /// For clicks: which of the variant's links.
    pub(crate) link_number: u16,
}

/// The keys that tokens are signed and verified with.
#[derive(Clone)]
pub(crate) struct TokenKeys {
    /// The first one signs.
    keys: Vec<(u8, Hmac<Sha256>)>,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Click => 2,
            Self::Unsubscribe => 3,
        }
    }
}

impl TokenKeys {
    /// Reads a key from each line, as `number:secret` with 0 to 255 for the number and base64url for the secret. The
    /// first one signs, all of them verify: mail is read for years, so a key retires from signing only.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut keys: Vec<(u8, Hmac<Sha256>)> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (number, secret) = line.split_once(':').context("a line is not `number:secret`")?;
            let number = number.trim().parse().context("the number of a key is not 0 to 255")?;
            let secret = decode_secret(secret.trim())?;
            ensure!(keys.iter().all(|key| key.0 != number), "the key {number} is there twice");
            keys.push((number, Hmac::new_from_slice(&secret)?));
        }
        if keys.is_empty() {
            bail!("there is no key");
        }
        Ok(Self { keys })
    }

    pub(crate) fn sign(&self, token: &Token) -> String {
        let (number, key) = &self.keys[0];
        let workspace = token.workspace.as_ref().as_bytes();
        let length = u8::try_from(workspace.len()).expect("an id has at most 63 bytes");
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.extend([VERSION, *number, token.purpose.byte(), length]);
        bytes.extend(workspace);
        bytes.extend(token.message.uuid().as_bytes());
        bytes.extend(token.link_number.to_be_bytes());
        bytes.extend(signature(key, &bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Nothing, unless the token was signed here for this purpose.
    pub(crate) fn verify(&self, purpose: Purpose, text: &str) -> Option<Token> {
        if text.len() > LONGEST_TEXT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, signed) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
        let (&[version, number, kind, length], rest) = said.split_first_chunk::<HEAD>()?;
        let key = &self.keys.iter().find(|key| key.0 == number)?.1;
        if !bool::from(signature(key, said).ct_eq(signed)) {
            return None;
        }
        if version != VERSION || kind != purpose.byte() || rest.len() != usize::from(length) + TAIL
        {
            return None;
        }
        let (workspace, tail) = rest.split_at(usize::from(length));
        let (message, link_number) = tail.split_first_chunk::<16>()?;
        Some(Token {
            purpose,
            workspace: std::str::from_utf8(workspace).ok()?.parse().ok()?,
            message: Uuid::from_bytes(*message).into(),
            link_number: u16::from_be_bytes(link_number.try_into().ok()?),
        })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKeys(..)")
    }
}

/// A secret of at least 256 bits, written in base64url.
pub(crate) fn decode_secret(text: &str) -> anyhow::Result<Vec<u8>> {
    // The text is a secret, so no error may quote it.
    let Ok(secret) = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')) else {
        bail!("a secret is not base64url");
    };
    ensure!(secret.len() >= SHORTEST_SECRET, "a secret has less than {SHORTEST_SECRET} bytes");
    Ok(secret)
}

fn signature(key: &Hmac<Sha256>, said: &[u8]) -> [u8; SIGNATURE] {
    let whole = key.clone().chain_update(b"cursus tracking\0").chain_update(said).finalize();
    let whole = whole.into_bytes();
    std::array::from_fn(|n| whole[n])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const NEW: &str = "2:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

    fn keys(text: &str) -> TokenKeys {
        TokenKeys::parse(text).unwrap()
    }

    fn token(purpose: Purpose) -> impl Strategy<Value = Token> {
        ("[a-z0-9][a-z0-9._-]{0,62}", any::<u128>(), any::<u16>()).prop_map(
            move |(workspace, message, link_number)| Token {
                purpose,
                workspace: workspace.parse().unwrap(),
                message: Uuid::from_u128(message).into(),
                link_number,
            },
        )
    }

    proptest! {
        #[test]
        fn a_token_survives_the_way_through_a_url(token in token(Purpose::Click)) {
            let text = keys(OLD).sign(&token);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(keys(OLD).verify(Purpose::Click, &text), Some(token));
        }

        #[test]
        fn a_token_for_one_purpose_is_worth_nothing_for_another(token in token(Purpose::Open)) {
            let text = keys(OLD).sign(&token);
            prop_assert_eq!(keys(OLD).verify(Purpose::Unsubscribe, &text), None);
            prop_assert_eq!(keys(OLD).verify(Purpose::Click, &text), None);
        }

        #[test]
        fn a_token_with_a_bit_changed_is_refused(token in token(Purpose::Click), at: usize, bit in 0..8_u8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(keys(OLD).sign(&token)).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let text = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(keys(&format!("{OLD}\n{NEW}")).verify(Purpose::Click, &text), None);
        }

        #[test]
        fn no_text_makes_verifying_panic(text in "\\PC{0,300}") {
            prop_assert_eq!(keys(OLD).verify(Purpose::Open, &text), None);
        }

        #[test]
        fn no_bytes_make_verifying_panic(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
            let text = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(keys(OLD).verify(Purpose::Open, &text), None);
        }

        #[test]
        fn a_retired_key_still_verifies_and_an_unknown_one_does_not(token in token(Purpose::Open)) {
            let text = keys(OLD).sign(&token);
            let rotated = keys(&format!("{NEW}\n{OLD}\n"));
            prop_assert_eq!(rotated.verify(Purpose::Open, &text), Some(token));
            prop_assert_eq!(keys(NEW).verify(Purpose::Open, &text), None);
        }
    }

    #[test]
    fn a_file_without_a_usable_key_is_refused_without_showing_it() {
        let short = "1:c2VjcmV0";
        for text in ["", "secret", "1:!!", "256:AAAA", short, &format!("{OLD}\n{OLD}")] {
            let error = format!("{:#}", TokenKeys::parse(text).unwrap_err());
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
        assert_eq!(format!("{:?}", keys(OLD)), "TokenKeys(..)");
    }
}
