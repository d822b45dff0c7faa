//! The segmentation service, reduced to what content asks of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use cursus_api::segmentation::{
    Attribute, AttributeKind, BatchGetContactsRequest, BatchGetContactsResponse, Contact,
    ListAttributesRequest, ListAttributesResponse, TextSet, Value, value,
};
use cursus_testkit::fake::{Fake, Serving};
use prost_types::Timestamp;
use tonic::Status;

/// So small that a few attributes take several pages.
const PAGE: usize = 2;

/// What it says, and what it was asked; a test may change it.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// By workspace.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) contacts: Vec<Contact>,
    /// Names of contacts that were merged, each with the name of the one it became.
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) is_down: bool,
    /// The calls for contacts, each with the workspace and how many were asked for.
    pub(crate) asked: Vec<(String, usize)>,
}

#[derive(Debug)]
pub(crate) struct Segmentation {
    script: Arc<Mutex<Script>>,
    pub(crate) address: SocketAddr,
    _serving: Serving,
}

impl Segmentation {
    pub(crate) async fn start() -> Self {
        let script = Script { attributes: attributes(), ..Script::default() };
        let script = Arc::new(Mutex::new(script));
        let serving = fake(&script).serve().await.unwrap();
        Self { script, address: serving.address, _serving: serving }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Has a contact with these attributes.
    pub(crate) fn knows<const N: usize>(&self, id: &str, attributes: [(&str, value::Kind); N]) {
        self.knows_in("acme", id, attributes);
    }

    pub(crate) fn knows_in<const N: usize>(
        &self,
        workspace: &str,
        id: &str,
        attributes: [(&str, value::Kind); N],
    ) {
        let value = |kind| Value { kind: Some(kind) };
        self.script().contacts.push(Contact {
            name: format!("workspaces/{workspace}/contacts/{id}"),
            email: format!("{id}@example.com"),
            attributes: attributes.map(|(name, kind)| (name.to_owned(), value(kind))).into(),
            create_time: Some(Timestamp { seconds: 1_767_225_600, nanos: 0 }),
            ..Contact::default()
        });
    }
}

pub(crate) fn text(text: &str) -> value::Kind {
    value::Kind::Text(text.to_owned())
}

pub(crate) fn texts<const N: usize>(items: [&str; N]) -> value::Kind {
    value::Kind::Texts(TextSet { items: items.map(str::to_owned).into() })
}

fn attributes() -> Vec<Attribute> {
    let attribute = |(id, kind): (&str, AttributeKind)| Attribute {
        name: format!("workspaces/acme/attributes/{id}"),
        kind: kind.into(),
        ..Attribute::default()
    };
    [
        ("create_time", AttributeKind::Time),
        ("email", AttributeKind::Text),
        ("first_name", AttributeKind::Text),
        ("plan", AttributeKind::Text),
        ("renews", AttributeKind::Time),
        ("spend", AttributeKind::Number),
        ("tags", AttributeKind::TextSet),
        ("vip", AttributeKind::Flag),
    ]
    .map(attribute)
    .into()
}

fn fake(script: &Arc<Mutex<Script>>) -> Fake {
    let (lists, batches) = (Arc::clone(script), Arc::clone(script));
    Fake::default()
        .on("segmentation.v1.SegmentationService/ListAttributes", move |request| {
            list(&lists.lock().unwrap(), &request)
        })
        .on("segmentation.v1.SegmentationService/BatchGetContacts", move |request| {
            batch(&mut batches.lock().unwrap(), request)
        })
}

fn list(
    script: &Script,
    request: &ListAttributesRequest,
) -> Result<ListAttributesResponse, Status> {
    if script.is_down {
        return Err(Status::unavailable("segmentation is down"));
    }
    let prefix = format!("{}/", request.parent);
    let all: Vec<_> =
        script.attributes.iter().filter(|it| it.name.starts_with(&prefix)).cloned().collect();
    let start: usize = request.page_token.parse().unwrap_or(0);
    let end = all.len().min(start + PAGE);
    let next_page_token = if end == all.len() { String::new() } else { end.to_string() };
    Ok(ListAttributesResponse { attributes: all[start..end].to_vec(), next_page_token })
}

fn batch(
    script: &mut Script,
    request: BatchGetContactsRequest,
) -> Result<BatchGetContactsResponse, Status> {
    if script.is_down {
        return Err(Status::unavailable("segmentation is down"));
    }
    script.asked.push((request.parent, request.names.len()));
    let named = |name: &String| script.aliases.get(name).unwrap_or(name).clone();
    let found = |name: &String| script.contacts.iter().find(|it| it.name == named(name)).cloned();
    let mut aliases = script.aliases.clone();
    aliases.retain(|alias, _| request.names.contains(alias));
    Ok(BatchGetContactsResponse {
        contacts: request.names.iter().filter_map(found).collect(),
        aliases,
    })
}
