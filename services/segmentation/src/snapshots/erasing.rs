//! Taking erased contacts out of snapshots. Nothing else ever changes one.

use cursus_audience::Bitset;
use cursus_ids::{SnapshotName, WorkspaceId};
use sqlx::{Connection, PgConnection};

use crate::block::position;
use crate::error::Error;
use crate::store;

/// How many snapshots are looked at together.
const PAGE: i64 = 100;

/// Takes a contact out of every snapshot of its workspace, one after the other, and says out of how many. Interrupted, it
/// may begin again.
pub(crate) async fn erase(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinal: i32,
) -> Result<i64, Error> {
    let (block, slot) = position(ordinal);
    let mut after = String::new();
    let mut count = 0;
    loop {
        let page = store::snapshots::with_block(conn, workspace, block, (&after, PAGE)).await?;
        let Some((last, _)) = page.last() else { return Ok(count) };
        last.as_ref().clone_into(&mut after);
        for (id, members) in page {
            if Bitset::from_roaring_bytes(&members)?.contains(slot) {
                let snapshot = SnapshotName::new(workspace.clone(), id);
                let mut tx = conn.begin().await?;
                count += i64::from(take_out(&mut tx, &snapshot, ordinal).await?);
                tx.commit().await?;
            }
        }
    }
}

/// Takes those out of a snapshot who were erased since it was evaluated, and before it is committed. Says whether there
/// were any.
pub(super) async fn take_out_erased(
    tx: &mut PgConnection,
    snapshot: &SnapshotName,
    horizon: i64,
) -> Result<bool, Error> {
    let mut any = false;
    for ordinal in store::departures::erased_since(tx, &snapshot.workspace, horizon).await? {
        any |= take_out(tx, snapshot, ordinal).await?;
    }
    Ok(any)
}

/// Says whether the contact was in it.
async fn take_out(
    tx: &mut PgConnection,
    snapshot: &SnapshotName,
    ordinal: i32,
) -> Result<bool, Error> {
    let (index, slot) = position(ordinal);
    let Some(mut block) = store::snapshots::lock_block(tx, snapshot, index).await? else {
        return Ok(false);
    };
    if !remove(&mut block.members, slot)? {
        return Ok(false);
    }
    let mut labels = Vec::with_capacity(block.labels.len());
    for label in &mut block.labels {
        labels.push(i64::from(remove(label, slot)?));
    }
    store::snapshots::update_block(tx, snapshot, &block).await?;
    store::snapshots::count_less(tx, snapshot, &labels).await?;
    Ok(true)
}

/// Clears a bit of a packed bitmap, and says whether it was set.
fn remove(packed: &mut Vec<u8>, slot: u16) -> Result<bool, Error> {
    let mut bits = Bitset::from_roaring_bytes(packed)?;
    let is_set = bits.contains(slot);
    if is_set {
        bits.remove(slot);
        *packed = bits.to_roaring_bytes();
    }
    Ok(is_set)
}
