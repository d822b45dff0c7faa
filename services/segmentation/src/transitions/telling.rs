//! Following transitions: facts of the feed, told contact by contact in runs that are bounded, from any place on.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cursus_feed::{Cursor, MalformedCursor, Page};
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::PgPool;

use super::{Fact, Found, name};
use crate::block::BlockName;
use crate::error::Error;
use crate::grpc::transition::from_fact;
use crate::transition::Transition;

/// How many transitions are told at once.
const RUN: usize = 1_000;

/// A place in the feed: after so many transitions of the fact that follows a cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    cursor: Cursor,
    told: usize,
}

/// Following the feed, fact after fact.
pub(super) struct Telling {
    pool: PgPool,
    pages: BoxStream<'static, Result<Page, cursus_feed::Error>>,
    /// Read and not told yet, the first perhaps in part.
    facts: VecDeque<cursus_feed::Fact>,
    /// How far the feed was read when there are no more facts.
    next: Cursor,
    place: Place,
}

impl Telling {
    pub(super) fn new(
        pool: PgPool,
        pages: BoxStream<'static, Result<Page, cursus_feed::Error>>,
        place: Place,
    ) -> Self {
        Self { pool, pages, facts: VecDeque::new(), next: place.cursor, place }
    }

    /// The next run, and the place after it; nothing when the service stops.
    pub(super) async fn run(&mut self) -> Result<Option<(Vec<Transition>, Place)>, Error> {
        if self.facts.is_empty() {
            let Some(page) = self.pages.next().await.transpose()? else { return Ok(None) };
            self.next = page.next;
            self.facts.extend(page.facts);
        }
        // Everything told at once is of one workspace, whose contacts are named by one query.
        let workspace = self.facts.front().map(|fact| fact.workspace_id.clone());
        let mut found = Vec::new();
        while found.len() < RUN
            && let Some(fact) =
                self.facts.pop_front_if(|it| Some(&it.workspace_id) == workspace.as_ref())
        {
            let is_whole = self.tell(&fact, &mut found)?;
            if is_whole {
                self.place = Place { cursor: fact.cursor, told: 0 };
            } else {
                self.facts.push_front(fact);
            }
        }
        if self.facts.is_empty() {
            self.place = Place { cursor: self.next, told: 0 };
        }
        let Some(workspace) = workspace else { return Ok(Some((Vec::new(), self.place))) };
        let workspace = workspace.parse().map_err(|_| Error::Corrupt("id"))?;
        let mut conn = self.pool.acquire().await?;
        Ok(Some((name(&mut conn, &workspace, found).await?, self.place)))
    }

    /// Tells what there is room for, and says whether that was all.
    fn tell(&mut self, fact: &cursus_feed::Fact, found: &mut Vec<Found>) -> Result<bool, Error> {
        let Fact { block, record_time, crossings } = from_fact(&fact.payload)?;
        let workspace = fact.workspace_id.parse().map_err(|_| Error::Corrupt("id"))?;
        let block = BlockName::new(workspace, block);
        let mut skipped = 0;
        for crossing in crossings {
            let skip = self.place.told - skipped;
            if crossing.len() <= skip {
                skipped += crossing.len();
                continue;
            }
            skipped += skip;
            let recorded = Arc::new((crossing, record_time));
            for (slot, direction) in recorded.0.each().skip(skip) {
                if found.len() == RUN {
                    return Ok(false);
                }
                let (ordinal, recorded) = (block.ordinal(slot), Arc::clone(&recorded));
                found.push(Found { ordinal, direction, recorded });
                self.place.told += 1;
                skipped += 1;
            }
        }
        Ok(true)
    }
}

impl Place {
    pub(super) fn cursor(self) -> Cursor {
        self.cursor
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cursor, told } = self;
        if *told == 0 { write!(f, "{cursor}") } else { write!(f, "{cursor}+{told}") }
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(token: &str) -> Result<Self, Error> {
        let (cursor, told) = token.split_once('+').unwrap_or((token, "0"));
        let malformed = |_| cursus_feed::Error::Malformed(MalformedCursor);
        Ok(Self {
            cursor: cursor.parse().map_err(cursus_feed::Error::Malformed)?,
            told: told.parse().map_err(malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_way_to_a_client_and_back() {
        let cursor: Cursor = "00000000000000010000000000000002".parse().unwrap();
        for place in [Place::default(), Place { cursor, told: 0 }, Place { cursor, told: 3_000 }] {
            assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
        for token in ["+", "x+1", "00000000000000010000000000000002+", "+-1"] {
            assert!(token.parse::<Place>().is_err(), "{token}");
        }
    }
}
