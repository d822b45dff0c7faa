//! The delivery service, as far as it is asked: what it observes, as events.

use std::collections::BTreeMap;

use cursus_api::delivery as proto;
use cursus_api::delivery::delivery_service_client::DeliveryServiceClient;
use cursus_chassis::{Peer, peer};
use cursus_feed::{Cursor, MalformedCursor};
use cursus_ids::{ContactName, MessageName, WorkspaceId};
use tonic::{Status, Streaming};

use crate::event::{Draft, OBSERVED};
use crate::grpc::rule::moment;
use crate::value::Value;

/// The delivery service.
#[derive(Clone, Debug)]
pub(crate) struct Delivery(DeliveryServiceClient<peer::Streams>);

/// Outcomes as they happen.
#[derive(Debug)]
pub(crate) struct Runs(Streaming<proto::WatchOutcomesResponse>);

/// A run of outcomes.
#[derive(Debug)]
pub(crate) struct Run {
    /// What they mean, in the order of the feed.
    pub(crate) events: BTreeMap<WorkspaceId, Vec<Draft>>,
    /// Where to go on when this has taken effect.
    pub(crate) next: Cursor,
}

/// Why outcomes cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("delivery answers {:?}: {}", .0.code(), .0.message())]
    Refused(Status),
    #[error("delivery sent a cursor that is none")]
    Cursor(#[from] MalformedCursor),
}

impl Delivery {
    pub(crate) fn new(peer: &Peer) -> Self {
        Self(DeliveryServiceClient::new(peer.streams()))
    }

    /// Follows the outcomes of all workspaces.
    pub(crate) async fn watch(&self, after: Cursor) -> Result<Runs, Failure> {
        let request = proto::WatchOutcomesRequest {
            parent: "workspaces/-".to_owned(),
            cursor: after.to_string(),
        };
        let runs = self.0.clone().watch_outcomes(request).await.map_err(Failure::Refused)?;
        Ok(Runs(runs.into_inner()))
    }
}

impl Runs {
    /// The next run; `None` when delivery has ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Run>, Failure> {
        let Some(run) = self.0.message().await.map_err(Failure::Refused)? else { return Ok(None) };
        Ok(Some(Run { next: run.cursor.parse()?, events: by_workspace(run.outcomes) }))
    }
}

fn by_workspace(outcomes: Vec<proto::Outcome>) -> BTreeMap<WorkspaceId, Vec<Draft>> {
    let mut found: BTreeMap<WorkspaceId, Vec<Draft>> = BTreeMap::new();
    for (workspace, draft) in outcomes.into_iter().filter_map(event) {
        found.entry(workspace).or_default().push(draft);
    }
    found
}

fn event(outcome: proto::Outcome) -> Option<(WorkspaceId, Draft)> {
    use proto::outcome::Kind;
    let name = match outcome.kind() {
        Kind::Accepted => "accepted",
        Kind::Failed => "failed",
        Kind::Opened => "opened",
        Kind::Clicked => "clicked",
        Kind::Unsubscribed => "unsubscribed",
        // Nobody did anything.
        Kind::Unspecified | Kind::HeldOut | Kind::Ambiguous => return None,
    };
    let actor = match outcome.actor() {
        proto::Actor::Unspecified => None,
        proto::Actor::Human => Some("human"),
        proto::Actor::Machine => Some("machine"),
        proto::Actor::Unknown => Some("unknown"),
    };
    let message: Option<MessageName> = outcome.message.parse().ok();
    let broadcast = message.map(|message| message.broadcast.id.to_string());
    let properties = [("actor", actor.map(str::to_owned)), ("broadcast", broadcast)];
    let contact: ContactName = outcome.contact.parse().ok()?;
    let draft = Draft {
        id: outcome.outcome_id,
        contact: contact.id,
        name: format!("{OBSERVED}{name}"),
        time: moment(outcome.outcome_time?)?,
        properties: properties
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::Text(value?))))
            .collect(),
    };
    Some((contact.workspace, draft))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kind: proto::outcome::Kind, actor: proto::Actor) -> proto::Outcome {
        proto::Outcome {
            outcome_id: "o1".to_owned(),
            kind: kind.into(),
            outcome_time: Some(prost_types::Timestamp { seconds: 5, nanos: 0 }),
            message: "workspaces/acme/broadcasts/spring/messages/m1".to_owned(),
            contact: "workspaces/acme/contacts/ana".to_owned(),
            actor: actor.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_click_is_an_event_that_says_who_and_of_which_broadcast() {
        let clicked = outcome(proto::outcome::Kind::Clicked, proto::Actor::Machine);
        let (workspace, draft) = event(clicked).unwrap();
        assert_eq!((workspace.as_ref(), draft.name.as_str()), ("acme", "email.clicked"));
        assert_eq!(draft.properties["actor"], Value::Text("machine".to_owned()));
        assert_eq!(draft.properties["broadcast"], Value::Text("spring".to_owned()));
    }

    #[test]
    fn what_has_no_actor_says_nothing_about_one() {
        let failed = outcome(proto::outcome::Kind::Failed, proto::Actor::Unspecified);
        assert!(!event(failed).unwrap().1.properties.contains_key("actor"));
    }

    #[test]
    fn what_the_contact_did_not_experience_is_no_event() {
        for kind in [proto::outcome::Kind::HeldOut, proto::outcome::Kind::Ambiguous] {
            assert!(event(outcome(kind, proto::Actor::Unspecified)).is_none(), "{kind:?}");
        }
    }
}
