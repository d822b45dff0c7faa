//! Streams: imports part by part, and events as they are recorded.

use cursus_api::segmentation as proto;
use cursus_chassis::Caller;
use cursus_feed::Page;
use cursus_ids::WorkspaceId;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tonic::{Status, Streaming};

use super::request::{at_most, enter};
use super::{Grpc, convert};
use crate::error::Error;
use crate::imports::Imported;

/// The most rows of one part of an import.
pub(super) const MOST_IN_A_PART: usize = 5_000;
/// Responses are cut here: clients usually accept 4 MiB.
const LARGEST: usize = 2 << 20;

impl Grpc {
    pub(super) async fn take_contacts(
        &self,
        caller: &Caller,
        mut parts: Streaming<proto::ImportContactsRequest>,
    ) -> Result<proto::ImportContactsResponse, Status> {
        let mut imported = Imported::default();
        let mut parent = Parent::default();
        while let Some(part) = parts.message().await? {
            let workspace = parent.of(caller, part.parent)?;
            at_most(MOST_IN_A_PART, part.contacts.len(), "contacts")?;
            let rows =
                part.contacts.into_iter().map(|told| convert::told(told, &workspace)).collect();
            imported.contacts(&self.contacts, &workspace, rows).await?;
        }
        Ok(imported.into())
    }

    pub(super) async fn take_events(
        &self,
        caller: &Caller,
        mut parts: Streaming<proto::ImportEventsRequest>,
    ) -> Result<proto::ImportEventsResponse, Status> {
        let mut imported = Imported::default();
        let mut parent = Parent::default();
        while let Some(part) = parts.message().await? {
            let workspace = parent.of(caller, part.parent)?;
            at_most(MOST_IN_A_PART, part.events.len(), "events")?;
            let rows =
                part.events.into_iter().map(|told| convert::event(told, &workspace)).collect();
            imported.events(&self.events, &workspace, rows).await?;
        }
        Ok(imported.into())
    }
}

/// The workspace that every part of an import must be for.
#[derive(Default)]
pub(super) struct Parent(Option<(String, WorkspaceId)>);

impl Parent {
    pub(super) fn of(&mut self, caller: &Caller, parent: String) -> Result<WorkspaceId, Status> {
        match &self.0 {
            Some((first, workspace)) if *first == parent => Ok(workspace.clone()),
            Some((first, _)) => {
                Err(Error::invalid("parent", format!("this import is for `{first}`")).into())
            }
            None => {
                let workspace = enter(caller, &parent)?;
                self.0 = Some((parent, workspace.clone()));
                Ok(workspace)
            }
        }
    }
}

/// What those who watch are sent for the pages of the feed.
pub(super) fn responses(
    pages: impl Stream<Item = Result<Page, cursus_feed::Error>> + Send + 'static,
) -> BoxStream<'static, Result<proto::WatchEventsResponse, Status>> {
    let cut = |page| match cut(page) {
        Ok(responses) => stream::iter(responses.into_iter().map(Ok).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error.into())]),
    };
    Box::pin(pages.flat_map(cut))
}

/// A page in parts that can be sent, each with the cursor to go on from. A page without facts is sent, too: it says how
/// far the feed was read.
fn cut(page: Result<Page, cursus_feed::Error>) -> Result<Vec<proto::WatchEventsResponse>, Error> {
    let page = page?;
    let mut responses = Vec::new();
    let mut events = Vec::new();
    let mut size = 0;
    for fact in &page.facts {
        let event = proto::Event::decode(fact.payload.as_slice());
        events.push(event.map_err(|_| Error::Corrupt("fact"))?);
        size += fact.payload.len();
        if size >= LARGEST {
            let cursor = fact.cursor.to_string();
            responses
                .push(proto::WatchEventsResponse { events: std::mem::take(&mut events), cursor });
            size = 0;
        }
    }
    responses.push(proto::WatchEventsResponse { events, cursor: page.next.to_string() });
    Ok(responses)
}
