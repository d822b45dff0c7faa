//! Who is meant: one newtype for each kind of resource, and its resource name (AIP-122).
//!
//! A `…Id` is the last part of a name, a `…Name` the whole: `workspaces/acme/segments/vip` parses to
//! a [`SegmentName`] that holds a [`WorkspaceId`] and a [`SegmentId`].

/// Lets what has `Display` and `FromStr` be kept as text.
macro_rules! text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = crate::ParseError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
    };
}

mod name;

use std::fmt;
use std::str::FromStr;

pub use name::{MessageName, TemplateVersionName, parse_parent};

/// Why a text is not the id or the name that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The last part of a name is malformed.
    #[error(
        "`{text}` is not a {what} id: use 1 to {limit} letters, digits, `.`, `_` and `-`, beginning with a letter or a digit"
    )]
    Id {
        /// What was expected, for example `segment`.
        what: &'static str,
        /// The most bytes it may have.
        limit: usize,
        /// What was given, shortened.
        text: String,
    },
    /// The whole name is malformed.
    #[error("`{text}` is not the name of a {what}: it looks like `{pattern}`")]
    Name {
        /// What was expected.
        what: &'static str,
        /// How it looks.
        pattern: &'static str,
        /// What was given, shortened.
        text: String,
    },
}

/// Keeps an error message short whatever was sent.
fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}

fn is_id(text: &str, limit: usize) -> bool {
    let mut bytes = text.bytes();
    text.len() <= limit
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Declares the id of a kind of resource.
macro_rules! id {
    ($(#[$doc:meta])* $id:ident, $what:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $id(String);

        text!($id);

        impl AsRef<str> for $id {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $id {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                if is_id(text, $limit) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseError::Id { what: $what, limit: $limit, text: shortened(text) })
                }
            }
        }
    };
    // A resource directly below its workspace has a name, too.
    ($(#[$doc:meta])* $id:ident, $what:literal, $limit:literal, $name:ident, $collection:literal) => {
        id!($(#[$doc])* $id, $what, $limit);

        #[doc = concat!("`workspaces/{workspace}/", $collection, "/{", $what, "}`")]
        #[derive(
            Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            /// The tenant.
            pub workspace: WorkspaceId,
            /// The last part.
            pub id: $id,
        }

        text!($name);

        impl $name {
            /// Names a resource of a workspace.
            pub fn new(workspace: WorkspaceId, id: $id) -> Self {
                Self { workspace, id }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("workspaces/{}/", $collection, "/{}"), self.workspace, self.id)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                name::split(text, $collection)
                    .and_then(|(workspace, id)| {
                        Some(Self { workspace: workspace.parse().ok()?, id: id.parse().ok()? })
                    })
                    .ok_or_else(|| ParseError::Name {
                        what: $what,
                        pattern: concat!("workspaces/{workspace}/", $collection, "/{", $what, "}"),
                        text: shortened(text),
                    })
            }
        }
    };
}

id!(/// A tenant.
    WorkspaceId, "workspace", 63);
id!(/// Something known about contacts.
    AttributeId, "attribute", 63, AttributeName, "attributes");
id!(/// A person; the caller's own id.
    ContactId, "contact", 128, ContactName, "contacts");
id!(/// A company that contacts belong to; the caller's own id.
    AccountId, "account", 128, AccountName, "accounts");
id!(/// A sale that is being made; the caller's own id.
    DealId, "deal", 128, DealName, "deals");
id!(/// The receipt of an erasure.
    ErasureId, "erasure", 63, ErasureName, "erasures");
id!(/// A rule with a name.
    SegmentId, "segment", 63, SegmentName, "segments");
id!(/// Lets programs send calls of the tracking API.
    WriteKeyId, "write_key", 63, WriteKeyName, "writeKeys");
id!(/// A file that is imported.
    ImportId, "import", 63);
id!(/// A frozen audience.
    SnapshotId, "snapshot", 63, SnapshotName, "snapshots");
id!(/// Content that can be published.
    TemplateId, "template", 63, TemplateName, "templates");
id!(/// An identity that mail is sent from.
    SenderId, "sender", 63, SenderName, "senders");
id!(/// One mailing.
    BroadcastId, "broadcast", 63, BroadcastName, "broadcasts");
id!(/// An address that must not be written to.
    SuppressionId, "suppression", 64, SuppressionName, "suppressions");
id!(/// Arms that are compared.
    ExperimentId, "experiment", 63, ExperimentName, "experiments");
id!(/// One of the things compared.
    ArmId, "arm", 63);
id!(/// Something counted for every unit.
    MetricId, "metric", 63);
id!(/// A message to an audience.
    CampaignId, "campaign", 63, CampaignName, "campaigns");
id!(/// A person's permission.
    ApprovalId, "approval", 63, ApprovalName, "approvals");
id!(/// One row of the ledger.
    MessageId, "message", 63);

impl WorkspaceId {
    /// The name of the workspace itself: `workspaces/{workspace}`.
    pub fn name(&self) -> String {
        format!("workspaces/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_way_through_text() {
        let name: SegmentName = "workspaces/acme/segments/big-spenders".parse().unwrap();
        assert_eq!(name.workspace.as_ref(), "acme");
        assert_eq!(name.id.as_ref(), "big-spenders");
        assert_eq!(name.to_string(), "workspaces/acme/segments/big-spenders");
    }

    #[test]
    fn a_malformed_name_is_refused_with_its_pattern() {
        for text in [
            "",
            "segments/x",
            "workspaces/acme/segments",
            "workspaces/acme/segments/",
            "workspaces//segments/x",
            "workspaces/acme/contacts/x",
            "workspaces/acme/segments/a/b",
            "workspaces/acme/segments/a b",
            "workspaces/acme/segments/-a",
            "workspaces/acme/segments/a\n",
        ] {
            let error = text.parse::<SegmentName>().unwrap_err();
            assert!(error.to_string().contains("workspaces/{workspace}/segments/{segment}"));
        }
    }

    #[test]
    fn an_id_has_a_limit_and_a_message_stays_short() {
        assert!("a".repeat(63).parse::<WorkspaceId>().is_ok());
        let error = "a".repeat(100_000).parse::<WorkspaceId>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
