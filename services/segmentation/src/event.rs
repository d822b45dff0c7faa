//! Something a contact did or that happened to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_audience::DEALS;
use cursus_ids::ContactId;

use crate::refusal::{Reason, Refusal};
use crate::value::Value;

/// Names with this prefix are for what the delivery service observes.
pub(crate) const OBSERVED: &str = "email.";

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

impl Draft {
    /// Checks what a caller says.
    pub(crate) fn check(self) -> Result<Self, Refusal> {
        check_text(&self.id, "event.event_id")?;
        check_text(&self.name, "event.event_name")?;
        if self.name.starts_with(OBSERVED) {
            let message =
                "names that begin with `email.` are for what the delivery service observes";
            return Err(Refusal::new(Reason::ReservedEventName, "event.event_name", message));
        }
        if self.name == DEALS {
            let message = "this name is for the deals of contacts";
            return Err(Refusal::new(Reason::ReservedEventName, "event.event_name", message));
        }
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
        for (id, name, property) in
            [("", "a", "a"), ("1", "", "a"), ("1", "a", ""), (&long, "a", "a"), ("1", "a\0", "a")]
        {
            assert!(draft(id, name, (property, Value::Flag(true))).is_err(), "{id} {name}");
        }
    }
}
