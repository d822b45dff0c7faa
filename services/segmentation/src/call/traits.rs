//! What traits mean in a workspace: values of the kinds that its attributes have.

use std::collections::{BTreeMap, BTreeSet};

use cursus_audience::Kind;
use serde_json::Value as Json;

use crate::attribute::{CREATE_TIME, EMAIL, Entity, Vocabulary};
use crate::contact;
use crate::moment;
use crate::refusal::{Reason, Refusal};
use crate::value::{self, Value};

/// The trait that always is a time, as Segment's specification says.
const CREATED: &str = "created_at";

/// What kind an attribute has that a trait is the first to name; none if the value does not tell.
pub(crate) fn inferred(name: &str, told: &Json) -> Option<Kind> {
    Some(match told {
        Json::Null | Json::Object(_) => return None,
        _ if [EMAIL, CREATE_TIME].contains(&name) => return None,
        _ if name == CREATED => Kind::Time,
        Json::Bool(_) => Kind::Flag,
        Json::Number(_) => Kind::Number,
        Json::String(text) if moment::is_certain(text) => Kind::Time,
        Json::String(_) => Kind::Text,
        Json::Array(items) if items.is_empty() => return None,
        Json::Array(items) if items.iter().all(Json::is_string) => Kind::TextSet,
        Json::Array(_) => return None,
    })
}

/// What traits say about a contact: its address, and its attributes. What cannot be taken is dropped with the reason.
pub(crate) fn admitted(
    traits: BTreeMap<String, Json>,
    vocabulary: &Vocabulary,
    dropped: &mut Vec<Refusal>,
) -> (String, Vec<(String, Option<Value>)>) {
    let mut email = String::new();
    let mut attributes = Vec::with_capacity(traits.len());
    for (name, told) in traits {
        let outcome = match told {
            Json::String(told) if name == EMAIL => {
                contact::check_email(&told).map(|()| email = told)
            }
            Json::Null if name == EMAIL => {
                attributes.push((name.clone(), None));
                Ok(())
            }
            _ if name == EMAIL => Err(Refusal::new(Reason::WrongKind, "", "is not text")),
            _ if name == CREATE_TIME => {
                Err(Refusal::invalid("", "the time of creation cannot be written"))
            }
            told => admit(&name, &told, vocabulary).map(|value| {
                attributes.extend(value.map(|value| (name.clone(), value)));
            }),
        };
        if let Err(refusal) = outcome {
            dropped.push(Refusal { field: format!("traits.{name}"), ..refusal });
        }
    }
    (email, attributes)
}

/// The value that a declared attribute is to have, or none at all, or nothing when nothing is said.
#[expect(clippy::option_option, reason = "one is whether something is said, the other what")]
fn admit(
    name: &str,
    told: &Json,
    vocabulary: &Vocabulary,
) -> Result<Option<Option<Value>>, Refusal> {
    let kind = vocabulary.kind(name);
    if told.is_null() {
        return Ok(kind.map(|_| None));
    }
    let Some(value) = value(told, kind)? else { return Ok(None) };
    if kind.is_none() {
        let message =
            "the workspace has as many attributes as traits may declare; declare it yourself";
        return Err(Refusal::new(Reason::TooManyAttributes, "", message));
    }
    vocabulary.admit(Entity::Contact, name, Some(&value))?;
    Ok(Some(Some(value)))
}

/// A value as it is told, read as the kind that it must have.
fn value(told: &Json, kind: Option<Kind>) -> Result<Option<Value>, Refusal> {
    let refuse = |message: &str| Err(Refusal::invalid("", message));
    let is_time = kind == Some(Kind::Time);
    Ok(Some(match told {
        Json::Bool(flag) => Value::Flag(*flag),
        Json::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            match moment::of_number(number).filter(|_| is_time) {
                Some(time) => Value::Time(time),
                None => Value::Number(number),
            }
        }
        Json::String(text) if is_time => match moment::parse(text) {
            Some(time) => Value::Time(time),
            None => return Err(Refusal::new(Reason::WrongKind, "", "is not a time")),
        },
        Json::String(text) if value::is_fit(text) => Value::Text(text.clone()),
        Json::String(_) => return refuse("use at most 1,024 bytes and no NUL"),
        Json::Array(items) if items.is_empty() && kind.is_none() => return Ok(None),
        Json::Array(items) => match texts(items) {
            Some(texts) => Value::Texts(texts),
            None => return refuse("use at most 64 texts of at most 1,024 bytes"),
        },
        Json::Null | Json::Object(_) => return refuse("is not a value"),
    }))
}

