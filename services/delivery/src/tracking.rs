//! The URLs in a message through which its recipient answers.

use cursus_ids::WorkspaceId;
use url::Url;

use crate::message::Key;
use crate::token::{Purpose, Token, TokenKeys};

/// Signs URLs, and verifies what comes back.
#[derive(Clone, Debug)]
pub(crate) struct Tracking {
    keys: TokenKeys,
    /// Without a slash at the end.
    base: String,
}

impl Tracking {
    pub(crate) fn new(keys: TokenKeys, base: &Url) -> Self {
        Self { keys, base: base.as_str().trim_end_matches('/').to_owned() }
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
