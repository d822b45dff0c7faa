//! The contract's messages and what this service means by them.

use std::collections::BTreeMap;

use chrono::SubsecRound;
use cursus_api::segmentation as proto;
use cursus_audience::Kind;
use cursus_ids::{ContactId, ContactName, SegmentId, SegmentName, SnapshotName, WorkspaceId};

use super::{crm, rule};
use crate::attribute::{Attribute, Entity};
use crate::contact::{self, Contact};
use crate::error::Error;
use crate::event;
use crate::imports::Imported;
use crate::refusal::{Reason, Refusal};
use crate::segment::{self, DisplayName, Segment, Written};
use crate::segments::Preview;
use crate::snapshot::{self, Member, Snapshot};
use crate::value::{self, Value};

/// A contact of the workspace, as told; the workspace's attributes are not known here.
pub(crate) fn told(
    contact: proto::Contact,
    workspace: &WorkspaceId,
) -> Result<contact::Told, Refusal> {
    let name = contact_of(&contact.name, workspace, "contact.name")?;
    Ok(contact::Told {
        id: name.id,
        email: contact.email,
        account: crm::convert::reference(&contact.account, workspace, "contact.account")?,
        attributes: named_values(contact.attributes, "contact.attributes")?,
    })
}

/// Values by name, as told; no value removes.
pub(super) fn named_values(
    values: BTreeMap<String, proto::Value>,
    field: &str,
) -> Result<Vec<(String, Option<Value>)>, Refusal> {
    let values = values.into_iter().map(|(id, value)| {
        let field = || format!("{field}[{id}]");
        let value = value.kind.map(|kind| decode_value(kind, field)).transpose()?;
        Ok((id, value))
    });
    values.collect()
}

/// An event of the workspace, checked.
pub(crate) fn event(event: proto::Event, workspace: &WorkspaceId) -> Result<event::Draft, Refusal> {
    let contact = contact_of(&event.contact, workspace, "event.contact")?.id;
    let time = event.event_time.and_then(rule::moment).ok_or_else(|| {
        Refusal::invalid("event.event_time", "use a time from the year 1 to 9999")
    })?;
    let properties = event.properties.into_iter().map(|(name, value)| {
        let field = || format!("event.properties[{name}]");
        let kind = value.kind.ok_or_else(|| Refusal::invalid(field(), "has no value"))?;
        let value = decode_value(kind, field)?;
        Ok((name, value))
    });
    let draft = event::Draft {
        id: event.event_id,
        contact,
        name: event.event_name,
        // What Postgres keeps, and the engine counts in.
        time: time.trunc_subsecs(6),
        properties: properties.collect::<Result<_, Refusal>>()?,
    };
    draft.check()
}

/// An event of a contact as those who watch see it.
pub(crate) fn encode_event(
    workspace: &WorkspaceId,
    contact: &ContactId,
    event: &event::Draft,
) -> proto::Event {
    proto::Event {
        event_id: event.id.clone(),
        contact: ContactName::new(workspace.clone(), contact.clone()).to_string(),
        event_name: event.name.clone(),
        event_time: Some(rule::encode_moment(event.time)),
        properties: encode_values(&event.properties),
    }
}

pub(crate) fn kind(told: i32) -> Result<Kind, Error> {
    use proto::AttributeKind as Told;
    Ok(match Told::try_from(told) {
        Ok(Told::Text) => Kind::Text,
        Ok(Told::Number) => Kind::Number,
        Ok(Told::Flag) => Kind::Flag,
        Ok(Told::Time) => Kind::Time,
        Ok(Told::TextSet) => Kind::TextSet,
        Ok(Told::Unspecified) | Err(_) => {
            return Err(Error::invalid("attribute.kind", "say what kind of value it holds"));
        }
    })
}

pub(crate) fn entity(told: i32, field: &str) -> Result<Entity, Error> {
    use proto::AttributeEntity as Told;
    Ok(match Told::try_from(told) {
        Ok(Told::Unspecified | Told::Contact) => Entity::Contact,
        Ok(Told::Account) => Entity::Account,
        Ok(Told::Deal) => Entity::Deal,
        Err(_) => return Err(Error::invalid(field, "use one of those there are")),
    })
}

/// What a client wants changed of a segment.
pub(crate) fn change(request: proto::UpdateSegmentRequest) -> Result<segment::Change, Error> {
    let told = request.segment.unwrap_or_default();
    let paths = request
        .update_mask
        .map_or_else(|| vec!["display_name".to_owned(), "rule".to_owned()], |mask| mask.paths);
    let known = ["display_name", "rule", "rule_text"];
    if paths.is_empty() || paths.iter().any(|path| !known.contains(&path.as_str())) {
        return Err(Error::invalid(
            "update_mask",
            "name `display_name`, and `rule` or `rule_text`",
        ));
    }
    let named = |path: &str| paths.iter().any(|named| named == path);
    let display_name = named("display_name").then(|| DisplayName::new(told.display_name));
    let tree = told.rule.filter(|_| !named("rule_text"));
    let rule = (named("rule") || named("rule_text")).then(|| written_rule(tree, told.rule_text));
    Ok(segment::Change {
        name: told.name.parse().map_err(Error::name("segment.name"))?,
        display_name: display_name.transpose()?,
        rule: rule.transpose()?,
        etag: Some(told.etag).filter(|etag| !etag.is_empty()),
    })
}

