//! A sale that is being made, and what writing one means: what is not named stays.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cursus_ids::{AccountId, AccountName, ContactId, ContactName, DealId, DealName};

use crate::attribute::{Entity, Vocabulary};
use crate::edit::Edit;
use crate::refusal::{Reason, Refusal};
use crate::value::Value;

/// What rules ask about deals besides their declared properties.
pub(crate) const STAGE: &str = "stage";
pub(crate) const AMOUNT: &str = "amount";
pub(crate) const CURRENCY_CODE: &str = "currency_code";
pub(crate) const CREATE_TIME: &str = "create_time";
pub(crate) const CLOSE_TIME: &str = "close_time";

/// The most contacts that a deal names.
const MOST_CONTACTS: usize = 100;
/// The most deals of one account. Every one is a row of every contact of the account when a rule asks about deals.
pub(crate) const MOST_OF_ACCOUNT: i64 = 1_000;
const LONGEST_STAGE: usize = 128;
/// The most properties of one deal.
const MOST_VALUES: usize = 1_000;

/// A deal as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deal {
    pub(crate) name: DealName,
    pub(crate) account: Option<AccountName>,
    pub(crate) contacts: Vec<ContactName>,
    pub(crate) terms: Terms,
    pub(crate) properties: BTreeMap<String, Value>,
    pub(crate) update_time: DateTime<Utc>,
}

/// What a deal is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Terms {
    pub(crate) stage: String,
    pub(crate) amount: Option<f64>,
    pub(crate) currency_code: Option<String>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) close_time: Option<DateTime<Utc>>,
}

/// What somebody says about a deal, not yet checked against the workspace's attributes.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) id: DealId,
    pub(crate) account: Edit<AccountId>,
    pub(crate) contacts: Edit<Vec<ContactId>>,
    /// Empty says nothing, as does a time or an amount that is not there.
    pub(crate) stage: String,
    pub(crate) amount: Option<f64>,
    pub(crate) currency_code: String,
    pub(crate) create_time: Option<DateTime<Utc>>,
    pub(crate) close_time: Option<DateTime<Utc>>,
    /// No value removes the property.
    pub(crate) properties: Vec<(String, Option<Value>)>,
}

/// What is to be written about a deal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) id: DealId,
    pub(crate) account: Edit<AccountId>,
    pub(crate) contacts: Edit<Vec<ContactId>>,
    stage: Option<String>,
    amount: Edit<f64>,
    currency_code: Edit<String>,
    create_time: Option<DateTime<Utc>>,
    close_time: Edit<DateTime<Utc>>,
    properties: BTreeMap<i16, Option<Value>>,
}

/// What a deal holds, as stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Holding {
    pub(crate) account: Option<AccountId>,
    /// The ordinals of the contacts that it names.
    pub(crate) contacts: BTreeSet<i32>,
    pub(crate) terms: Terms,
    pub(crate) properties: BTreeMap<i16, Value>,
}

impl Draft {
    pub(crate) fn check(told: Told, vocabulary: &Vocabulary) -> Result<Self, Refusal> {
        told.check()?;
        let mut draft = Self {
            id: told.id,
            account: told.account,
            contacts: told.contacts,
            stage: Some(told.stage).filter(|stage| !stage.is_empty()),
            amount: told.amount.into(),
            currency_code: Some(told.currency_code).filter(|code| !code.is_empty()).into(),
            create_time: told.create_time,
            close_time: told.close_time.into(),
            properties: BTreeMap::new(),
        };
        for (identifier, value) in told.properties {
            match (identifier.as_str(), &value) {
                (AMOUNT, None) => draft.amount = Edit::Remove,
                (CURRENCY_CODE, None) => draft.currency_code = Edit::Remove,
                (CLOSE_TIME, None) => draft.close_time = Edit::Remove,
                (STAGE | AMOUNT | CURRENCY_CODE | CREATE_TIME | CLOSE_TIME, _) => {
                    let field = format!("deal.properties[{identifier}]");
                    let message = format!("is written in `deal.{identifier}`");
                    return Err(Refusal::invalid(field, message));
                }
                _ => {
                    let number = vocabulary.admit(Entity::Deal, &identifier, value.as_ref())?;
                    draft.properties.insert(number, value);
                }
            }
        }
        Ok(draft)
    }

    /// What the deal holds then, if that may be. `contacts` are the ordinals of those that the draft names.
    pub(crate) fn applied(
        self,
        before: Option<&Holding>,
        contacts: Edit<BTreeSet<i32>>,
        now: DateTime<Utc>,
    ) -> Result<Holding, Refusal> {
        let begun = Terms { create_time: now, ..Terms::default() };
        let new = || Holding { terms: begun, ..Holding::default() };
        let mut holding = before.cloned().unwrap_or_else(new);
        self.account.apply(&mut holding.account);
        let mut named = Some(std::mem::take(&mut holding.contacts));
        contacts.apply(&mut named);
        holding.contacts = named.unwrap_or_default();
        let terms = &mut holding.terms;
        terms.create_time = self.create_time.unwrap_or(terms.create_time);
        terms.stage = self.stage.unwrap_or_else(|| std::mem::take(&mut terms.stage));
        self.amount.apply(&mut terms.amount);
        self.currency_code.apply(&mut terms.currency_code);
        self.close_time.apply(&mut terms.close_time);
        for (number, value) in self.properties {
            match value {
                Some(value) => drop(holding.properties.insert(number, value)),
                None => drop(holding.properties.remove(&number)),
            }
        }
        holding.check()?;
        Ok(holding)
    }
}

