//! Erasing what is left of contacts that have disappeared: step by step, each committed with how far it came, so that
//! whatever interrupts it, it goes on from there. By one replica, for facts are searched for all erasures together.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::DateTime;
use cursus_ambient::Ambient;
use cursus_claim::Claim;
use cursus_feed::Cursor;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::block::{BlockName, position};
use crate::erasure::{Counts, Running, Stage};
use crate::error::Error;
use crate::event::OBSERVED;
use crate::events::FEED;
use crate::grpc::privacy;
use crate::snapshots::erasing;
use crate::store;

/// How many erasures are looked at together.
const PAGE: i64 = 1_000;
/// How many events are deleted in one transaction.
const EVENTS: i64 = 5_000;
/// How many facts are read at once.
const FACTS: u16 = 5_000;

/// Erases what is left.
#[derive(Clone, Debug)]
pub(crate) struct Erasing {
    pub(crate) ambient: Ambient,
    /// How often to look whether there is something to do.
    pub(crate) poll_interval: Duration,
}

/// Whether a step came further, or waits for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Waiting,
}

impl Erasing {
    /// Works on the only partition.
    pub(crate) async fn work(self, mut claim: Claim) -> anyhow::Result<()> {
        while !claim.yielding.is_cancelled() {
            if self.round(&mut claim).await? == Step::Waiting {
                claim.rest(self.poll_interval).await;
            }
        }
        Ok(())
    }

    /// Does a step of everything that is not complete.
    async fn round(&self, claim: &mut Claim) -> Result<Step, Error> {
        let mut outcome = Step::Waiting;
        let mut after = (DateTime::UNIX_EPOCH, Uuid::nil());
        loop {
            let page = store::erasures::running(&mut claim.conn, after, PAGE).await?;
            let Some((time, last)) = page.last() else { return Ok(outcome) };
            after = (*time, last.id);
            let mut searching = Vec::new();
            for (_, erasure) in page {
                if claim.yielding.is_cancelled() {
                    return Ok(outcome);
                }
                let step = match erasure.stage {
                    Stage::Facts => {
                        searching.push(erasure);
                        continue;
                    }
                    _ => self.step(&mut claim.conn, erasure).await?,
                };
                if step == Step::Done {
                    outcome = Step::Done;
                }
            }
            if !searching.is_empty() {
                search(&mut claim.conn, searching).await?;
                outcome = Step::Done;
            }
        }
    }

    async fn step(&self, conn: &mut PgConnection, mut erasure: Running) -> Result<Step, Error> {
        let mut found = Counts::default();
        match erasure.stage {
            Stage::Events => return events(conn, erasure).await,
            Stage::Settling => return settle(conn, erasure).await,
            Stage::Facts => {}
            Stage::Snapshots => {
                found.snapshots = erasing::erase(conn, &erasure.workspace, erasure.ordinal).await?;
                erasure.stage = Stage::Answers;
                store::erasures::advance(conn, &erasure, found).await?;
            }
            Stage::Answers => {
                let mut tx = conn.begin().await?;
                let mark = |id: &String| privacy::contact_mark(&erasure.workspace, id);
                let marks: Vec<Vec<u8>> = erasure.contact_ids.iter().map(mark).collect();
                let deleted =
                    store::erasures::delete_answers(&mut tx, &erasure.workspace, &marks).await?;
                found.answers = i64::try_from(deleted).unwrap_or(i64::MAX);
                erasure.stage = Stage::Segments;
                store::erasures::advance(&mut tx, &erasure, found).await?;
                tx.commit().await?;
            }
            Stage::Segments => {
                let (index, slot) = position(erasure.ordinal);
                let block = BlockName::new(erasure.workspace.clone(), index);
                if is_member(conn, &block, slot).await? {
                    return Ok(Step::Waiting);
                }
                let mut tx = conn.begin().await?;
                store::transitions::delete_of_contact(&mut tx, &block, slot).await?;
                store::erasures::complete(&mut tx, &erasure, self.ambient.now()).await?;
                tx.commit().await?;
            }
        }
        Ok(Step::Done)
    }
}