/// A rule as a tree or, without one, as text.
pub(crate) fn written_rule(tree: Option<proto::Rule>, text: String) -> Result<Written, Error> {
    match tree {
        None if !text.is_empty() => Written::as_text(text),
        tree => Ok(Written::as_tree(rule::decode(tree.unwrap_or_default(), "rule")?)),
    }
}

/// Segments of a workspace, as ids.
pub(crate) fn segments(
    names: &[String],
    workspace: &WorkspaceId,
    field: &str,
) -> Result<Vec<SegmentId>, Error> {
    let parse = |(index, name): (usize, &String)| {
        let field = format!("{field}[{index}]");
        let name: SegmentName = name.parse().map_err(Error::name(&field))?;
        if name.workspace == *workspace {
            Ok(name.id)
        } else {
            Err(Error::invalid(field, "is in another workspace"))
        }
    };
    names.iter().enumerate().map(parse).collect()
}

pub(crate) fn snapshot_draft(
    name: SnapshotName,
    told: proto::Snapshot,
) -> Result<snapshot::Draft, Error> {
    let audience = told.audience.unwrap_or_default();
    let workspace = &name.workspace;
    let retention = match told.retention {
        None => snapshot::Draft::usual_retention(),
        Some(told) => rule::length(told)
            .ok_or_else(|| Error::invalid("snapshot.retention", "is beyond all bounds"))?,
    };
    let draft = snapshot::Draft {
        include: segments(&audience.include, workspace, "snapshot.audience.include")?,
        exclude: segments(&audience.exclude, workspace, "snapshot.audience.exclude")?,
        labels: segments(&told.labels, workspace, "snapshot.labels")?,
        retention,
        name,
    };
    draft.check()
}

/// A contact's name in a row, which must be of the workspace that the rows are for.
pub(crate) fn contact_of(
    name: &str,
    workspace: &WorkspaceId,
    field: &str,
) -> Result<ContactName, Refusal> {
    let name: ContactName = name.parse().map_err(|error| Refusal::invalid(field, error))?;
    if name.workspace == *workspace { Ok(name) } else { Err(foreign(workspace, field)) }
}

/// That a name is not of the workspace that the rows are for.
pub(super) fn foreign(workspace: &WorkspaceId, field: &str) -> Refusal {
    Refusal::invalid(field, format!("is not in `workspaces/{workspace}`"))
}

fn decode_value(kind: proto::value::Kind, field: impl Fn() -> String) -> Result<Value, Refusal> {
    use proto::value::Kind;
    let refuse = |message: &str| Err(Refusal::new(Reason::InvalidField, field(), message));
    Ok(match kind {
        Kind::Text(text) if value::is_fit(&text) => Value::Text(text),
        Kind::Text(_) => return refuse("use at most 1,024 bytes and no NUL"),
        Kind::Number(number) if number.is_finite() => Value::Number(number),
        Kind::Number(_) => return refuse("use a finite number"),
        Kind::Flag(flag) => Value::Flag(flag),
        Kind::Time(time) => match rule::moment(time) {
            Some(time) => Value::Time(time.trunc_subsecs(6)),
            None => return refuse("use a time from the year 1 to 9999"),
        },
        Kind::Texts(set) if set.items.len() > value::MOST_TEXTS => {
            return refuse("use at most 64 strings");
        }
        Kind::Texts(set) if set.items.iter().all(|text| value::is_fit(text)) => {
            Value::Texts(set.items.into_iter().collect())
        }
        Kind::Texts(_) => return refuse("use at most 1,024 bytes a string and no NUL"),
    })
}

pub(super) fn encode_values(values: &BTreeMap<String, Value>) -> BTreeMap<String, proto::Value> {
    let encode = |(name, value): (&String, &Value)| (name.clone(), value.into());
    values.iter().map(encode).collect()
}

