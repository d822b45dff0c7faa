//! A contact, and what writing one means: what is not named stays.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cursus_ids::{ContactId, ContactName};

use crate::attribute::{CREATE_TIME, EMAIL, Vocabulary};
use crate::refusal::Refusal;
use crate::value::Value;

/// Longest address: RFC 5321 allows no more.
const LONGEST_EMAIL: usize = 254;
/// The most attributes of one contact.
const MOST_VALUES: usize = 1_000;

/// A contact as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contact {
    pub(crate) name: ContactName,
    pub(crate) email: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
}

/// What somebody says about a contact, not yet checked against the workspace's attributes.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) id: ContactId,
    /// Empty says nothing.
    pub(crate) email: String,
    /// No value removes the attribute.
    pub(crate) attributes: Vec<(String, Option<Value>)>,
}

/// What is to be written about a contact.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) id: ContactId,
    email: Option<String>,
    attributes: BTreeMap<i16, Option<Value>>,
}

/// What a contact holds, as stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Holding {
    pub(crate) email: String,
    pub(crate) attributes: BTreeMap<i16, Value>,
}

impl Draft {
    pub(crate) fn check(told: Told, vocabulary: &Vocabulary) -> Result<Self, Refusal> {
        if told.attributes.len() > MOST_VALUES {
            return Err(Refusal::invalid(
                "contact.attributes",
                "at most 1,000 are written at once",
            ));
        }
        let mut draft = Self { id: told.id, email: None, attributes: BTreeMap::new() };
        if !told.email.is_empty() {
            check_email(&told.email)?;
            draft.email = Some(told.email);
        }
        for (id, value) in told.attributes {
            match (id.as_str(), &value) {
                (EMAIL, None) => drop(draft.email.get_or_insert_default()),
                (EMAIL, Some(_)) => {
                    let message = "an address is written in `contact.email`";
                    return Err(Refusal::invalid("contact.attributes[email]", message));
                }
                (CREATE_TIME, _) => {
                    let message = "the time of creation cannot be written";
                    return Err(Refusal::invalid("contact.attributes[create_time]", message));
                }
                _ => {
                    let number = vocabulary.admit(&id, value.as_ref())?;
                    draft.attributes.insert(number, value);
                }
            }
        }
        Ok(draft)
    }

    /// Adds what was said about the same contact later: it wins.
    pub(crate) fn then(&mut self, later: Self) {
        if later.email.is_some() {
            self.email = later.email;
        }
        self.attributes.extend(later.attributes);
    }

    /// Changes what the contact holds, and says which attributes have another value now.
    pub(crate) fn apply(self, holding: &mut Holding) -> Changed {
        let mut changed = Changed::default();
        if let Some(email) = self.email
            && email != holding.email
        {
            holding.email = email;
            changed.email = true;
        }
        for (number, value) in self.attributes {
            let before = match value.clone() {
                Some(value) => holding.attributes.insert(number, value),
                None => holding.attributes.remove(&number),
            };
            if before != value {
                changed.numbers.insert(number);
            }
        }
        changed
    }
}

/// Which attributes of contacts changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) email: bool,
    pub(crate) numbers: BTreeSet<i16>,
}

impl Changed {
    pub(crate) fn is_empty(&self) -> bool {
        !self.email && self.numbers.is_empty()
    }
}

/// Catches what is no address at all; whether it can be written to, only sending tells.
pub(crate) fn check_email(email: &str) -> Result<(), Refusal> {
    let is_address = email.len() <= LONGEST_EMAIL
        && !email.contains(|c: char| c.is_whitespace() || c.is_control())
        && email.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        });
    if is_address {
        Ok(())
    } else {
        Err(Refusal::invalid("contact.email", "not an address such as `ana@example.com`"))
    }
}

#[cfg(test)]
mod tests {
    use cursus_audience::Kind;

    use super::*;

    fn draft(email: &str, attributes: &[(&str, Option<Value>)]) -> Result<Draft, Refusal> {
        let declared = [("plan".to_owned(), 1, Kind::Text), ("spend".to_owned(), 2, Kind::Number)];
        let told = Told {
            id: "ana".parse().unwrap(),
            email: email.to_owned(),
            attributes: attributes
                .iter()
                .map(|(id, value)| ((*id).to_owned(), value.clone()))
                .collect(),
        };
        Draft::check(told, &Vocabulary::new(declared))
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn what_is_not_named_stays_and_no_value_removes() {
        let mut holding = Holding::default();
        let everything =
            draft("a@b.c", &[("plan", Some(text("pro"))), ("spend", Some(Value::Number(2.0)))]);
        everything.unwrap().apply(&mut holding);
        let changed = draft("", &[("plan", None)]).unwrap().apply(&mut holding);
        assert_eq!(changed, Changed { email: false, numbers: BTreeSet::from([1]) });
        assert_eq!(holding.email, "a@b.c");
        assert_eq!(holding.attributes, BTreeMap::from([(2, Value::Number(2.0))]));
        assert!(draft("", &[("email", None)]).unwrap().apply(&mut holding).email);
        assert_eq!(holding.email, "");
    }

    #[test]
    fn saying_what_is_known_changes_nothing() {
        let mut holding = Holding::default();
        draft("a@b.c", &[("plan", Some(text("pro")))]).unwrap().apply(&mut holding);
        let again = draft("a@b.c", &[("plan", Some(text("pro"))), ("spend", None)]).unwrap();
        assert!(again.apply(&mut holding).is_empty());
    }

    #[test]
    fn the_later_of_two_drafts_wins_where_they_differ() {
        let mut both = draft("a@b.c", &[("plan", Some(text("pro")))]).unwrap();
        both.then(
            draft("", &[("plan", Some(text("free"))), ("spend", Some(Value::Number(1.0)))])
                .unwrap(),
        );
        let mut holding = Holding::default();
        both.apply(&mut holding);
        assert_eq!(holding.email, "a@b.c");
        assert_eq!(holding.attributes[&1], Value::Text("free".to_owned()));
        assert_eq!(holding.attributes[&2], Value::Number(1.0));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for email in [
            "ana",
            "@b.c",
            "ana@",
            "a@b@c",
            "a b@c.d",
            "a\n@b.c",
            &format!("{}@b.c", "a".repeat(255)),
        ] {
            let refusal = draft(email, &[]).unwrap_err();
            assert_eq!(refusal.field, "contact.email", "{email}");
        }
    }

    #[test]
    fn built_in_attributes_are_not_written_as_attributes() {
        for id in ["email", "create_time"] {
            assert!(draft("", &[(id, Some(text("x")))]).is_err(), "{id}");
        }
    }
}
