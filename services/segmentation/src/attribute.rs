//! What a workspace knows about its contacts, accounts and deals: its attributes, declared and built in.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use cursus_audience::{ACCOUNT, BUCKET_KEY, Kind, Limits, Plan, Rule, SUBSCRIPTIONS, Schema};
use cursus_ids::{AttributeId, AttributeName, WorkspaceId};

use crate::error::Error;
use crate::refusal::{Reason, Refusal};
use crate::value::Value;

/// Kept in columns of their own, and known to every workspace.
pub(crate) const EMAIL: &str = "email";
pub(crate) const CREATE_TIME: &str = "create_time";

/// What the built-in attribute of subscriptions is stored under; declared ones begin at 1.
const SUBSCRIPTIONS_NUMBER: i16 = 0;

/// The most attributes a workspace declares: rows and rules are checked against all of them.
pub(crate) const MOST_ATTRIBUTES: usize = 1_000;

/// What an attribute is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entity {
    Contact,
    Account,
    Deal,
}

impl Entity {
    pub(crate) const ALL: [Self; 3] = [Self::Contact, Self::Account, Self::Deal];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Account => "account",
            Self::Deal => "deal",
        }
    }

    /// What the ids of its attributes begin with. No other entity's id begins so: identifiers have no dot.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Contact => "",
            Self::Account => ACCOUNT,
            Self::Deal => "deal.",
        }
    }

    /// The identifier within the entity, if the id is of one of its attributes.
    pub(crate) fn identifier(self, id: &str) -> Option<&str> {
        id.strip_prefix(self.prefix()).filter(|identifier| !identifier.contains('.'))
    }

    /// Where a row says it, as in `contact.attributes[plan]`.
    fn field(self, identifier: &str) -> String {
        match self {
            Self::Contact | Self::Account => format!("{}.attributes[{identifier}]", self.as_str()),
            Self::Deal => format!("deal.properties[{identifier}]"),
        }
    }
}

/// An attribute as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) name: AttributeName,
    pub(crate) entity: Entity,
    pub(crate) kind: Kind,
    pub(crate) description: String,
    /// Built-in ones were never declared.
    pub(crate) create_time: Option<DateTime<Utc>>,
}

/// An attribute to be declared.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: AttributeName,
    pub(crate) entity: Entity,
    pub(crate) kind: Kind,
    pub(crate) description: String,
}

