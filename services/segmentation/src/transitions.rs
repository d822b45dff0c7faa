//! The history of membership: recording who entered and left, listing it, following it, and since when somebody is in.

mod place;
mod telling;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cursus_feed::{Entry, Feed, Topic};
use cursus_ids::{ContactId, ContactName, SegmentId, SegmentName, WorkspaceId};
use futures::{Stream, StreamExt, stream};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

pub(crate) use self::place::Place;
use self::telling::Telling;
use crate::block::{BlockName, position};
use crate::error::{Error, What};
use crate::grpc::transition::to_facts;
use crate::members::Members;
use crate::page::{self, Page};
use crate::store;
use crate::store::transitions::Recorded;
use crate::transition::{Crossing, Direction, Transition};

/// Who entered and left segments.
pub(crate) const FEED: Topic = Topic::new("transitions");
/// How many transitions are told at once.
const RUN: usize = 1_000;
/// How many rows are looked through for a page, at most this often.
const LOOKS: usize = 8;
/// How many rows of many contacts are read at once.
const MANY: i64 = 64;

/// The history of the segments of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Transitions {
    pub(crate) pool: PgPool,
    pub(crate) feed: Feed,
}

/// Whose history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Segment(SegmentName),
    Contact(ContactName),
}

/// What one fact of the feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) block: i32,
    pub(crate) record_time: DateTime<Utc>,
    pub(crate) crossings: Vec<Crossing>,
}

/// That a contact is in a segment, and since when if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) segment: SegmentName,
    pub(crate) revision: i64,
    pub(crate) enter_time: Option<DateTime<Utc>>,
}

/// Records what crossed for those who watch, in the transaction that makes it so. When that is committed, it is to be
/// announced, or else they are to be woken by it.
pub(crate) async fn record(
    tx: &mut PgConnection,
    crossings: &[(BlockName, Crossing)],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if crossings.is_empty() {
        return Ok(());
    }
    store::transitions::insert(tx, crossings, now).await?;
    let of_one_block = |one: &(BlockName, _), other: &(BlockName, _)| one.0 == other.0;
    let entries: Vec<Entry> = crossings
        .chunk_by(of_one_block)
        .flat_map(|chunk| {
            let (block, _) = &chunk[0];
            let facts = to_facts(block.index, chunk.iter().map(|(_, crossing)| crossing), now);
            let workspace_id = block.workspace.to_string();
            facts.into_iter().map(move |payload| Entry {
                workspace_id: workspace_id.clone(),
                kind: "crossed",
                payload,
            })
        })
        .collect();
    Ok(cursus_feed::append_unannounced(tx, FEED, &entries).await?)
}

impl Of {
    pub(crate) fn workspace(&self) -> &WorkspaceId {
        match self {
            Self::Segment(segment) => &segment.workspace,
            Self::Contact(contact) => &contact.workspace,
        }
    }

    /// What pages of it are told apart by.
    fn collection(&self) -> String {
        match self {
            Self::Segment(segment) => format!("{segment}/transitions"),
            Self::Contact(contact) => format!("{contact}/transitions"),
        }
    }
}

impl Transitions {
    /// A segment's or a contact's transitions, the latest first.
    pub(crate) async fn list(
        &self,
        of: &Of,
        (size, token): (i32, &str),
    ) -> Result<Page<Transition>, Error> {
        let collection = of.collection();
        let asked = page::Asked::new(&collection, size, token, page::USUAL)?;
        let mut conn = self.pool.acquire().await?;
        let mut looking = Looking::new(&mut conn, of, &asked).await?;
        let is_done = looking.look(&mut conn).await?;
        let key = (!is_done).then(|| format!("{} {}", looking.last, looking.told));
        let items = name(&mut conn, of.workspace(), looking.found).await?;
        Ok(Page {
            items,
            next_token: key.map_or_else(String::new, |key| page::token(&collection, &key)),
        })
    }

