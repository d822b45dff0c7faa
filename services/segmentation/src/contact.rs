//! A contact, and what writing one means: what is not named stays.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cursus_ids::{AccountId, AccountName, ContactId, ContactName};

use crate::attribute::{CREATE_TIME, EMAIL, Entity, Vocabulary};
use crate::edit::Edit;
use crate::refusal::Refusal;
use crate::value::{self, Value};

/// Longest address: RFC 5321 allows no more.
const LONGEST_EMAIL: usize = 254;
/// The most attributes of one contact.
const MOST_VALUES: usize = 1_000;

/// A contact as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contact {
    pub(crate) name: ContactName,
    pub(crate) email: String,
    pub(crate) account: Option<AccountName>,
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
    pub(crate) account: Edit<AccountId>,
    /// No value removes the attribute.
    pub(crate) attributes: Vec<(String, Option<Value>)>,
}

/// What is to be written about a contact.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) id: ContactId,
    email: Option<String>,
    pub(crate) account: Edit<AccountId>,
    attributes: BTreeMap<i16, Option<Value>>,
}

/// What a contact holds, as stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Holding {
    pub(crate) email: String,
    pub(crate) account: Option<AccountId>,
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
        let mut draft =
            Self { id: told.id, email: None, account: told.account, attributes: BTreeMap::new() };
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
                    let number = vocabulary.admit(Entity::Contact, &id, value.as_ref())?;
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
        self.account = std::mem::take(&mut self.account).then(later.account);
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
        let account = holding.account.clone();
        self.account.apply(&mut holding.account);
        changed.account = account != holding.account;
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

impl Holding {
    /// Takes over what another contact of the same person holds. Of what only one can hold, this one's own stays; sets are
    /// united, as far as one may grow.
    pub(crate) fn absorb(&mut self, other: Self) {
        if self.email.is_empty() {
            self.email = other.email;
        }
        self.account = self.account.take().or(other.account);
        for (number, value) in other.attributes {
            match (self.attributes.get_mut(&number), value) {
                (Some(Value::Texts(own)), Value::Texts(others)) => {
                    let room = value::MOST_TEXTS.saturating_sub(own.len());
                    let added = others.into_iter().filter(|text| !own.contains(text));
                    let added: Vec<String> = added.take(room).collect();
                    own.extend(added);
                }
                (Some(_), _) => {}
                (None, value) => drop(self.attributes.insert(number, value)),
            }
        }
    }
}

/// Which attributes of contacts changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) email: bool,
    /// Whose account is another one: with it, everything that is known of accounts and their deals.
    pub(crate) account: bool,
    pub(crate) numbers: BTreeSet<i16>,
}

impl Changed {
    pub(crate) fn is_empty(&self) -> bool {
        !self.email && !self.account && self.numbers.is_empty()
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
            account: Edit::Keep,
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
        assert_eq!(changed, Changed { numbers: BTreeSet::from([1]), ..Changed::default() });
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

    fn texts(texts: impl IntoIterator<Item = u32>) -> Value {
        Value::Texts(texts.into_iter().map(|text| format!("{text:03}")).collect())
    }

    #[test]
    fn a_contact_takes_over_what_it_does_not_hold_itself_and_unites_sets() {
        let mut own = Holding {
            email: "a@b.c".to_owned(),
            account: None,
            attributes: BTreeMap::from([(1, text("pro")), (3, texts([1, 2]))]),
        };
        own.absorb(Holding {
            email: "other@b.c".to_owned(),
            account: Some("acme".parse().unwrap()),
            attributes: BTreeMap::from([
                (1, text("free")),
                (2, Value::Number(5.0)),
                (3, texts([2, 3])),
            ]),
        });
        assert_eq!(own.email, "a@b.c");
        assert_eq!(own.account, Some("acme".parse().unwrap()));
        let expected = [(1, text("pro")), (2, Value::Number(5.0)), (3, texts([1, 2, 3]))];
        assert_eq!(own.attributes, BTreeMap::from(expected));
        let mut nobody = Holding::default();
        nobody.absorb(own.clone());
        assert_eq!(nobody, own);
    }

    #[test]
    fn a_united_set_keeps_its_own_members_and_its_limit() {
        let mut own =
            Holding { attributes: BTreeMap::from([(1, texts(30..90))]), ..Holding::default() };
        let other =
            Holding { attributes: BTreeMap::from([(1, texts(0..64))]), ..Holding::default() };
        own.absorb(other);
        assert_eq!(own.attributes[&1], texts((0..4).chain(30..90)));
    }

    #[test]
    fn a_contact_is_of_the_account_named_last_until_it_is_removed() {
        let of = |account| Draft { account, ..draft("", &[]).unwrap() };
        let acme: AccountId = "acme".parse().unwrap();
        let mut holding = Holding::default();
        let mut said = of(Edit::Remove);
        said.then(of(Edit::Set(acme.clone())));
        said.then(of(Edit::Keep));
        assert!(said.clone().apply(&mut holding).account);
        assert_eq!(holding.account, Some(acme));
        assert!(
            said.apply(&mut holding).is_empty() && of(Edit::Keep).apply(&mut holding).is_empty()
        );
        assert!(of(Edit::Remove).apply(&mut holding).account);
        assert_eq!(holding.account, None);
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