/// Deletes some events and their ids.
async fn events(conn: &mut PgConnection, mut erasure: Running) -> Result<Step, Error> {
    let mut tx = conn.begin().await?;
    let workspace = &erasure.workspace;
    let names = store::events::names(&mut tx, workspace).await?;
    let wanted = (names.as_slice(), OBSERVED);
    let deleted =
        store::events::delete(&mut tx, workspace, wanted, erasure.ordinal, EVENTS).await?;
    if deleted < EVENTS {
        erasure.stage = Stage::Settling;
    }
    let found = Counts { events: deleted, ..Counts::default() };
    store::erasures::advance(&mut tx, &erasure, found).await?;
    tx.commit().await?;
    Ok(Step::Done)
}

/// Waits for everybody who began to write before the first look: they may write about the contact still.
async fn settle(conn: &mut PgConnection, mut erasure: Running) -> Result<Step, Error> {
    match erasure.horizon {
        None => {
            let mut tx = conn.begin().await?;
            erasure.horizon = Some(store::erasures::transaction(&mut tx).await?);
            store::erasures::advance(&mut tx, &erasure, Counts::default()).await?;
            tx.commit().await?;
        }
        Some(horizon) if store::departures::horizon(conn).await? <= horizon => {
            return Ok(Step::Waiting);
        }
        Some(_) => {
            erasure.stage = Stage::Facts;
            store::erasures::advance(conn, &erasure, Counts::default()).await?;
        }
    }
    Ok(Step::Done)
}

/// Blanks what could be watched, a page of facts at a time, for all erasures that have come as far as the furthest. Those
/// that ask for it meanwhile begin together when these are through: two passes at most for each, however many there are.
async fn search(conn: &mut PgConnection, erasures: Vec<Running>) -> Result<(), Error> {
    let mut places = Vec::with_capacity(erasures.len());
    for erasure in erasures {
        let cursor: Cursor = erasure.fact_cursor.parse().map_err(cursus_feed::Error::from)?;
        places.push((cursor, erasure));
    }
    let Some(place) = places.iter().map(|(cursor, _)| *cursor).max() else { return Ok(()) };
    let mut together: Vec<Running> =
        places.into_iter().filter(|(cursor, _)| *cursor == place).map(|(_, it)| it).collect();
    let page = match cursus_feed::read(conn, FEED, None, place, FACTS).await {
        // What lay there was dropped meanwhile.
        Err(cursus_feed::Error::Expired) => {
            cursus_feed::read(conn, FEED, None, Cursor::START, FACTS).await?
        }
        page => page?,
    };
    let mut owners: HashMap<String, usize> = HashMap::new();
    for (owner, erasure) in together.iter().enumerate() {
        let names = erasure.contact_ids.iter();
        owners.extend(names.map(|id| (privacy::contact_name(&erasure.workspace, id), owner)));
    }
    let mut found = vec![0; together.len()];
    let mut doomed = HashSet::new();
    for fact in &page.facts {
        let contact = privacy::contact_of_event(&fact.payload)?;
        if let Some(owner) = owners.get(&contact) {
            found[*owner] += 1;
            doomed.insert(fact.cursor);
        }
    }
    let is_end = page.facts.len() < usize::from(FACTS);
    let mut tx = conn.begin().await?;
    let doomed: Vec<Cursor> = doomed.into_iter().collect();
    cursus_feed::blank(&mut tx, FEED, &doomed).await?;
    for (erasure, facts) in together.iter_mut().zip(found) {
        erasure.fact_cursor = page.next.to_string();
        if is_end {
            erasure.stage = Stage::Snapshots;
        }
        store::erasures::advance(&mut tx, erasure, Counts { facts, ..Counts::default() }).await?;
    }
    Ok(tx.commit().await?)
}

/// Whether a segment may still have the contact, or tell that it had: it has until evaluation has taken in that the contact departed.
async fn is_member(conn: &mut PgConnection, block: &BlockName, slot: u16) -> Result<bool, Error> {
    if store::changes::awaits(conn, block, slot).await? {
        return Ok(true);
    }
    for packed in store::containers::of_block(conn, block).await? {
        let (members, drift) = packed.unpack()?;
        if members.contains(slot) || drift.contains(slot) {
            return Ok(true);
        }
    }
    Ok(false)
}
