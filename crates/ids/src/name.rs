//! Names that are not simply a resource below its workspace.

use std::fmt;
use std::str::FromStr;

use crate::{BroadcastName, MessageId, ParseError, TemplateName, WorkspaceId, shortened};

/// Splits `workspaces/{workspace}/{collection}/{id}` into workspace and id.
pub(crate) fn split<'a>(text: &'a str, collection: &str) -> Option<(&'a str, &'a str)> {
    let (workspace, rest) = text.strip_prefix("workspaces/")?.split_once('/')?;
    Some((workspace, rest.strip_prefix(collection)?.strip_prefix('/')?))
}

/// Reads the `parent` of a standard method: `workspaces/{workspace}`.
pub fn parse_parent(text: &str) -> Result<WorkspaceId, ParseError> {
    text.strip_prefix("workspaces/").and_then(|id| id.parse().ok()).ok_or_else(|| {
        ParseError::Name {
            what: "workspace",
            pattern: "workspaces/{workspace}",
            text: shortened(text),
        }
    })
}

/// `workspaces/{workspace}/templates/{template}/versions/{number}`
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateVersionName {
    /// Of which template.
    pub template: TemplateName,
    /// Counted from 1.
    pub number: u32,
}

text!(TemplateVersionName);

impl fmt::Display for TemplateVersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/{}", self.template, self.number)
    }
}

impl FromStr for TemplateVersionName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (template, number) = text.rsplit_once("/versions/")?;
            let number = number.parse().ok().filter(|number| *number > 0)?;
            Some(Self { template: template.parse().ok()?, number })
        };
        parse().ok_or_else(|| ParseError::Name {
            what: "template version",
            pattern: "workspaces/{workspace}/templates/{template}/versions/{number}",
            text: shortened(text),
        })
    }
}

/// `workspaces/{workspace}/broadcasts/{broadcast}/messages/{message}`
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct MessageName {
    /// Of which broadcast.
    pub broadcast: BroadcastName,
    /// The last part.
    pub id: MessageId,
}

text!(MessageName);

impl fmt::Display for MessageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/messages/{}", self.broadcast, self.id)
    }
}

impl FromStr for MessageName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (broadcast, id) = text.rsplit_once("/messages/")?;
            Some(Self { broadcast: broadcast.parse().ok()?, id: id.parse().ok()? })
        };
        parse().ok_or_else(|| ParseError::Name {
            what: "message",
            pattern: "workspaces/{workspace}/broadcasts/{broadcast}/messages/{message}",
            text: shortened(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_names_survive_the_way_through_text() {
        let text = "workspaces/acme/templates/spring/versions/3";
        let version: TemplateVersionName = text.parse().unwrap();
        assert_eq!((version.number, version.to_string().as_str()), (3, text));
        let text = "workspaces/acme/broadcasts/b1/messages/0190-aa";
        assert_eq!(text.parse::<MessageName>().unwrap().to_string(), text);
    }

    #[test]
    fn a_version_is_a_positive_number() {
        for number in ["0", "-1", "x", "", "99999999999"] {
            let text = format!("workspaces/acme/templates/spring/versions/{number}");
            assert!(text.parse::<TemplateVersionName>().is_err());
        }
    }

    #[test]
    fn a_parent_is_a_workspace_and_nothing_else() {
        assert_eq!(parse_parent("workspaces/acme").unwrap().as_ref(), "acme");
        assert!(parse_parent("workspaces/acme/segments/x").is_err());
        assert!(parse_parent("acme").is_err());
    }
}