impl Told {
    fn check(&self) -> Result<(), Refusal> {
        let code = &self.currency_code;
        let is_currency = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if !code.is_empty() && !is_currency {
            return Err(Refusal::invalid("deal.currency_code", "use three letters such as `EUR`"));
        }
        if self.stage.len() > LONGEST_STAGE || self.stage.contains(char::is_control) {
            let message = "use at most 128 bytes without control characters";
            return Err(Refusal::invalid("deal.stage", message));
        }
        if self.amount.is_some_and(|amount| !amount.is_finite()) {
            return Err(Refusal::invalid("deal.amount", "use a finite number"));
        }
        if self.contacts.value().is_some_and(|contacts| contacts.len() > MOST_CONTACTS) {
            return Err(Refusal::invalid("deal.contacts", "name at most 100"));
        }
        if self.properties.len() > MOST_VALUES {
            let message = "at most 1,000 are written at once";
            return Err(Refusal::invalid("deal.properties", message));
        }
        Ok(())
    }
}

impl Holding {
    fn check(&self) -> Result<(), Refusal> {
        if self.account.is_none() && self.contacts.is_empty() {
            let message = "the deal is of nobody; name its account or its contacts";
            return Err(Refusal::new(Reason::DealOfNobody, "deal.account", message));
        }
        if self.terms.stage.is_empty() {
            return Err(Refusal::invalid("deal.stage", "a new deal needs a stage"));
        }
        if self.terms.amount.is_some() && self.terms.currency_code.is_none() {
            return Err(Refusal::invalid("deal.currency_code", "an amount needs its currency"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cursus_audience::Kind;

    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new([("deal.product".to_owned(), 1, Kind::Text)])
    }

    fn told() -> Told {
        Told {
            id: "d1".parse().unwrap(),
            account: Edit::Keep,
            contacts: Edit::Keep,
            stage: String::new(),
            amount: None,
            currency_code: String::new(),
            create_time: None,
            close_time: None,
            properties: Vec::new(),
        }
    }

    fn acme() -> Edit<AccountId> {
        Edit::Set("acme".parse().unwrap())
    }

    fn won() -> Told {
        Told {
            account: acme(),
            stage: "won".to_owned(),
            amount: Some(5.0),
            currency_code: "EUR".to_owned(),
            close_time: Some(noon()),
            properties: vec![("product".to_owned(), Some(Value::Text("gtx".to_owned())))],
            ..told()
        }
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn applied(told: Told, before: Option<&Holding>) -> Result<Holding, Refusal> {
        let contacts = match &told.contacts {
            Edit::Keep => Edit::Keep,
            Edit::Remove => Edit::Remove,
            Edit::Set(_) => Edit::Set(BTreeSet::from([7])),
        };
        Draft::check(told, &vocabulary())?.applied(before, contacts, noon())
    }

    #[test]
    fn what_is_not_named_stays_and_no_value_removes() {
        let before = applied(won(), None).unwrap();
        assert_eq!(before.terms.create_time, noon(), "a new deal without a beginning begins now");
        assert_eq!(applied(told(), Some(&before)), Ok(before.clone()));
        let removed = |names: &[&str]| {
            let properties = names.iter().map(|name| ((*name).to_owned(), None)).collect();
            applied(Told { properties, ..told() }, Some(&before))
        };
        let less = removed(&["amount", "currency_code", "close_time", "product"]).unwrap();
        assert_eq!(
            less.terms,
            Terms { stage: "won".to_owned(), create_time: noon(), ..Terms::default() }
        );
        assert!(less.properties.is_empty());
        assert_eq!(removed(&["stage"]).unwrap_err().field, "deal.properties[stage]");
        assert_eq!(removed(&["currency_code"]).unwrap_err().field, "deal.currency_code");
    }

    #[test]
    fn a_deal_of_nobody_is_refused_whether_new_or_left_alone() {
        let nobody = applied(Told { account: Edit::Keep, ..won() }, None).unwrap_err();
        assert_eq!((nobody.reason, nobody.field.as_str()), (Reason::DealOfNobody, "deal.account"));
        let before = applied(won(), None).unwrap();
        let left = applied(Told { account: Edit::Remove, ..told() }, Some(&before)).unwrap_err();
        assert_eq!(left.reason, Reason::DealOfNobody);
        let contacts = Edit::Set(vec!["ana".parse().unwrap()]);
        let passed_on = Told { account: Edit::Remove, contacts, ..told() };
        let after = applied(passed_on, Some(&before)).unwrap();
        assert_eq!((after.account, after.contacts), (None, BTreeSet::from([7])));
    }

    #[test]
    fn what_cannot_be_written_is_refused_with_its_field() {
        let check = |told: Told, field: &str| {
            assert_eq!(applied(told, None).unwrap_err().field, field);
        };
        check(Told { stage: String::new(), ..won() }, "deal.stage");
        check(Told { stage: "a".repeat(129), ..won() }, "deal.stage");
        check(Told { currency_code: "euro".to_owned(), ..won() }, "deal.currency_code");
        check(Told { currency_code: String::new(), ..won() }, "deal.currency_code");
        check(Told { amount: Some(f64::NAN), ..won() }, "deal.amount");
        let contacts = Edit::Set(vec!["ana".parse().unwrap(); 101]);
        check(Told { contacts, ..won() }, "deal.contacts");
        let properties = vec![("prodct".to_owned(), Some(Value::Flag(true)))];
        check(Told { properties, ..won() }, "deal.properties[prodct]");
    }
}
