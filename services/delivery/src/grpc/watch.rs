//! `WatchOutcomes`: the feed as the wire has it.

use std::pin::Pin;

use cursus_api::delivery as proto;
use cursus_feed::{Cursor, Feed, Page};
use cursus_ids::WorkspaceId;
use futures::{Stream, StreamExt};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::convert;
use crate::error::Error;
use crate::facts::OUTCOMES;

pub(super) type Outcomes =
    Pin<Box<dyn Stream<Item = Result<proto::WatchOutcomesResponse, Status>> + Send>>;

/// Nothing for all workspaces.
pub(super) fn parent(text: &str) -> Result<Option<WorkspaceId>, Error> {
    if text == "workspaces/-" { Ok(None) } else { convert::parent(text).map(Some) }
}

pub(super) fn outcomes(
    feed: &Feed,
    workspace: Option<WorkspaceId>,
    cursor: &str,
    shutdown: CancellationToken,
) -> Result<Outcomes, Error> {
    let after: Cursor = cursor.parse().map_err(cursus_feed::Error::from)?;
    let workspace = workspace.map(|workspace| workspace.to_string());
    let pages = feed.follow(OUTCOMES, workspace, after, shutdown);
    Ok(Box::pin(pages.map(|page| told(&page.map_err(Error::from)?))))
}

fn told(page: &Page) -> Result<proto::WatchOutcomesResponse, Status> {
    let outcomes = page.facts.iter().map(|fact| {
        proto::Outcome::decode(fact.payload.as_slice())
            .map_err(|error| cursus_fault::internal(&error))
    });
    let outcomes = outcomes.collect::<Result<_, Status>>()?;
    Ok(proto::WatchOutcomesResponse { outcomes, cursor: page.next.to_string() })
}