    /// Follows the transitions of a workspace, or of all, from a place on: runs of them, each with the place after it.
    pub(crate) fn watch(
        &self,
        workspace: Option<String>,
        place: Place,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<(Vec<Transition>, Place), Error>> + Send + 'static + use<> {
        let pages = self.feed.follow(FEED, workspace, place.cursor, shutdown);
        let telling = Telling {
            pool: self.pool.clone(),
            pages: pages.boxed(),
            facts: VecDeque::new(),
            next: place.cursor,
            place,
        };
        stream::try_unfold(telling, |mut telling| async move {
            Ok(telling.run().await?.map(|run| (run, telling)))
        })
    }

    /// The segments that a contact is in, in the order of their ids, with since when.
    pub(crate) async fn segments_of(
        &self,
        members: &Members,
        contact: &ContactName,
        (size, token): (i32, &str),
    ) -> Result<Page<Stay>, Error> {
        let collection = format!("{contact}/segments");
        let asked = page::Asked::new(&collection, size, token, page::USUAL)?;
        let after = asked.after.as_deref().unwrap_or_default();
        let limit = i64::try_from(asked.size + 1).unwrap_or(i64::MAX);
        let mut conn = self.pool.acquire().await?;
        let (block, slot) = whereabouts(&mut conn, contact).await?;
        let ids = store::segments::ready_ids(&mut conn, &contact.workspace, after, limit).await?;
        drop(conn);
        let Page { items: ids, next_token } =
            Page::new(&collection, &asked, ids, ToString::to_string);
        let mut stays = Vec::new();
        for (id, checked) in ids.iter().zip(members.check_each(contact, &ids).await?) {
            match checked {
                Ok((true, revision)) => {
                    let segment = SegmentName::new(contact.workspace.clone(), id.clone());
                    stays.push(Stay { segment, revision, enter_time: None });
                }
                // Those that were deleted meanwhile have no members.
                Ok((false, _)) | Err(Error::NoSuch { .. } | Error::Computing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut conn = self.pool.acquire().await?;
        date(&mut conn, &mut stays, (&block, slot)).await?;
        Ok(Page { items: stays, next_token })
    }
}

/// Finds out since when a contact is in segments.
async fn date(
    conn: &mut PgConnection,
    stays: &mut [Stay],
    (block, slot): (&BlockName, u16),
) -> Result<(), Error> {
    let ids: Vec<String> = stays.iter().map(|stay| stay.segment.id.to_string()).collect();
    let mut latest: HashMap<SegmentId, Recorded> = HashMap::new();
    for alone in store::transitions::latest_of_contact(conn, block, slot, &ids).await? {
        latest.insert(alone.crossing.revision.segment.clone(), alone);
    }
    // What it did together with many may be later.
    let mut last = i64::MAX;
    while !is_settled(&latest, stays, last) {
        let rows = store::transitions::of_many(conn, block, &ids, last, MANY).await?;
        let Some(oldest) = rows.last().map(|row| row.sequence) else { break };
        for row in rows.into_iter().filter(|row| row.crossing.of(slot).is_some()) {
            let segment = row.crossing.revision.segment.clone();
            if latest.get(&segment).is_none_or(|known| known.sequence < row.sequence) {
                latest.insert(segment, row);
            }
        }
        last = oldest - 1;
    }
    for stay in stays {
        let latest = latest.get(&stay.segment.id).map(|it| &it.crossing);
        let entered = latest.filter(|it| it.of(slot) == Some(Direction::Entered));
        stay.enter_time = entered.map(|it| it.time);
    }
    Ok(())
}

/// Whether nothing recorded up to `last` could be later than what is known of each segment.
fn is_settled(latest: &HashMap<SegmentId, Recorded>, stays: &[Stay], last: i64) -> bool {
    stays.iter().all(|stay| latest.get(&stay.segment.id).is_some_and(|it| it.sequence > last))
}

/// Which slot of which block a contact has.
async fn whereabouts(
    conn: &mut PgConnection,
    contact: &ContactName,
) -> Result<(BlockName, u16), Error> {
    let ids = [contact.id.to_string()];
    let found = store::contacts::ordinals(conn, &contact.workspace, &ids).await?;
    let Some((_, ordinal)) = found.into_iter().next() else {
        return Err(Error::no_such(What::Contact, contact));
    };
    let (block, slot) = position(ordinal);
    Ok((BlockName::new(contact.workspace.clone(), block), slot))
}

/// One contact's transition, of which the contact's name is not known yet.
struct Found {
    ordinal: i32,
    direction: Direction,
    recorded: Arc<(Crossing, DateTime<Utc>)>,
}

/// Looking through what was recorded, from the latest on.
struct Looking<'a> {
    of: &'a Of,
    /// Where the contact is, if it is one's that are looked for.
    whereabouts: Option<(BlockName, u16)>,
    /// The latest row that is still to be told, and how many of its transitions are told already.
    last: i64,
    told: usize,
    size: usize,
    found: Vec<Found>,
}

impl<'a> Looking<'a> {
    async fn new(conn: &mut PgConnection, of: &'a Of, asked: &page::Asked) -> Result<Self, Error> {
        let key = |key: &str| {
            let (last, told) = key.split_once(' ')?;
            Some((last.parse().ok()?, told.parse().ok()?))
        };
        let (last, told) = match &asked.after {
            None => (i64::MAX, 0),
            Some(after) => key(after).ok_or_else(page::foreign)?,
        };
        let whereabouts = match of {
            Of::Contact(contact) => Some(whereabouts(conn, contact).await?),
            Of::Segment(segment) => {
                if !store::segments::is_known(conn, segment).await? {
                    return Err(Error::no_such(What::Segment, segment));
                }
                None
            }
        };
        Ok(Self { of, whereabouts, last, told, size: asked.size, found: Vec::new() })
    }

    /// Finds as many as are asked for, and says whether these are all.
    async fn look(&mut self, conn: &mut PgConnection) -> Result<bool, Error> {
        let limit = i64::try_from(self.size).unwrap_or(i64::MAX);
        for _ in 0..LOOKS {
            let rows = match (self.of, &self.whereabouts) {
                (_, Some((block, slot))) => {
                    store::transitions::of_contact(conn, block, *slot, self.last, limit).await?
                }
                (of, None) => {
                    let Of::Segment(segment) = of else { return Ok(true) };
                    store::transitions::of_segment(conn, segment, self.last, limit).await?
                }
            };
            let is_end = rows.len() < self.size;
            for row in rows {
                if !self.take(row) {
                    return Ok(false);
                }
            }
            if is_end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes what a row says, and says whether there was room for all of it.
    fn take(&mut self, row: Recorded) -> bool {
        let Recorded { sequence, block, crossing, record_time } = row;
        if sequence != self.last {
            (self.last, self.told) = (sequence, 0);
        }
        let block = BlockName::new(self.of.workspace().clone(), block);
        let wanted = self.whereabouts.as_ref().map(|(_, slot)| *slot);
        let recorded = Arc::new((crossing, record_time));
        let each =
            recorded.0.each().filter(|(slot, _)| wanted.is_none_or(|wanted| wanted == *slot));
        for (slot, direction) in each.skip(self.told) {
            if self.found.len() == self.size {
                return false;
            }
            let (ordinal, recorded) = (block.ordinal(slot), Arc::clone(&recorded));
            self.found.push(Found { ordinal, direction, recorded });
            self.told += 1;
        }
        (self.last, self.told) = (sequence - 1, 0);
        true
    }
}

/// Puts the names of the contacts to what was found. Those of contacts that are no more are left out.
async fn name(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    found: Vec<Found>,
) -> Result<Vec<Transition>, Error> {
    let mut ordinals: Vec<i32> = found.iter().map(|it| it.ordinal).collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    let names = store::contacts::names(conn, workspace, &ordinals).await?;
    let names: HashMap<i32, ContactId> = names.into_iter().collect();
    let transition = |Found { ordinal, direction, recorded }| {
        let (crossing, record_time) = &*recorded;
        let segment = crossing.revision.segment.clone();
        Some(Transition {
            contact: ContactName::new(workspace.clone(), names.get(&ordinal)?.clone()),
            segment: SegmentName::new(workspace.clone(), segment),
            revision: crossing.revision.number,
            direction,
            cause: crossing.cause,
            time: crossing.time,
            record_time: *record_time,
        })
    };
    Ok(found.into_iter().filter_map(transition).collect())
}
