//! An identity that mail is sent from.

use chrono::{DateTime, Utc};
use cursus_ids::SenderName;
use cursus_mail::{HeaderText, Mailbox};

use crate::address::Address;

/// Declared once and never changed, so that what was approved is what is sent.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) name: SenderName,
    pub(crate) display_name: HeaderText,
    pub(crate) address: Address,
    /// Unset: answers go to `address`.
    pub(crate) reply_to: Option<Address>,
    pub(crate) create_time: DateTime<Utc>,
}

impl Sender {
    /// The From of a message.
    pub(crate) fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.address.clone().into_mail(), Some(self.display_name.clone()))
    }

    /// As recipients see it, and as an approval shows it: `Acme <news@acme.example>`.
    pub(crate) fn shown(&self) -> String {
        format!("{} <{}>", self.display_name.as_str(), self.address.as_str()).trim().to_owned()
    }
}
