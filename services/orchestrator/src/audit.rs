//! The record of what was asked, decided and done: append-only, each entry holding the hash of the one before, so
//! that a change of the past shows.

use chrono::{DateTime, Utc};
use cursus_ids::WorkspaceId;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::store;

/// What to record.
#[derive(Debug, Clone)]
pub(crate) struct Deed<'a> {
    pub(crate) subject: &'a str,
    pub(crate) action: &'static str,
    pub(crate) resource: String,
    pub(crate) detail: String,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) sequence: i64,
    pub(crate) time: DateTime<Utc>,
    pub(crate) subject: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) detail: String,
    pub(crate) hash: Vec<u8>,
}

/// Who the orchestrator is in the record.
pub(crate) const ITSELF: &str = "orchestrator";

/// Records a deed in the transaction that does it.
pub(crate) async fn record(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    deed: Deed<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // Locks the end of the workspace's chain until the transaction is over.
    let (sequence, before) = store::audit::head(conn, workspace).await?;
    let mut entry = Entry {
        sequence: sequence + 1,
        time: now,
        subject: deed.subject.to_owned(),
        action: deed.action.to_owned(),
        resource: deed.resource,
        detail: deed.detail,
        hash: Vec::new(),
    };
    entry.hash = hash(&before, &entry);
    store::audit::append(conn, workspace, &entry).await
}

/// SHA-256 over the hash before and the entry's fields, each with its length.
pub(crate) fn hash(before: &[u8], entry: &Entry) -> Vec<u8> {
    let mut hasher = Sha256::new();
    let (sequence, time) =
        (entry.sequence.to_be_bytes(), entry.time.timestamp_micros().to_be_bytes());
    let texts = [&entry.subject, &entry.action, &entry.resource, &entry.detail];
    for part in
        [before, &sequence, &time].into_iter().chain(texts.map(|text: &String| text.as_bytes()))
    {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_field_changes_the_hash() {
        let entry = Entry {
            sequence: 1,
            time: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
            subject: "ada".to_owned(),
            action: "campaign.created".to_owned(),
            resource: "r".to_owned(),
            detail: "d".to_owned(),
            hash: Vec::new(),
        };
        let changed = |change: fn(&mut Entry)| {
            let mut other = entry.clone();
            change(&mut other);
            hash(b"before", &other)
        };
        let hashes = [
            hash(b"before", &entry),
            hash(b"after", &entry),
            changed(|it| it.sequence = 2),
            changed(|it| it.time += chrono::TimeDelta::microseconds(1)),
            changed(|it| it.subject.push('x')),
            changed(|it| it.action.push('x')),
            changed(|it| it.resource.push('x')),
            changed(|it| it.detail.push('x')),
        ];
        let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }
}