impl From<&Value> for proto::Value {
    fn from(value: &Value) -> Self {
        use proto::value::Kind;
        let kind = match value {
            Value::Text(text) => Kind::Text(text.clone()),
            Value::Number(number) => Kind::Number(*number),
            Value::Flag(flag) => Kind::Flag(*flag),
            Value::Time(time) => Kind::Time(rule::encode_moment(*time)),
            Value::Texts(texts) => {
                Kind::Texts(proto::TextSet { items: texts.iter().cloned().collect() })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl From<Attribute> for proto::Attribute {
    fn from(attribute: Attribute) -> Self {
        use proto::AttributeKind as Told;
        let kind = match attribute.kind {
            Kind::Text => Told::Text,
            Kind::Number => Told::Number,
            Kind::Flag => Told::Flag,
            Kind::Time => Told::Time,
            Kind::TextSet => Told::TextSet,
        };
        let entity = match attribute.entity {
            Entity::Contact => proto::AttributeEntity::Contact,
            Entity::Account => proto::AttributeEntity::Account,
            Entity::Deal => proto::AttributeEntity::Deal,
        };
        Self {
            name: attribute.name.to_string(),
            entity: entity.into(),
            kind: kind.into(),
            description: attribute.description,
            create_time: attribute.create_time.map(rule::encode_moment),
        }
    }
}

impl From<Contact> for proto::Contact {
    fn from(contact: Contact) -> Self {
        Self {
            name: contact.name.to_string(),
            email: contact.email,
            account: contact.account.map(Into::into).unwrap_or_default(),
            attributes: encode_values(&contact.attributes),
            create_time: Some(rule::encode_moment(contact.create_time)),
            update_time: Some(rule::encode_moment(contact.update_time)),
        }
    }
}

/// Contacts, each with the id asked for.
pub(crate) fn encode_found(found: Vec<(ContactId, Contact)>) -> proto::BatchGetContactsResponse {
    let alias = |(asked, contact): &(ContactId, Contact)| {
        let ContactName { workspace, id } = &contact.name;
        let is_alias = asked != id;
        let asked = ContactName::new(workspace.clone(), asked.clone());
        is_alias.then(|| (asked.to_string(), contact.name.to_string()))
    };
    proto::BatchGetContactsResponse {
        aliases: found.iter().filter_map(alias).collect(),
        contacts: found.into_iter().map(|(_, contact)| contact.into()).collect(),
    }
}

impl From<Segment> for proto::Segment {
    fn from(segment: Segment) -> Self {
        use proto::segment::State;
        let is_ready = segment.is_ready();
        let state = if is_ready { State::Ready } else { State::Computing };
        Self {
            name: segment.name.to_string(),
            display_name: segment.display_name,
            rule_text: segment.rule.to_string(),
            rule: Some(rule::encode(&segment.rule)),
            revision: segment.revision,
            state: state.into(),
            member_count: if is_ready { segment.member_count } else { 0 },
            create_time: Some(rule::encode_moment(segment.create_time)),
            update_time: Some(rule::encode_moment(segment.update_time)),
            ready_time: segment.ready_time.filter(|_| is_ready).map(rule::encode_moment),
            etag: segment.etag.to_string(),
        }
    }
}

impl From<Preview> for proto::PreviewSegmentResponse {
    fn from(preview: Preview) -> Self {
        let clause = |(text, remaining_count)| proto::ClauseCount { text, remaining_count };
        Self {
            rule_text: preview.rule_text,
            contact_count: preview.contact_count,
            member_count: preview.member_count,
            clauses: preview.clauses.into_iter().map(clause).collect(),
            sample: preview.sample.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Snapshot> for proto::Snapshot {
    fn from(snapshot: Snapshot) -> Self {
        let names = |ids: Vec<SegmentId>| -> Vec<String> {
            let workspace = &snapshot.name.workspace;
            ids.into_iter().map(|id| SegmentName::new(workspace.clone(), id).to_string()).collect()
        };
        let retention = snapshot.expire_time - snapshot.create_time;
        Self {
            audience: Some(proto::Audience {
                include: names(snapshot.include),
                exclude: names(snapshot.exclude),
            }),
            labels: names(snapshot.labels),
            member_count: snapshot.member_count,
            label_counts: snapshot.label_counts,
            revisions: snapshot.revisions,
            create_time: Some(rule::encode_moment(snapshot.create_time)),
            retention: Some(rule::encode_duration(retention)),
            name: snapshot.name.to_string(),
        }
    }
}

/// A member of a snapshot, for the workspace it is in.
pub(crate) fn encode_member(workspace: &WorkspaceId, member: Member) -> proto::SnapshotMember {
    proto::SnapshotMember {
        contact: ContactName::new(workspace.clone(), member.contact).to_string(),
        email: member.email,
        labels: member.labels.into_iter().filter_map(|label| i32::try_from(label).ok()).collect(),
    }
}

impl From<Imported> for proto::ImportContactsResponse {
    fn from(imported: Imported) -> Self {
        Self {
            created_count: imported.new,
            updated_count: imported.known,
            refused_count: imported.refused,
            refusals: imported.refusals.into_iter().map(encode_refusal).collect(),
        }
    }
}

impl From<Imported> for proto::ImportEventsResponse {
    fn from(imported: Imported) -> Self {
        Self {
            recorded_count: imported.new,
            duplicate_count: imported.known,
            refused_count: imported.refused,
            refusals: imported.refusals.into_iter().map(encode_refusal).collect(),
        }
    }
}

pub(super) fn encode_refusal((row, refusal): (i64, Refusal)) -> proto::Refusal {
    let message = refusal.to_string();
    let reason = refusal.reason.as_str().to_owned();
    proto::Refusal { row, reason, field: refusal.field, message }
}
