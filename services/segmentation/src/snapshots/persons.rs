//! Who the members of a snapshot are now, for they may have been merged since. A snapshot stays as it is; whoever reads it
//! is told a person once, and whoever was erased never.

use std::collections::{BTreeMap, HashSet};

use cursus_audience::Bitset;
use cursus_ids::{ContactId, SnapshotName};
use sqlx::PgConnection;

use crate::block::position;
use crate::error::Error;
use crate::store;
use crate::store::departures::Merged;

/// The contacts that some members are now, in the order of their ordinals.
pub(super) async fn of(
    conn: &mut PgConnection,
    snapshot: &SnapshotName,
    ordinals: &[i32],
) -> Result<BTreeMap<i32, (ContactId, String)>, Error> {
    let workspace = &snapshot.workspace;
    let living = store::contacts::addresses(conn, workspace, ordinals).await?;
    let mut persons: BTreeMap<i32, (ContactId, String)> =
        living.into_iter().map(|(ordinal, contact, email)| (ordinal, (contact, email))).collect();
    if persons.len() < ordinals.len() {
        for merged in told(conn, snapshot, ordinals).await? {
            persons.insert(merged.ordinal, (merged.target, merged.target_email));
        }
    }
    Ok(persons)
}

/// The merged members who are told as the contact they became. That contact is told in its own place if it is a member,
/// and else in the first place of those who became it.
async fn told(
    conn: &mut PgConnection,
    snapshot: &SnapshotName,
    ordinals: &[i32],
) -> Result<Vec<Merged>, Error> {
    let workspace = &snapshot.workspace;
    let mut merged = store::departures::merged(conn, workspace, ordinals).await?;
    if merged.is_empty() {
        return Ok(merged);
    }
    let targets: HashSet<i32> = merged.iter().map(|merged| merged.target_ordinal).collect();
    let targets: Vec<i32> = targets.into_iter().collect();
    let persons = store::departures::persons(conn, workspace, &targets).await?;
    let blocks: HashSet<i32> = persons.iter().map(|(ordinal, _)| position(*ordinal).0).collect();
    let blocks: Vec<i32> = blocks.into_iter().collect();
    let mut members = BTreeMap::new();
    for (block, packed) in store::snapshots::members_of(conn, snapshot, &blocks).await? {
        members.insert(block, Bitset::from_roaring_bytes(&packed)?);
    }
    let is_member = |ordinal: i32| {
        let (block, slot) = position(ordinal);
        members.get(&block).is_some_and(|members| members.contains(slot))
    };
    let mut places: BTreeMap<i32, i32> = BTreeMap::new();
    for (ordinal, target) in persons.into_iter().filter(|(ordinal, _)| is_member(*ordinal)) {
        let place = places.entry(target).or_insert(ordinal);
        let is_own = *place == target;
        if !is_own && (ordinal == target || ordinal < *place) {
            *place = ordinal;
        }
    }
    merged.retain(|merged| places.get(&merged.target_ordinal) == Some(&merged.ordinal));
    Ok(merged)
}
