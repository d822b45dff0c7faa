//! Asking who is in a segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use cursus_audience::Bitset;
use cursus_ids::{ContactId, ContactName, SegmentId, SegmentName};
use futures::{Stream, StreamExt, stream};
use sqlx::PgPool;

use crate::bitmaps::{Bitmap, Bitmaps, Named};
use crate::block::{BlockName, position};
use crate::error::{Error, What};
use crate::index::Index;
use crate::membership::{Place, Served};
use crate::metrics;
use crate::ordinals::Ordinals;
use crate::store;
use crate::store::containers::Packed;

/// How many members are told at once.
const RUN: usize = 1_000;
/// How many segments are looked at together.
const AT_ONCE: usize = 16;

/// The members of segments.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub(crate) pool: PgPool,
    pub(crate) ordinals: Ordinals,
    pub(crate) index: Index,
    pub(crate) bitmaps: Bitmaps,
}

/// Which slots of which blocks are asked about.
type Asked = BTreeMap<i32, Vec<u16>>;

/// Of each block, whether the asked are members, in their order.
type Found = BTreeMap<i32, std::vec::IntoIter<bool>>;

impl Members {
    /// Says which contacts are in a segment, and by which revision. Who does not exist is in none.
    pub(crate) async fn check(
        &self,
        segment: &SegmentName,
        contacts: &[ContactName],
    ) -> Result<(Vec<bool>, i64), Error> {
        let mut served = self.served(segment).await?;
        let ordinals = self.ordinals(contacts).await?;
        let asked = by_block(&ordinals);
        for _ in 0..ATTEMPTS {
            let place = Place { segment: segment.clone(), revision: served.revision };
            if let Some(mut found) = self.members(&place, &served, &asked).await? {
                let is_member = |ordinal: &Option<i32>| {
                    let block = ordinal.map(|ordinal| position(ordinal).0);
                    let bits = block.and_then(|block| found.get_mut(&block));
                    bits.and_then(Iterator::next).unwrap_or(false)
                };
                return Ok((ordinals.iter().map(is_member).collect(), place.revision));
            }
            // What was read has been replaced meanwhile.
            served = self.reread(segment).await?;
        }
        Err(Error::Uncertain)
    }

    /// Says in which of some segments a contact is, and by which revision of each.
    pub(crate) async fn check_segments(
        &self,
        contact: &ContactName,
        segments: &[SegmentId],
    ) -> Result<Vec<(bool, i64)>, Error> {
        self.check_each(contact, segments).await?.into_iter().collect()
    }

    /// The same, where the segments that cannot be told about do not matter to the others.
    pub(crate) async fn check_each(
        &self,
        contact: &ContactName,
        segments: &[SegmentId],
    ) -> Result<Vec<Result<(bool, i64), Error>>, Error> {
        let name = |id: &SegmentId| SegmentName::new(contact.workspace.clone(), id.clone());
        let segments: Vec<SegmentName> = segments.iter().map(name).collect();
        self.index.prepare(&segments).await?;
        let check = |segment: SegmentName| async move {
            let (members, revision) = self.check(&segment, std::slice::from_ref(contact)).await?;
            Ok((members.first().is_some_and(|is_member| *is_member), revision))
        };
        // Copies of different segments may be on different nodes of a Redis cluster, so each is asked for by itself.
        Ok(stream::iter(segments).map(check).buffered(AT_ONCE).collect().await)
    }

    /// All members in the order in which they were first written, as of when this is called.
    pub(crate) async fn all(
        &self,
        segment: &SegmentName,
    ) -> Result<impl Stream<Item = Result<Vec<ContactId>, Error>> + Send + 'static + use<>, Error>
    {
        self.reread(segment).await?;
        let mut conn = self.pool.acquire().await?;
        let blocks = store::containers::all_members(&mut conn, segment).await?;
        drop(conn);
        let telling = Telling {
            pool: self.pool.clone(),
            segment: segment.clone(),
            blocks: blocks.into_iter(),
            ordinals: Vec::new().into_iter(),
        };
        Ok(stream::try_unfold(telling, |mut telling| async move {
            Ok(telling.run().await?.map(|run| (run, telling)))
        }))
    }

    async fn served(&self, segment: &SegmentName) -> Result<Arc<Served>, Error> {
        match self.index.served(segment).await? {
            Some(served) => Ok(served),
            None => Err(self.missing(segment).await),
        }
    }

    async fn reread(&self, segment: &SegmentName) -> Result<Arc<Served>, Error> {
        match self.index.reread(segment).await? {
            Some(served) => Ok(served),
            None => Err(self.missing(segment).await),
        }
    }

