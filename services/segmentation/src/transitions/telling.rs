//! Telling those who follow the history, run after run.

use std::collections::VecDeque;
use std::sync::Arc;

use cursus_feed::Cursor;
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::PgPool;

use super::place::Place;
use super::{Fact, Found, RUN, name};
use crate::block::BlockName;
use crate::error::Error;
use crate::grpc::transition::from_fact;
use crate::transition::Transition;

/// Following the feed, fact after fact.
pub(super) struct Telling {
    pub(super) pool: PgPool,
    pub(super) pages: BoxStream<'static, Result<cursus_feed::Page, cursus_feed::Error>>,
    /// Read and not told yet, the first perhaps in part.
    pub(super) facts: VecDeque<cursus_feed::Fact>,
    /// How far the feed was read when there are no more facts.
    pub(super) next: Cursor,
    pub(super) place: Place,
}

impl Telling {
    /// The next transitions, and the place after them; `None` when the feed ends.
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
