//! A company that contacts belong to, and what writing one means: what is not named stays.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cursus_ids::{AccountId, AccountName};

use crate::attribute::{Entity, Vocabulary};
use crate::edit::Edit;
use crate::refusal::{Reason, Refusal};
use crate::value::Value;

/// What rules ask about accounts besides their declared attributes.
pub(crate) const ID: &str = "account.id";
pub(crate) const DISPLAY_NAME: &str = "account.display_name";
pub(crate) const PARENT: &str = "account.parent";
pub(crate) const CREATE_TIME: &str = "account.create_time";

const LONGEST_DISPLAY_NAME: usize = 256;
/// The most attributes of one account.
const MOST_VALUES: usize = 1_000;

/// An account as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) name: AccountName,
    pub(crate) display_name: String,
    pub(crate) parent: Option<AccountName>,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
}

/// What somebody says about an account, not yet checked against the workspace's attributes.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) id: AccountId,
    /// Empty says nothing.
    pub(crate) display_name: String,
    pub(crate) parent: Edit<AccountId>,
    /// No value removes the attribute.
    pub(crate) attributes: Vec<(String, Option<Value>)>,
}

/// What is to be written about an account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) id: AccountId,
    display_name: Option<String>,
    pub(crate) parent: Edit<AccountId>,
    attributes: BTreeMap<i16, Option<Value>>,
}

/// What an account holds, as stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Holding {
    pub(crate) display_name: String,
    pub(crate) parent: Option<AccountId>,
    pub(crate) attributes: BTreeMap<i16, Value>,
}

impl Draft {
    pub(crate) fn check(told: Told, vocabulary: &Vocabulary) -> Result<Self, Refusal> {
        if told.attributes.len() > MOST_VALUES {
            let message = "at most 1,000 are written at once";
            return Err(Refusal::invalid("account.attributes", message));
        }
        let name = &told.display_name;
        if name.len() > LONGEST_DISPLAY_NAME || name.contains(char::is_control) {
            let message = "use at most 256 bytes without control characters";
            return Err(Refusal::invalid("account.display_name", message));
        }
        if told.parent.value() == Some(&told.id) {
            return Err(Refusal::invalid("account.parent_account", "is the account itself"));
        }
        let mut draft = Self {
            id: told.id,
            display_name: Some(told.display_name).filter(|name| !name.is_empty()),
            parent: told.parent,
            attributes: BTreeMap::new(),
        };
        for (identifier, value) in told.attributes {
            match (identifier.as_str(), &value) {
                ("display_name", None) => drop(draft.display_name.get_or_insert_default()),
                ("display_name" | "id" | "parent" | "create_time", _) => {
                    let field = format!("account.attributes[{identifier}]");
                    return Err(Refusal::invalid(field, "has a field of its own, or none"));
                }
                _ => {
                    let number = vocabulary.admit(Entity::Account, &identifier, value.as_ref())?;
                    draft.attributes.insert(number, value);
                }
            }
        }
        Ok(draft)
    }

    /// Changes what the account holds.
    pub(crate) fn apply(self, holding: &mut Holding) {
        if let Some(name) = self.display_name {
            holding.display_name = name;
        }
        self.parent.apply(&mut holding.parent);
        for (number, value) in self.attributes {
            match value {
                Some(value) => drop(holding.attributes.insert(number, value)),
                None => drop(holding.attributes.remove(&number)),
            }
        }
    }
}

impl Holding {
    /// The ids of the attributes, as rules name them, that have another value than before.
    pub(crate) fn differences(&self, before: &Self, vocabulary: &Vocabulary) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        if self.display_name != before.display_name {
            names.insert(DISPLAY_NAME.to_owned());
        }
        if self.parent != before.parent {
            names.insert(PARENT.to_owned());
        }
        let numbers = self.attributes.keys().chain(before.attributes.keys());
        let changed = numbers.filter(|it| self.attributes.get(it) != before.attributes.get(it));
        names.extend(changed.filter_map(|it| vocabulary.name(*it)).map(str::to_owned));
        names
    }
}

/// That an account is named that was never written.
pub(crate) fn unknown(id: &AccountId, field: &str) -> Refusal {
    let message = format!("no account `{id}` is known; write it first");
    Refusal::new(Reason::UnknownAccount, field, message)
}

#[cfg(test)]
mod tests {
    use cursus_audience::Kind;

    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new([
            ("account.industry".to_owned(), 1, Kind::Text),
            ("account.employees".to_owned(), 2, Kind::Number),
        ])
    }

    fn told(display_name: &str, attributes: &[(&str, Option<Value>)]) -> Told {
        Told {
            id: "acme".parse().unwrap(),
            display_name: display_name.to_owned(),
            parent: Edit::Keep,
            attributes: attributes
                .iter()
                .map(|(id, value)| ((*id).to_owned(), value.clone()))
                .collect(),
        }
    }

    fn software() -> Value {
        Value::Text("software".to_owned())
    }

    #[test]
    fn what_is_not_named_stays_and_what_differs_is_named_as_in_rules() {
        let mut holding = Holding::default();
        let mut check = |told: Told, expected: &[&str]| {
            let before = holding.clone();
            Draft::check(told, &vocabulary()).unwrap().apply(&mut holding);
            let differs = holding.differences(&before, &vocabulary());
            assert_eq!(differs.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        };
        let first = told("Acme", &[("industry", Some(software()))]);
        check(first.clone(), &[DISPLAY_NAME, "account.industry"]);
        check(first, &[]);
        let parent = Edit::Set("globex".parse().unwrap());
        check(Told { parent, ..told("", &[("industry", None)]) }, &["account.industry", PARENT]);
        check(
            Told { parent: Edit::Remove, ..told("", &[("display_name", None)]) },
            &[DISPLAY_NAME, PARENT],
        );
        assert_eq!(holding, Holding::default());
    }

    #[test]
    fn what_cannot_be_written_is_refused_with_its_field() {
        let check = |told: Told, field: &str| {
            assert_eq!(Draft::check(told, &vocabulary()).unwrap_err().field, field);
        };
        check(told(&"a".repeat(257), &[]), "account.display_name");
        check(told("a\nb", &[]), "account.display_name");
        check(told("", &[("id", Some(software()))]), "account.attributes[id]");
        check(told("", &[("employees", Some(software()))]), "account.attributes[employees]");
        check(told("", &[("industri", Some(software()))]), "account.attributes[industri]");
        let parent = Edit::Set("acme".parse().unwrap());
        check(Told { parent, ..told("", &[]) }, "account.parent_account");
    }
}
