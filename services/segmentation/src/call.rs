//! A call of the Segment tracking API, read: whom it is about and what it says.
//!
//! A request holds one call or a batch (`request`). A call is read here without asking anybody; what kinds its traits
//! must have, only the workspace knows (`trait`).

pub(crate) mod flat;
pub(crate) mod identity;
pub(crate) mod request;
pub(crate) mod traits;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_ids::ContactId;
use serde_json::{Map, Value as Json};

use self::flat::Flat;
use self::request::Field;
use crate::event;
use crate::moment;
use crate::refusal::Refusal;
use crate::value::{self, Value};

/// The longest id of a message: what Segment allows, and short enough for ours.
const LONGEST_MESSAGE_ID: usize = 100;
const MOST_PROPERTIES: usize = 64;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Identify,
    Group,
    Track,
    Page,
    Screen,
    Alias,
}

/// A call, read.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its id, which is told only once; none if nobody gave it one.
    pub(crate) message_id: Option<String>,
    pub(crate) contact: ContactId,
    pub(crate) says: Says,
    /// Fields that could not be taken, while the rest was.
    pub(crate) dropped: Vec<Refusal>,
}

/// What a call says about its contact.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These are its traits, and perhaps it was somebody anonymous before.
    Is { traits: BTreeMap<String, Json>, before: Option<ContactId> },
    /// It belongs to a group that has these traits.
    #[expect(dead_code, reason = "written once accounts are kept here")]
    BelongsTo { group: String, traits: BTreeMap<String, Json> },
    /// It did something.
    Did { name: String, time: DateTime<Utc>, properties: BTreeMap<String, Value> },
}

/// When a request was sent by its sender's clock and when it came by ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) sent: Option<DateTime<Utc>>,
    pub(crate) received: DateTime<Utc>,
}

impl Kind {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "identify" => Self::Identify,
            "group" => Self::Group,
            "track" => Self::Track,
            "page" => Self::Page,
            "screen" => Self::Screen,
            "alias" => Self::Alias,
            _ => return None,
        })
    }
}

impl Call {
    /// Reads a call. In a batch each says itself what it is.
    pub(crate) fn read(
        kind: Option<Kind>,
        mut fields: Map<String, Json>,
        clocks: Clocks,
    ) -> Result<Self, Refusal> {
        let kind = match kind {
            Some(kind) => kind,
            None => kind_of(&mut fields)?,
        };
        let message_id = message_id(&mut fields)?;
        let user = fields.take_id("userId")?;
        let anonymous = fields.take_id("anonymousId")?;
        let contact = match (&user, &anonymous) {
            (Some(user), _) => identity::of_user(user),
            (None, Some(anonymous)) => identity::of_anonymous(anonymous),
            (None, None) => return Err(Refusal::invalid("userId", "give it or `anonymousId`")),
        };
        let mut dropped = Vec::new();
        let says = match kind {
            Kind::Identify => {
                let traits = flat::flatten(fields.take_map("traits")?, "traits", &mut dropped);
                let before = user.and(anonymous).map(|id| identity::of_anonymous(&id));
                Says::Is { traits, before }
            }
            Kind::Alias => {
                let previous = fields.take_id("previousId")?;
                let previous = previous.ok_or_else(|| missing("previousId"))?;
                if user.is_none() {
                    return Err(missing("userId"));
                }
                // Somebody known is not given to somebody else by whoever has a write key: it cannot be undone.
                let before = Some(identity::of_anonymous(&previous));
                Says::Is { traits: BTreeMap::new(), before }
            }
            Kind::Group => {
                let group = fields.take_id("groupId")?.ok_or_else(|| missing("groupId"))?;
                let traits = flat::flatten(fields.take_map("traits")?, "traits", &mut dropped);
                Says::BelongsTo { group, traits }
            }
            Kind::Track | Kind::Page | Kind::Screen => {
                let time = time(&mut fields, clocks)?;
                let (name, told) = event(kind, &mut fields)?;
                let flat = flat::flatten(told, "properties", &mut dropped);
                Says::Did { name, time, properties: properties(flat, &mut dropped) }
            }
        };
        Ok(Self { message_id, contact, says, dropped })
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::invalid(field, "is missing")
}

fn kind_of(fields: &mut Map<String, Json>) -> Result<Kind, Refusal> {
    let name = fields.take_text("type")?.ok_or_else(|| missing("type"))?;
    Kind::named(&name).ok_or_else(|| {
        let message = "use `identify`, `group`, `track`, `page`, `screen` or `alias`";
        Refusal::invalid("type", message)
    })
}

fn message_id(fields: &mut Map<String, Json>) -> Result<Option<String>, Refusal> {
    let Some(id) = fields.take_text("messageId")? else { return Ok(None) };
    if id.len() > LONGEST_MESSAGE_ID || id.contains(char::is_control) {
        let message = "use at most 100 bytes without control characters";
        return Err(Refusal::invalid("messageId", message));
    }
    Ok(Some(id))
}

/// When it happened by our clock: the sender's may be wrong, but not between the call and its sending.
fn time(fields: &mut Map<String, Json>, clocks: Clocks) -> Result<DateTime<Utc>, Refusal> {
    let sent = fields.take_time("sentAt")?.or(clocks.sent);
    let told = fields.take_time("timestamp")?;
    let told = fields.take_time("originalTimestamp")?.or(told);
    let corrected = match (told, sent) {
        (None, _) => Some(clocks.received),
        (Some(told), None) => Some(told),
        (Some(told), Some(sent)) => clocks.received.checked_sub_signed(sent - told),
    };
    corrected
        .and_then(moment::kept)
        .ok_or_else(|| Refusal::invalid("timestamp", "is beyond all bounds"))
}

/// The name of an event, and what is told with it.
fn event(
    kind: Kind,
    fields: &mut Map<String, Json>,
) -> Result<(String, Map<String, Json>), Refusal> {
    let mut properties = fields.take_map("properties")?;
    let name = match kind {
        Kind::Page | Kind::Screen => {
            for field in ["category", "name"] {
                if let Some(text) = fields.take_text(field)? {
                    properties.insert(field.to_owned(), Json::String(text));
                }
            }
            let viewed = if kind == Kind::Page { "page.viewed" } else { "screen.viewed" };
            viewed.to_owned()
        }
        _ => fields.take_text("event")?.ok_or_else(|| missing("event"))?,
    };
    event::check_name(&name, "event")?;
    Ok((name, properties))
}

/// Keeps what can be the property of an event; there is no other way to say that something has none than not to say it.
fn properties(flat: Flat, dropped: &mut Vec<Refusal>) -> BTreeMap<String, Value> {
    let mut kept = BTreeMap::new();
    for (name, told) in flat {
        let refuse = |message: &str| Refusal::invalid(format!("properties.{name}"), message);
        let value = match told {
            Json::Null => continue,
            _ if kept.len() == MOST_PROPERTIES => Err(refuse("an event keeps at most 64")),
            Json::Bool(is) => Ok(Value::Flag(is)),
            Json::Number(number) => Ok(Value::Number(number.as_f64().unwrap_or_default())),
            Json::String(text) if value::is_fit(&text) => Ok(Value::Text(text)),
            Json::String(_) => Err(refuse("use at most 1,024 bytes and no NUL")),
            Json::Array(_) | Json::Object(_) => Err(refuse("use text, a number or a boolean")),
        };
        match value {
            Ok(value) => drop(kept.insert(name, value)),
            Err(refusal) => dropped.push(refusal),
        }
    }
    kept
}

#[cfg(test)]
mod tests;
