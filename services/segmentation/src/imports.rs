//! Imports: any number of rows in parts, each part committed on its own, bad rows refused one by one.

use cursus_ids::WorkspaceId;

use crate::contact;
use crate::contacts::Contacts;
use crate::error::Error;
use crate::event;
use crate::events::{Events, Others};
use crate::refusal::Refusal;

/// How many refusals are told; the rest is only counted.
const MOST_REFUSALS: usize = 1_000;

/// What has become of an import so far.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) new: i64,
    pub(crate) known: i64,
    pub(crate) refused: i64,
    /// With their rows, counted from 0 over the whole import.
    pub(crate) refusals: Vec<(i64, Refusal)>,
    rows: i64,
}

impl Imported {
    /// Takes in a part of contacts: what each row says, or why it cannot be read.
    pub(crate) async fn contacts(
        &mut self,
        contacts: &Contacts,
        workspace: &WorkspaceId,
        rows: Vec<Result<contact::Told, Refusal>>,
    ) -> Result<(), Error> {
        let vocabulary = contacts.vocabulary(workspace).await?;
        let first = self.begin(rows.len());
        let mut drafts = Vec::with_capacity(rows.len());
        let mut numbers = Vec::with_capacity(rows.len());
        for (row, told) in (first..).zip(rows) {
            match told.and_then(|told| contact::Draft::check(told, &vocabulary)) {
                Ok(draft) => {
                    numbers.push(row);
                    drafts.push(draft);
                }
                Err(refusal) => self.refuse(row, refusal),
            }
        }
        let written = contacts.write_each(workspace, &vocabulary, drafts).await?;
        self.new += written.created;
        self.known += written.updated;
        for (index, refusal) in written.refused {
            self.refuse(numbers[index], refusal);
        }
        Ok(())
    }

    /// Takes in a part of events.
    pub(crate) async fn events(
        &mut self,
        events: &Events,
        workspace: &WorkspaceId,
        rows: Vec<Result<event::Draft, Refusal>>,
    ) -> Result<(), Error> {
        let first = self.begin(rows.len());
        let mut drafts = Vec::with_capacity(rows.len());
        let mut numbers = Vec::with_capacity(rows.len());
        for (row, draft) in (first..).zip(rows) {
            match draft {
                Ok(draft) => {
                    numbers.push(row);
                    drafts.push(draft);
                }
                Err(refusal) => self.refuse(row, refusal),
            }
        }
        let recorded = events.record(workspace, &drafts, Others::Recorded).await?;
        self.new += recorded.new;
        self.known += recorded.known;
        for (index, refusal) in recorded.refused {
            self.refuse(numbers[index], refusal);
        }
        Ok(())
    }

    /// The row with which a part begins.
    fn begin(&mut self, rows: usize) -> i64 {
        let first = self.rows;
        self.rows += i64::try_from(rows).unwrap_or(i64::MAX);
        first
    }

    fn refuse(&mut self, row: i64, refusal: Refusal) {
        self.refused += 1;
        if self.refusals.len() < MOST_REFUSALS {
            self.refusals.push((row, refusal));
        }
    }
}