impl Draft {
    pub(crate) fn new(
        (entity, name): (Entity, AttributeName),
        kind: Kind,
        description: String,
    ) -> Result<Self, Error> {
        let id = name.id.as_ref();
        let id = id.strip_prefix(entity.prefix()).unwrap_or(id);
        if !is_identifier(id) {
            let message = format!(
                "`{id}` is not an attribute id: use small letters, digits and `_`, beginning with a letter"
            );
            return Err(Error::invalid("attribute_id", message));
        }
        if description.len() > 1_024 {
            return Err(Error::invalid("attribute.description", "use at most 1,024 bytes"));
        }
        Ok(Self { name, entity, kind, description })
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
        let subscriptions = (SUBSCRIPTIONS.to_owned(), SUBSCRIPTIONS_NUMBER, Kind::TextSet);
        let stored = declared.into_iter().chain([subscriptions]);
        let declared: HashMap<_, _> =
            stored.map(|(id, number, kind)| (id, (number, kind))).collect();
        let names = declared.iter().map(|(id, (number, _))| (*number, id.clone())).collect();
        let kinds = declared.iter().map(|(id, (_, kind))| (id.clone(), *kind));
        let built_in =
            BUILT_IN.map(|(entity, id, kind, _)| (entity.prefix().to_owned() + id, kind));
        let (mut deals, mut attributes) = (Vec::new(), Vec::new());
        for (id, kind) in kinds.chain(built_in) {
            match id.strip_prefix(Entity::Deal.prefix()) {
                Some(property) => deals.push((property.to_owned(), kind)),
                None => attributes.push((id, kind)),
            }
        }
        // Not an attribute that is shown: what buckets are made from.
        attributes.push((BUCKET_KEY.to_owned(), Kind::Number));
        let schema = Schema::new(attributes, []).with_deals(deals);
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

    /// The ids of everything that rules may ask about accounts.
    pub(crate) fn of_accounts(&self) -> impl Iterator<Item = String> {
        let built_in = BUILT_IN.iter().filter(|(entity, ..)| *entity == Entity::Account);
        let built_in = built_in.map(|(entity, id, ..)| entity.prefix().to_owned() + id);
        let declared = self.declared.keys().filter(|id| Entity::Account.identifier(id).is_some());
        built_in.chain(declared.cloned())
    }

    /// The kind of an attribute, if it is declared.
    pub(crate) fn kind(&self, id: &str) -> Option<Kind> {
        self.declared.get(id).map(|(_, kind)| *kind)
    }

    /// How many attributes are declared.
    pub(crate) fn len(&self) -> usize {
        self.declared.values().filter(|(number, _)| *number != SUBSCRIPTIONS_NUMBER).count()
    }

    /// The number under which a value is stored, if the attribute is declared and takes it.
    pub(crate) fn admit(
        &self,
        entity: Entity,
        identifier: &str,
        value: Option<&Value>,
    ) -> Result<i16, Refusal> {
        let field = || entity.field(identifier);
        let id = entity.prefix().to_owned() + identifier;
        let declared = self.declared.get(&id).filter(|_| entity.identifier(&id).is_some());
        let Some((number, kind)) = declared else {
            let message =
                format!("no attribute `{id}` is declared in the workspace; create it first");
            let mut refusal = Refusal::new(Reason::UnknownAttribute, field(), message);
            refusal.closest = self.closest(entity, identifier);
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
    fn closest(&self, entity: Entity, identifier: &str) -> Option<String> {
        let identifiers = self.declared.iter().filter_map(|(id, (_, kind))| {
            entity.identifier(id).map(|identifier| (identifier.to_owned(), *kind))
        });
        let schema = Schema::new(identifiers, []);
        let asked = Rule::Has { attribute: identifier.to_owned() };
        Plan::compile(&asked, &schema, Limits::default()).err()?.closest
    }
}

/// The attributes every workspace has: of what, the identifier, the kind, and what it is.
const BUILT_IN: [(Entity, &str, Kind, &str); 12] = [
    (Entity::Contact, CREATE_TIME, Kind::Time, "When the contact was first written."),
    (Entity::Contact, EMAIL, Kind::Text, "The contact's address."),
    (Entity::Contact, SUBSCRIPTIONS, Kind::TextSet, "The topics the contact wants mail about."),
    (Entity::Account, "create_time", Kind::Time, "When the account was first written."),
    (Entity::Account, "display_name", Kind::Text, "What people call the account."),
    (Entity::Account, "id", Kind::Text, "The account's id."),
    (Entity::Account, "parent", Kind::Text, "The id of the account that it is a part of."),
    (Entity::Deal, "amount", Kind::Number, "What the deal is worth, in its currency."),
    (Entity::Deal, "close_time", Kind::Time, "When the deal was closed, or is to be."),
    (Entity::Deal, "create_time", Kind::Time, "When the deal began."),
    (Entity::Deal, "currency_code", Kind::Text, "The currency of the amount."),
    (Entity::Deal, "stage", Kind::Text, "How far the deal is."),
];

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
pub(crate) fn built_in(workspace: &WorkspaceId) -> impl Iterator<Item = Attribute> {
    BUILT_IN.into_iter().map(|(entity, identifier, kind, description)| Attribute {
        name: AttributeName::new(workspace.clone(), attribute_id(entity, identifier)),
        entity,
        kind,
        description: description.to_owned(),
        create_time: None,
    })
}

fn attribute_id(entity: Entity, identifier: &str) -> AttributeId {
    let id = entity.prefix().to_owned() + identifier;
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
        assert_eq!(vocabulary().admit(Entity::Contact, "plan", Some(&pro)), Ok(1));
        assert_eq!(
            vocabulary().admit(Entity::Contact, "spend", None),
            Ok(2),
            "removing asks for no kind"
        );
    }

    #[test]
    fn an_unknown_attribute_is_refused_with_the_closest_name() {
        let refusal = vocabulary().admit(Entity::Contact, "plna", None).unwrap_err();
        assert_eq!(refusal.reason, Reason::UnknownAttribute);
        assert_eq!(refusal.field, "contact.attributes[plna]");
        assert_eq!(refusal.closest.as_deref(), Some("plan"));
        assert!(refusal.to_string().ends_with("did you mean `plan`?"), "{refusal}");
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_both_kinds() {
        let refusal =
            vocabulary().admit(Entity::Contact, "spend", Some(&Value::Flag(true))).unwrap_err();
        assert_eq!(refusal.reason, Reason::WrongKind);
        assert_eq!(refusal.message, "the attribute is a number, the value is a boolean");
    }

    #[test]
    fn an_attribute_id_is_a_small_identifier() {
        let draft = |id: &str| {
            let name = format!("workspaces/acme/attributes/{id}").parse().unwrap();
            Draft::new((Entity::Contact, name), Kind::Text, String::new())
        };
        assert!(draft("last_order2").is_ok());
        for id in ["Last", "2nd", "a-b", "a.b", "account.b"] {
            assert!(draft(id).is_err(), "{id}");
        }
    }

    #[test]
    fn what_is_known_of_accounts_is_nothing_that_contacts_have() {
        let industry = ("account.industry".to_owned(), 3, Kind::Text);
        let vocabulary = Vocabulary::new([industry, ("deal.product".to_owned(), 4, Kind::Text)]);
        let software = Value::Text("software".to_owned());
        let admit = |entity, id| vocabulary.admit(entity, id, Some(&software));
        assert_eq!(admit(Entity::Account, "industry"), Ok(3));
        assert_eq!(admit(Entity::Deal, "product"), Ok(4));
        for (entity, id, field) in [
            (Entity::Contact, "account.industry", "contact.attributes[account.industry]"),
            (Entity::Account, "product", "account.attributes[product]"),
            (Entity::Deal, "industry", "deal.properties[industry]"),
        ] {
            let refusal = admit(entity, id).unwrap_err();
            assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::UnknownAttribute, field));
            assert_eq!(refusal.closest, None);
        }
        let refusal = admit(Entity::Account, "industy").unwrap_err();
        assert_eq!(refusal.closest.as_deref(), Some("industry"));
        let mut of_accounts: Vec<String> = vocabulary.of_accounts().collect();
        of_accounts.sort();
        assert_eq!(of_accounts.len(), 5);
        assert_eq!(of_accounts[3], "account.industry");
    }
}
