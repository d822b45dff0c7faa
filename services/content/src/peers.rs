//! What content asks of segmentation, in its own words.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat};
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_api::segmentation::{
    AttributeEntity, AttributeKind, BatchGetContactsRequest, Contact, ListAttributesRequest, Value,
    value,
};
use cursus_chassis::Peer;
use cursus_chassis::peer::Calls;
use cursus_ids::{AttributeName, ContactName, ParseError, WorkspaceId};
use cursus_template::{FieldUse, Fields, Kind};
use prost_types::Timestamp;
use serde_json::{Map, Number, Value as Json};
use tonic::Status;

use crate::message::Contacts;

const EMAIL: &str = "email";
const CREATE_TIME: &str = "create_time";

/// As many attributes as a page may have, and how many pages are read: a workspace has about one.
const PAGE: i32 = 1_000;
const MOST_PAGES: usize = 10;
/// 500 contacts with all they may have are more than the usual limit.
const LARGEST_ANSWER: usize = 64 << 20;

/// A client of the segmentation service.
#[derive(Clone, Debug)]
pub(crate) struct Segmentation(SegmentationServiceClient<Calls>);

/// Why it did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the segmentation service did not answer as it should")]
    Failed(#[source] Status),
    #[error("the segmentation service sent a malformed name")]
    Malformed(#[from] ParseError),
    #[error("the segmentation service has an attribute `{0}` of an unknown kind")]
    UnknownKind(String),
    #[error("the segmentation service has more attributes than can be")]
    TooManyAttributes,
}

impl Segmentation {
    pub(crate) fn new(peer: &Peer) -> Self {
        let client = SegmentationServiceClient::new(peer.calls());
        Self(client.max_decoding_message_size(LARGEST_ANSWER))
    }

    /// What templates of a workspace may ask for.
    pub(crate) async fn fields(&self, workspace: &WorkspaceId) -> Result<Fields, Error> {
        let mut fields = vec![(EMAIL.to_owned(), Kind::Text)];
        let mut page_token = String::new();
        for _ in 0..MOST_PAGES {
            let request = ListAttributesRequest {
                parent: workspace.name(),
                page_size: PAGE,
                page_token,
                entity: AttributeEntity::Contact.into(),
            };
            let answer = self.0.clone().list_attributes(request).await;
            let page = answer.map_err(Error::Failed)?.into_inner();
            for attribute in page.attributes {
                let name: AttributeName = attribute.name.parse()?;
                let id = name.id.to_string();
                let kind = kind(attribute.kind()).ok_or_else(|| Error::UnknownKind(id.clone()))?;
                fields.push((id, kind));
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(Fields::new(fields));
            }
        }
        Err(Error::TooManyAttributes)
    }

    /// Those of the contacts that exist, with the values that are asked for.
    pub(crate) async fn contacts(
        &self,
        workspace: &WorkspaceId,
        names: impl Iterator<Item = &ContactName>,
        fields: &[FieldUse],
    ) -> Result<Contacts, Error> {
        // Nobody is asked for twice, though a batch may have two messages for one.
        let names: Vec<String> =
            names.collect::<BTreeSet<_>>().into_iter().map(ToString::to_string).collect();
        if names.is_empty() {
            return Ok(Contacts::new());
        }
        let request = BatchGetContactsRequest { parent: workspace.name(), names };
        let answer = self.0.clone().batch_get_contacts(request).await;
        let answer = answer.map_err(Error::Failed)?.into_inner();
        let known = answer.contacts.iter().map(|it| Ok((it.name.parse()?, values(it, fields))));
        let mut contacts: Contacts = known.collect::<Result<_, Error>>()?;
        // A message is for the name that it was planned under, whoever the contact has become since.
        for (alias, name) in answer.aliases {
            if let Some(values) = contacts.get(&name.parse()?) {
                contacts.insert(alias.parse()?, values.clone());
            }
        }
        Ok(contacts)
    }
}

fn kind(kind: AttributeKind) -> Option<Kind> {
    match kind {
        AttributeKind::Text => Some(Kind::Text),
        AttributeKind::Number => Some(Kind::Number),
        AttributeKind::Flag => Some(Kind::Boolean),
        AttributeKind::Time => Some(Kind::Time),
        AttributeKind::TextSet => Some(Kind::List),
        AttributeKind::Unspecified => None,
    }
}

fn values(contact: &Contact, fields: &[FieldUse]) -> Map<String, Json> {
    let value = |field: &FieldUse| {
        let value = match field.name.as_str() {
            EMAIL => Some(Json::from(contact.email.as_str())),
            CREATE_TIME => contact.create_time.as_ref().and_then(time),
            name => contact.attributes.get(name).and_then(json),
        };
        Some((field.name.clone(), value?))
    };
    fields.iter().filter_map(value).collect()
}

fn json(value: &Value) -> Option<Json> {
    match value.kind.as_ref()? {
        value::Kind::Text(text) => Some(Json::from(text.as_str())),
        value::Kind::Number(number) => Number::from_f64(*number).map(Json::Number),
        value::Kind::Flag(flag) => Some(Json::from(*flag)),
        value::Kind::Time(timestamp) => time(timestamp),
        value::Kind::Texts(texts) => Some(Json::from(texts.items.as_slice())),
    }
}

fn time(timestamp: &Timestamp) -> Option<Json> {
    let nanos = timestamp.nanos.try_into().ok()?;
    let time = DateTime::from_timestamp(timestamp.seconds, nanos)?;
    Some(Json::from(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

#[cfg(test)]
mod tests {
    use cursus_api::segmentation::TextSet;
    use serde_json::json;

    use super::*;

    fn field(name: &str) -> FieldUse {
        FieldUse { name: name.to_owned(), has_default: true }
    }

    #[test]
    fn values_become_what_templates_understand_and_others_are_left_out() {
        let attributes = [
            ("plan", Some(value::Kind::Text("pro".to_owned()))),
            ("spend", Some(value::Kind::Number(42.0))),
            ("vip", Some(value::Kind::Flag(true))),
            ("since", Some(value::Kind::Time(Timestamp { seconds: 1_767_225_600, nanos: 0 }))),
            ("tags", Some(value::Kind::Texts(TextSet { items: vec!["a".into(), "b".into()] }))),
            ("empty", None),
            ("secret", Some(value::Kind::Text("not asked for".to_owned()))),
        ];
        let contact = Contact {
            email: "ann@example.com".to_owned(),
            attributes: attributes.map(|(name, kind)| (name.to_owned(), Value { kind })).into(),
            create_time: Some(Timestamp { seconds: 0, nanos: 5_000_000 }),
            ..Contact::default()
        };
        let names =
            ["create_time", "email", "empty", "missing", "plan", "since", "spend", "tags", "vip"];
        let values = Json::Object(values(&contact, &names.map(field)));
        let expected = json!({
            "create_time": "1970-01-01T00:00:00.005Z", "email": "ann@example.com", "plan": "pro",
            "since": "2026-01-01T00:00:00Z", "spend": 42.0, "tags": ["a", "b"], "vip": true,
        });
        assert_eq!(values, expected);
    }
}
