//! Following what delivery observes: outcomes of messages become events of contacts, each once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use cursus_api::delivery as proto;
use cursus_api::delivery::delivery_service_client::DeliveryServiceClient;
use cursus_chassis::peer;
use cursus_claim::Claim;
use cursus_feed::Cursor;
use cursus_ids::{ContactName, MessageName, WorkspaceId};
use sqlx::Connection;

use crate::event::{Draft, OBSERVED, Source};
use crate::events::Events;
use crate::grpc::rule::moment;
use crate::metrics;
use crate::value::Value;

/// What our place in the feed is stored under.
const FEED: &str = "delivery.outcomes";
/// The pause before asking delivery again after it failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the outcomes of all workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    pub(crate) delivery: DeliveryServiceClient<peer::Streams>,
    pub(crate) events: Events,
}

impl Outcomes {
    /// Works on the only partition, so that one replica follows.
    pub(crate) async fn work(self, mut claim: Claim) -> anyhow::Result<()> {
        while !claim.yielding.is_cancelled() {
            let cursor = cursus_feed::load_cursor(&mut claim.conn, FEED).await?;
            let yielding = claim.yielding.clone();
            let request = proto::WatchOutcomesRequest {
                parent: "workspaces/-".to_owned(),
                cursor: cursor.to_string(),
            };
            let mut delivery = self.delivery.clone();
            let watching = yielding.run_until_cancelled(delivery.watch_outcomes(request)).await;
            match watching {
                None => return Ok(()),
                Some(Ok(runs)) => self.follow(&mut claim, cursor, runs.into_inner()).await?,
                Some(Err(status)) => warn(&status),
            }
            claim.rest(PAUSE).await;
        }
        Ok(())
    }

    /// Follows until the stream ends; fails when the database does.
    async fn follow(
        &self,
        claim: &mut Claim,
        mut cursor: Cursor,
        mut runs: tonic::Streaming<proto::WatchOutcomesResponse>,
    ) -> anyhow::Result<()> {
        let yielding = claim.yielding.clone();
        while let Some(run) = yielding.run_until_cancelled(runs.message()).await {
            let run = match run {
                Ok(Some(run)) => run,
                Ok(None) => return Ok(()),
                Err(status) => {
                    warn(&status);
                    return Ok(());
                }
            };
            cursor = self.take(claim, cursor, run).await?;
        }
        Ok(())
    }

    /// Records a run of outcomes, and how far we have come, in one transaction.
    async fn take(
        &self,
        claim: &mut Claim,
        cursor: Cursor,
        run: proto::WatchOutcomesResponse,
    ) -> anyhow::Result<Cursor> {
        let next: Cursor = run.cursor.parse().context("delivery sent a cursor that is none")?;
        let mut tx = claim.conn.begin().await?;
        for (workspace, drafts) in by_workspace(run.outcomes) {
            let recorded =
                self.events.record_in(&mut tx, &workspace, &drafts, Source::Delivery).await?;
            metrics::outcomes_of_nobody(recorded.refused.len());
        }
        cursus_feed::store_cursor(&mut tx, FEED, cursor, next).await?;
        tx.commit().await?;
        Ok(next)
    }
}

fn warn(status: &tonic::Status) {
    tracing::warn!(
        code = ?status.code(),
        message = status.message(),
        "outcomes cannot be followed; trying again"
    );
}

/// The events that outcomes mean, in the order of the feed.
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
