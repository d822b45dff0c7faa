//! Outcomes on their way into the feed.

use cursus_feed::{Entry, Topic};
use sqlx::PgConnection;

use crate::grpc;
use crate::outcome::Outcome;

/// The feed that `WatchOutcomes` serves.
pub(crate) const OUTCOMES: Topic = Topic::new("outcomes");

/// Appends facts in the transaction that makes them so.
pub(crate) async fn append(
    conn: &mut PgConnection,
    outcomes: &[Outcome],
) -> Result<(), cursus_feed::Error> {
    let entries: Vec<Entry> = outcomes
        .iter()
        .map(|outcome| Entry {
            workspace_id: outcome.about.broadcast.workspace.to_string(),
            kind: outcome.kind.as_str(),
            payload: grpc::convert::encoded(outcome),
        })
        .collect();
    cursus_feed::append(conn, OUTCOMES, &entries).await
}
