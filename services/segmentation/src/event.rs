//! Something a contact did or that happened to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_audience::DEALS;
use cursus_ids::{ContactId, ImportId};

use crate::refusal::{Reason, Refusal};
use crate::value::Value;

/// Names with this prefix are for what the delivery service observes.
pub(crate) const OBSERVED: &str = "email.";

/// What the ids of events begin with that nobody gave an id here: messages of the tracking API and rows of files. A write
/// key is in every browser, and whoever holds it must not take the id of an event that a caller tells later.
const TRACKED: &str = "tracking/";
const IMPORTED: &str = "import/";

const LONGEST_NAME: usize = 128;
const MOST_PROPERTIES: usize = 64;

/// An event to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) contact: ContactId,
    pub(crate) name: String,
    pub(crate) time: DateTime<Utc>,
    pub(crate) properties: BTreeMap<String, Value>,
}

/// Whose ids events have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Callers of this service.
    Caller,
    /// The delivery service, whose outcomes we follow.
    Delivery,
}

impl Source {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Delivery => "delivery",
        }
    }
}

/// The id of the event that a message of the tracking API tells.
pub(crate) fn tracked_id(message_id: &str) -> String {
    format!("{TRACKED}{message_id}")
}

/// The id of the event in a row of a file.
pub(crate) fn imported_id(import_id: &ImportId, row: u64) -> String {
    format!("{IMPORTED}{import_id}/{row}")
}

impl Draft {
    /// Checks what a caller says, who gives events their ids.
    pub(crate) fn check(self) -> Result<Self, Refusal> {
        if [TRACKED, IMPORTED].iter().any(|prefix| self.id.starts_with(prefix)) {
            let message = "ids that begin with `tracking/` or `import/` are given here";
            return Err(Refusal::invalid("event.event_id", message));
        }
        self.check_given()
    }

    /// Checks what somebody says about an event that may have its id from here.
    pub(crate) fn check_given(self) -> Result<Self, Refusal> {
        check_text(&self.id, "event.event_id")?;
        check_name(&self.name, "event.event_name")?;
        if self.properties.len() > MOST_PROPERTIES {
            return Err(Refusal::invalid("event.properties", "use at most 64"));
        }
        for (name, value) in &self.properties {
            let field = format!("event.properties[{name}]");
            check_text(name, &field)?;
            if matches!(value, Value::Time(_) | Value::Texts(_)) {
                let message = format!("use a string, a number or a boolean, not {}", value.kind());
                return Err(Refusal::new(Reason::WrongKind, field, message));
            }
        }
        Ok(self)
    }
}

/// Checks the name of an event that somebody else than the delivery service tells.
pub(crate) fn check_name(name: &str, field: &str) -> Result<(), Refusal> {
    check_text(name, field)?;
    if name == DEALS {
        let message = "this name is for the deals of contacts";
        return Err(Refusal::new(Reason::ReservedEventName, field, message));
    }
    if name.starts_with(OBSERVED) {
        let message = "names that begin with `email.` are for what the delivery service observes";
        return Err(Refusal::new(Reason::ReservedEventName, field, message));
    }
    Ok(())
}

fn check_text(text: &str, field: &str) -> Result<(), Refusal> {
    let is_fit = !text.is_empty() && text.len() <= LONGEST_NAME && !text.contains(char::is_control);
    if is_fit {
        Ok(())
    } else {
        Err(Refusal::invalid(field, "use 1 to 128 bytes without control characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(id: &str, name: &str, property: (&str, Value)) -> Result<Draft, Refusal> {
        let (property, value) = property;
        Draft {
            id: id.to_owned(),
            contact: "ana".parse().unwrap(),
            name: name.to_owned(),
            time: DateTime::UNIX_EPOCH,
            properties: BTreeMap::from([(property.to_owned(), value)]),
        }
        .check()
    }

    #[test]
    fn a_caller_cannot_say_what_only_delivery_observes() {
        let refusal = draft("1", "email.opened", ("a", Value::Flag(true))).unwrap_err();
        assert_eq!(refusal.reason, Reason::ReservedEventName);
        let refusal = draft("1", "$deals", ("a", Value::Flag(true))).unwrap_err();
        assert_eq!(refusal.reason, Reason::ReservedEventName);
        assert!(draft("1", "email", ("a", Value::Flag(true))).is_ok());
    }

    #[test]
    fn a_property_is_a_string_a_number_or_a_boolean() {
        assert!(draft("1", "login", ("a", Value::Number(1.0))).is_ok());
        let refusal = draft("1", "login", ("at", Value::Time(DateTime::UNIX_EPOCH))).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.field.as_str()),
            (Reason::WrongKind, "event.properties[at]")
        );
    }

    #[test]
    fn names_are_there_and_short_and_printable() {
        let long = "x".repeat(129);
        for id in ["tracking/1", "import/cdnow/2"] {
            assert!(draft(id, "a", ("a", Value::Flag(true))).is_err(), "{id}");
        }
        for (id, name, property) in
            [("", "a", "a"), ("1", "", "a"), ("1", "a", ""), (&long, "a", "a"), ("1", "a\0", "a")]
        {
            assert!(draft(id, name, (property, Value::Flag(true))).is_err(), "{id} {name}");
        }
    }
}
