//! Putting a computed revision in the place of the one that is read: for every block at once, with what that changes
//! recorded in the same transaction, so that nobody reads half a segment and no transition is lost or told twice.
//!
//! Evaluations read meanwhile, and write before it or after it, never during it, so that the feed tells both in the order
//! in which they happened. One that began to read before the change and writes one of the containers after it fails, for
//! their rows have changed under it, and is done again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_audience::Bitset;
use cursus_ids::{SegmentName, WorkspaceId};
use sqlx::{Connection, PgConnection};

use crate::block::BlockName;
use crate::error::Error;
use crate::membership::Place;
use crate::segments;
use crate::store;
use crate::store::segments::Revision;
use crate::transition::{Cause, Crossing, difference};
use crate::transitions;

/// Has every revision of a workspace read that is computed in every block, each in a transaction of its own.
pub(crate) async fn promote_computed(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    for segment in store::segments::computed(conn, workspace).await? {
        let mut tx = conn.begin().await?;
        store::segments::exclude_evaluations(&mut tx, workspace).await?;
        if promote(&mut tx, &segment, now).await? {
            // The revision that was read until now can go.
            let contact_count = store::contact_count(&mut tx, workspace).await?;
            segments::revise(&mut tx, workspace, contact_count).await?;
            store::containers::notify(&mut tx, workspace).await?;
            cursus_feed::wake(&mut tx, transitions::FEED).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Has a segment's revision in force read, if it is computed in every block still that the segment is locked, and says
/// whether it was.
async fn promote(
    tx: &mut PgConnection,
    segment: &SegmentName,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some((revision, ready)) = store::segments::lock(tx, segment).await? else {
        return Ok(false);
    };
    let still = store::segments::computed(tx, &segment.workspace).await?;
    if ready == Some(revision) || !still.contains(segment) {
        return Ok(false);
    }
    let place = |revision| Place { segment: segment.clone(), revision };
    let after = store::containers::serve(tx, &place(revision)).await?;
    let before = match ready {
        Some(ready) => store::containers::retire(tx, &place(ready)).await?,
        None => Vec::new(),
    };
    store::segments::set_ready(tx, segment, revision, now).await?;
    record(tx, &place(revision), (before, after), now).await?;
    Ok(true)
}

/// Records that everybody leaves a segment, which is being deleted and is locked.
pub(crate) async fn retire(
    tx: &mut PgConnection,
    place: &Place,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let before = store::containers::retire(tx, place).await?;
    record(tx, place, (before, Vec::new()), now).await
}

/// Members by block.
type Members = Vec<(i32, Bitset)>;

async fn record(
    tx: &mut PgConnection,
    place: &Place,
    (before, after): (Members, Members),
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Place { segment, revision } = place;
    let mut blocks: BTreeMap<i32, (Bitset, Bitset)> = BTreeMap::new();
    for (block, members) in before {
        blocks.entry(block).or_default().0 = members;
    }
    for (block, members) in after {
        blocks.entry(block).or_default().1 = members;
    }
    let crossing = |(block, (before, after)): (i32, (Bitset, Bitset))| {
        let (entered, left) = difference(&before, &after);
        let revision = Revision { segment: segment.id.clone(), number: *revision };
        let crossing = Crossing { revision, cause: Cause::RuleChanged, time: now, entered, left };
        (BlockName::new(segment.workspace.clone(), block), crossing)
    };
    let crossings: Vec<_> =
        blocks.into_iter().map(crossing).filter(|(_, crossing)| crossing.len() > 0).collect();
    transitions::record(tx, &crossings, now).await
}
