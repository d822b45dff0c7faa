//! The URLs in a message through which its recipient answers.

use anyhow::Context;
use cursus_ids::WorkspaceId;
use cursus_mail::UnsubscribeUrl;
use url::Url;

use crate::message::Key;
use crate::token::{self, Purpose, Token, TokenKeys};

/// Signs URLs, and verifies what comes back.
#[derive(Clone, Debug)]
pub(crate) struct Tracking {
    keys: TokenKeys,
    /// Without a slash at the end.
    base: String,
}

impl Tracking {
    /// Refuses a base that cannot be what every message's header needs.
    pub(crate) fn new(keys: TokenKeys, base: &Url) -> anyhow::Result<Self> {
        let base = base.as_str().trim_end_matches('/').to_owned();
        let longest = "x".repeat(token::LONGEST_TEXT);
        UnsubscribeUrl::new(&format!("{base}/u/{longest}"))
            .with_context(|| format!("`{base}` cannot be where recipients answer"))?;
        Ok(Self { keys, base })
    }

    pub(crate) fn open_url(&self, workspace: &WorkspaceId, message: Key) -> String {
        format!("{}/o/{}", self.base, self.sign(Purpose::Open, workspace, message, 0))
    }

    pub(crate) fn click_url(&self, workspace: &WorkspaceId, message: Key, link: u16) -> String {
        format!("{}/c/{}", self.base, self.sign(Purpose::Click, workspace, message, link))
    }

    pub(crate) fn unsubscribe_url(&self, workspace: &WorkspaceId, message: Key) -> String {
        format!("{}/u/{}", self.base, self.sign(Purpose::Unsubscribe, workspace, message, 0))
    }

    pub(crate) fn verify(&self, purpose: Purpose, token: &str) -> Option<Token> {
        self.keys.verify(purpose, token)
    }

    fn sign(&self, purpose: Purpose, workspace: &WorkspaceId, message: Key, link: u16) -> String {
        let workspace = workspace.clone();
        self.keys.sign(&Token { purpose, workspace, message, link_number: link })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracking(base: &str) -> anyhow::Result<Tracking> {
        let keys = TokenKeys::parse("1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        Tracking::new(keys, &base.parse().unwrap())
    }

    #[test]
    fn a_base_that_no_message_could_carry_is_refused_at_the_start() {
        for base in
            ["http://click.example.com", "https://user@click.example.com", "mailto:a@b.example"]
        {
            assert!(tracking(base).is_err(), "{base}");
        }
    }

    #[test]
    fn urls_are_made_below_the_base_with_or_without_a_slash_at_its_end() {
        let key = Key::new(
            &"workspaces/acme/broadcasts/spring".parse().unwrap(),
            &"ada".parse().unwrap(),
        );
        for base in ["https://click.example.com/a", "https://click.example.com/a/"] {
            let tracking = tracking(base).unwrap();
            let url = tracking.open_url(&"acme".parse().unwrap(), key);
            let token = url.strip_prefix("https://click.example.com/a/o/").unwrap();
            assert_eq!(tracking.verify(Purpose::Open, token).unwrap().message, key);
        }
    }
}
