//! Objects without depth: names as identifiers, and what is one level deeper beside the rest.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::refusal::Refusal;

/// Longest name: that of an attribute.
const LONGEST_NAME: usize = 63;

/// Values by name; none of them is an object.
pub(crate) type Flat = BTreeMap<String, Json>;

/// Flattens the object in `field`: `{"address": {"postalCode": "1"}}` is `address_postal_code`. What is deeper still, or
/// has no name that can be said in a rule, is dropped with the reason.
pub(crate) fn flatten(told: Map<String, Json>, field: &str, dropped: &mut Vec<Refusal>) -> Flat {
    let mut flat = Flat::new();
    let mut keep = |name: String, path: &[&str], value: Json| match (value, is_name(&name)) {
        (Json::Object(_), _) => {
            dropped.push(refuse(field, path, "is nested deeper than one level"));
        }
        (_, false) => {
            let message =
                "use a name of at most 63 letters, digits and `_`, beginning with a letter";
            dropped.push(refuse(field, path, message));
        }
        (value, true) => drop(flat.insert(name, value)),
    };
    for (outer, value) in told {
        let Json::Object(inside) = value else {
            keep(identifier(&outer), &[&outer], value);
            continue;
        };
        for (inner, value) in inside {
            let name = format!("{}_{}", identifier(&outer), identifier(&inner));
            keep(name, &[&outer, &inner], value);
        }
    }
    flat
}

/// Writes a name as an identifier: `postalCode`, `Postal code` and `postal_code` are the same.
pub(crate) fn identifier(name: &str) -> String {
    let mut written = String::with_capacity(name.len() + 4);
    let mut letters = name.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let begins_word = letter.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || before.is_ascii_uppercase()
                    && letters.peek().is_some_and(char::is_ascii_lowercase));
        let is_kept = letter.is_ascii_alphanumeric();
        if (begins_word || !is_kept) && !written.is_empty() && !written.ends_with('_') {
            written.push('_');
        }
        if is_kept {
            written.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    let end = written.trim_end_matches('_').len();
    written.truncate(end);
    written
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.starts_with(|first: char| first.is_ascii_lowercase())
}

fn refuse(field: &str, path: &[&str], message: &str) -> Refusal {
    let path: String = path.join(".").chars().filter(|it| !it.is_control()).take(80).collect();
    Refusal::invalid(format!("{field}.{path}"), message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (name, expected) in [
            ("postalCode", "postal_code"),
            ("Postal code", "postal_code"),
            ("postal_code", "postal_code"),
            ("total billed", "total_billed"),
            ("HTTPServer", "http_server"),
            ("userID", "user_id"),
            ("line2Text", "line2_text"),
            ("$ref--x ", "ref_x"),
            ("prénom", "pr_nom"),
            ("名前", ""),
        ] {
            assert_eq!(identifier(name), expected, "{name}");
        }
    }

    #[test]
    fn one_level_is_flattened_and_what_is_deeper_is_dropped() {
        let Json::Object(told) = json!({
            "plan": "pro",
            "address": { "postalCode": "94103", "geo": { "lat": 1 } },
            "2nd": 1,
            "tags": ["a"],
        }) else {
            unreachable!()
        };
        let mut dropped = Vec::new();
        let flat = flatten(told, "traits", &mut dropped);
        let names: Vec<&str> = flat.keys().map(String::as_str).collect();
        assert_eq!(names, ["address_postal_code", "plan", "tags"]);
        let fields: Vec<&str> = dropped.iter().map(|refusal| refusal.field.as_str()).collect();
        assert_eq!(fields, ["traits.2nd", "traits.address.geo"]);
    }

    proptest! {
        #[test]
        fn an_identifier_of_an_identifier_is_itself(name in "\\PC{0,40}") {
            let once = identifier(&name);
            prop_assert_eq!(identifier(&once), once.clone());
            prop_assert!(once.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_')));
        }
    }
}