    /// Why nothing is read for a segment.
    async fn missing(&self, segment: &SegmentName) -> Error {
        let found = async {
            let mut conn = self.pool.acquire().await?;
            store::segments::by_id(&mut conn, &segment.workspace, &[segment.id.to_string()]).await
        };
        match found.await {
            Err(error) => error,
            Ok(found) if found.is_empty() => Error::no_such(What::Segment, segment),
            Ok(_) => Error::Computing(segment.to_string()),
        }
    }

    async fn ordinals(&self, contacts: &[ContactName]) -> Result<Vec<Option<i32>>, Error> {
        let found = self.ordinals.remembered(contacts);
        if found.iter().all(Option::is_some) {
            return Ok(found);
        }
        let mut conn = self.pool.acquire().await?;
        self.ordinals.of(&mut conn, contacts).await
    }

    /// Which of the asked are members, from Redis and, where that has no copy, from Postgres. `None` if a container is
    /// no longer there.
    async fn members(
        &self,
        place: &Place,
        served: &Served,
        asked: &Asked,
    ) -> Result<Option<Found>, Error> {
        let named = |(block, slots): (&i32, &Vec<u16>)| {
            let version = *served.versions.get(block)?;
            Some((*block, (Named::new(place, *block, version), slots.clone())))
        };
        let (blocks, copies): (Vec<i32>, Vec<(Named, Vec<u16>)>) =
            asked.iter().filter_map(named).unzip();
        if blocks.is_empty() {
            return Ok(Some(Found::new()));
        }
        let mut found = Found::new();
        let mut uncopied = Vec::new();
        for (bits, block) in self.bitmaps.check(&copies).await.into_iter().zip(blocks) {
            match bits {
                Some(bits) => drop(found.insert(block, bits.into_iter())),
                None => uncopied.push(block),
            }
        }
        let Some(read) = self.read(place, &uncopied).await? else { return Ok(None) };
        for (block, members) in read {
            let bits: Vec<bool> = asked[&block].iter().map(|it| members.contains(*it)).collect();
            found.insert(block, bits.into_iter());
        }
        Ok(Some(found))
    }

    /// Reads containers from Postgres, and copies them.
    async fn read(
        &self,
        place: &Place,
        blocks: &[i32],
    ) -> Result<Option<Vec<(i32, Bitset)>>, Error> {
        if blocks.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut conn = self.pool.acquire().await?;
        let read = store::containers::members_of(&mut conn, place, blocks).await?;
        drop(conn);
        if read.len() < blocks.len() {
            return Ok(None);
        }
        metrics::read_from_postgres(read.len());
        let copies = read.iter().map(|(block, version, members)| Bitmap {
            name: Named::new(place, *block, *version),
            members: members.clone(),
            instead: None,
        });
        self.bitmaps.fill(copies.collect()).await;
        Ok(Some(read.into_iter().map(|(block, _, members)| (block, members)).collect()))
    }
}

const ATTEMPTS: u32 = 3;

fn by_block(ordinals: &[Option<i32>]) -> Asked {
    let mut asked = Asked::new();
    for ordinal in ordinals.iter().flatten() {
        let (block, slot) = position(*ordinal);
        asked.entry(block).or_default().push(slot);
    }
    asked
}

/// The members that are still to be told.
struct Telling {
    pool: PgPool,
    segment: SegmentName,
    blocks: std::vec::IntoIter<(i32, Packed)>,
    /// Of the block that is being told.
    ordinals: std::vec::IntoIter<i32>,
}

impl Telling {
    async fn run(&mut self) -> Result<Option<Vec<ContactId>>, Error> {
        let mut run = Vec::new();
        while run.len() < RUN {
            match self.ordinals.next() {
                Some(ordinal) => run.push(ordinal),
                None => match self.blocks.next() {
                    Some((block, members)) => self.unpack(block, &members)?,
                    None => break,
                },
            }
        }
        if run.is_empty() {
            return Ok(None);
        }
        let mut conn = self.pool.acquire().await?;
        let found = store::contacts::addresses(&mut conn, &self.segment.workspace, &run).await?;
        Ok(Some(found.into_iter().map(|(_, contact, _)| contact).collect()))
    }

    fn unpack(&mut self, block: i32, packed: &Packed) -> Result<(), Error> {
        let (members, _) = packed.unpack()?;
        let block = BlockName::new(self.segment.workspace.clone(), block);
        let ordinals: Vec<i32> = members.iter().map(|slot| block.ordinal(slot)).collect();
        self.ordinals = ordinals.into_iter();
        Ok(())
    }
}