fn texts(items: &[Json]) -> Option<BTreeSet<String>> {
    let text = |item: &Json| item.as_str().filter(|text| value::is_fit(text)).map(str::to_owned);
    let texts = items.iter().map(text);
    texts.collect::<Option<BTreeSet<_>>>().filter(|texts| texts.len() <= value::MOST_TEXTS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vocabulary() -> Vocabulary {
        let declared = [
            ("plan", Kind::Text),
            ("age", Kind::Number),
            ("vip", Kind::Flag),
            ("created_at", Kind::Time),
            ("tags", Kind::TextSet),
        ];
        Vocabulary::new(
            (1..).zip(declared).map(|(number, (id, kind))| (id.to_owned(), number, kind)),
        )
    }

    fn admit_one(name: &str, told: Json) -> Result<Vec<(String, Option<Value>)>, Refusal> {
        let mut dropped = Vec::new();
        let traits = BTreeMap::from([(name.to_owned(), told)]);
        let (_, attributes) = admitted(traits, &vocabulary(), &mut dropped);
        dropped.pop().map_or(Ok(attributes), Err)
    }

    #[test]
    fn a_trait_is_read_as_the_kind_that_its_attribute_has() {
        let text = Value::Text("2026-11-24T12:00:00Z".to_owned());
        let time = Value::Time("2026-11-24T12:00:00Z".parse().unwrap());
        let check = |name: &str, told: Json, expected: Value| {
            assert_eq!(admit_one(name, told), Ok(vec![(name.to_owned(), Some(expected))]));
        };
        check("plan", json!("2026-11-24T12:00:00Z"), text);
        check("created_at", json!("2026-11-24T12:00:00Z"), time.clone());
        check("created_at", json!(1_795_521_600), time.clone());
        check("created_at", json!(1_795_521_600_000_i64), time);
        check("age", json!(26), Value::Number(26.0));
        check("tags", json!([]), Value::Texts(BTreeSet::new()));
        assert_eq!(admit_one("plan", json!(null)), Ok(vec![("plan".to_owned(), None)]));
        assert_eq!(admit_one("unheard_of", json!(null)), Ok(vec![]));
        assert_eq!(admit_one("unheard_of", json!([])), Ok(vec![]));
    }

    #[test]
    fn a_value_of_another_kind_is_dropped_with_the_name_of_its_trait() {
        for (name, told) in [
            ("plan", json!(1)),
            ("age", json!("26")),
            ("vip", json!("true")),
            ("created_at", json!("lately")),
            ("tags", json!("a")),
            ("email", json!(1)),
        ] {
            let refusal = admit_one(name, told).unwrap_err();
            assert_eq!(refusal.field, format!("traits.{name}"));
        }
        assert_eq!(admit_one("age", json!("26")).unwrap_err().reason, Reason::WrongKind);
        assert_eq!(admit_one("email", json!("ana")).unwrap_err().field, "traits.email");
        let long = json!("x".repeat(1_025));
        assert_eq!(admit_one("plan", long).unwrap_err().reason, Reason::InvalidField);
    }

    #[test]
    fn the_first_value_tells_the_kind() {
        for (name, told, expected) in [
            ("a", json!(true), Some(Kind::Flag)),
            ("a", json!(1.5), Some(Kind::Number)),
            ("a", json!("pro"), Some(Kind::Text)),
            ("a", json!("2026-11-24"), Some(Kind::Text)),
            ("a", json!("2026-11-24T12:00:00Z"), Some(Kind::Time)),
            ("a", json!(["x"]), Some(Kind::TextSet)),
            ("a", json!([1]), None),
            ("a", json!([]), None),
            ("a", json!(null), None),
            ("created_at", json!("2026-11-24"), Some(Kind::Time)),
            ("created_at", json!(1_795_521_600), Some(Kind::Time)),
        ] {
            assert_eq!(inferred(name, &told), expected, "{name}: {told}");
        }
    }
}
