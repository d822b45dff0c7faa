//! What a template may say about a contact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::suggest;

/// Every contact has it: nothing can be sent to one without.
pub(crate) const EMAIL: &str = "email";

/// The attributes a workspace knows, by name.
#[derive(Clone, Debug)]
pub struct Fields(BTreeMap<String, Kind>);

/// What values an attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    Text,
    Number,
    Boolean,
    /// RFC 3339 text.
    Time,
    /// A list of texts.
    List,
}

/// A field that a template shows or asks about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldUse {
    pub name: String,
    /// Whether the message reads well for a contact without it, everywhere it is used.
    pub has_default: bool,
}

impl Fields {
    pub fn new(attributes: impl IntoIterator<Item = (String, Kind)>) -> Self {
        let mut fields: BTreeMap<_, _> = attributes.into_iter().collect();
        fields.insert(EMAIL.to_owned(), Kind::Text);
        Self(fields)
    }

    pub(crate) fn kind(&self, name: &str) -> Option<Kind> {
        self.0.get(name).copied()
    }

    pub(crate) fn closest(&self, name: &str) -> Option<&str> {
        suggest::closest(name, self.0.keys().map(String::as_str))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), *kind))
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Time => "a time",
            Self::List => "a list",
        }
    }
}
