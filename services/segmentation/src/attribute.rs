//! What a workspace knows about its contacts: its attributes, declared and built in.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use cursus_audience::{Kind, Limits, Plan, Rule, Schema};
use cursus_ids::{AttributeId, AttributeName, WorkspaceId};

use crate::error::Error;
use crate::refusal::{Reason, Refusal};
use crate::value::Value;

/// Kept in columns of their own, and known to every workspace.
pub(crate) const EMAIL: &str = "email";
pub(crate) const CREATE_TIME: &str = "create_time";

/// The most attributes a workspace declares: rows and rules are checked against all of them.
pub(crate) const MOST_ATTRIBUTES: usize = 1_000;

/// An attribute as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) name: AttributeName,
    pub(crate) kind: Kind,
    pub(crate) description: String,
    /// Built-in ones were never declared.
    pub(crate) create_time: Option<DateTime<Utc>>,
}

/// An attribute to be declared.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: AttributeName,
    pub(crate) kind: Kind,
    pub(crate) description: String,
}

impl Draft {
    pub(crate) fn new(name: AttributeName, kind: Kind, description: String) -> Result<Self, Error> {
        let id = name.id.as_ref();
        if !is_identifier(id) {
            let message = format!(
                "`{id}` is not an attribute id: use small letters, digits and `_`, beginning with a letter"
            );
            return Err(Error::invalid("attribute_id", message));
        }
        if description.len() > 1_024 {
            return Err(Error::invalid("attribute.description", "use at most 1,024 bytes"));
        }
        Ok(Self { name, kind, description })
    }
}

/// The attributes of a workspace, as rows and rules are checked against them.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    declared: HashMap<String, (i16, Kind)>,
    names: BTreeMap<i16, String>,
    schema: Schema,
}

impl Vocabulary {
    /// From the id, number and kind of each declared one.
    pub(crate) fn new(declared: impl IntoIterator<Item = (String, i16, Kind)>) -> Self {
        let declared: HashMap<_, _> =
            declared.into_iter().map(|(id, number, kind)| (id, (number, kind))).collect();
        let names = declared.iter().map(|(id, (number, _))| (*number, id.clone())).collect();
        let kinds = declared.iter().map(|(id, (_, kind))| (id.clone(), *kind));
        let built_in = [(EMAIL.to_owned(), Kind::Text), (CREATE_TIME.to_owned(), Kind::Time)];
        let schema = Schema::new(kinds.chain(built_in), []);
        Self { declared, names, schema }
    }

    /// What rules are checked against. Events need not have happened to be asked for.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The id of the attribute that is stored under a number.
    pub(crate) fn name(&self, number: i16) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    /// The number under which an attribute is stored, and its id.
    pub(crate) fn numbered(&self, id: &str) -> Option<(i16, &str)> {
        let (id, (number, _)) = self.declared.get_key_value(id)?;
        Some((*number, id))
    }

    /// The kind of an attribute, if it is declared.
    pub(crate) fn kind(&self, id: &str) -> Option<Kind> {
        self.declared.get(id).map(|(_, kind)| *kind)
    }

    /// How many attributes are declared.
    pub(crate) fn len(&self) -> usize {
        self.declared.len()
    }

    /// The number under which a value is stored, if the attribute is declared and takes it.
    pub(crate) fn admit(&self, id: &str, value: Option<&Value>) -> Result<i16, Refusal> {
        let field = || format!("contact.attributes[{id}]");
        let Some((number, kind)) = self.declared.get(id) else {
            let message =
                format!("no attribute `{id}` is declared in the workspace; create it first");
            let mut refusal = Refusal::new(Reason::UnknownAttribute, field(), message);
            refusal.closest = self.closest(id);
            return Err(refusal);
        };
        match value {
            Some(value) if value.kind() != *kind => {
                let message = format!("the attribute is {kind}, the value is {}", value.kind());
                Err(Refusal::new(Reason::WrongKind, field(), message))
            }
            _ => Ok(*number),
        }
    }

    /// The engine knows best which name was meant.
    fn closest(&self, id: &str) -> Option<String> {
        let asked = Rule::Has { attribute: id.to_owned() };
        Plan::compile(&asked, &self.schema, Limits::default()).err()?.closest
    }
}

/// Whether a text can be the id of an attribute.
pub(crate) fn is_identifier(id: &str) -> bool {
    id.len() <= 63
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Whether an attribute is kept in a column of its own.
pub(crate) fn is_built_in(id: &str) -> bool {
    [EMAIL, CREATE_TIME].contains(&id)
}

/// The attributes every workspace has.
pub(crate) fn built_in(workspace: &WorkspaceId) -> [Attribute; 2] {
    let attribute = |id: &str, kind, description: &str| Attribute {
        name: AttributeName::new(workspace.clone(), attribute_id(id)),
        kind,
        description: description.to_owned(),
        create_time: None,
    };
    [
        attribute(CREATE_TIME, Kind::Time, "When the contact was first written."),
        attribute(EMAIL, Kind::Text, "The contact's address."),
    ]
}

fn attribute_id(id: &str) -> AttributeId {
    id.parse().expect("the ids of built-in attributes are well formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new([("plan".to_owned(), 1, Kind::Text), ("spend".to_owned(), 2, Kind::Number)])
    }

    #[test]
    fn a_value_is_stored_under_its_attributes_number() {
        let pro = Value::Text("pro".to_owned());
        assert_eq!(vocabulary().admit("plan", Some(&pro)), Ok(1));
        assert_eq!(vocabulary().admit("spend", None), Ok(2), "removing asks for no kind");
    }

    #[test]
    fn an_unknown_attribute_is_refused_with_the_closest_name() {
        let refusal = vocabulary().admit("plna", None).unwrap_err();
        assert_eq!(refusal.reason, Reason::UnknownAttribute);
        assert_eq!(refusal.field, "contact.attributes[plna]");
        assert_eq!(refusal.closest.as_deref(), Some("plan"));
        assert!(refusal.to_string().ends_with("did you mean `plan`?"), "{refusal}");
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_both_kinds() {
        let refusal = vocabulary().admit("spend", Some(&Value::Flag(true))).unwrap_err();
        assert_eq!(refusal.reason, Reason::WrongKind);
        assert_eq!(refusal.message, "the attribute is a number, the value is a boolean");
    }

    #[test]
    fn an_attribute_id_is_a_small_identifier() {
        let draft = |id: &str| {
            let name = format!("workspaces/acme/attributes/{id}").parse().unwrap();
            Draft::new(name, Kind::Text, String::new())
        };
        assert!(draft("last_order2").is_ok());
        for id in ["Last", "2nd", "a-b", "a.b"] {
            assert!(draft(id).is_err(), "{id}");
        }
    }
}
