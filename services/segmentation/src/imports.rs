//! Imports: any number of rows in parts, each part committed on its own, bad rows refused one by one.

use cursus_ids::WorkspaceId;

use crate::account;
use crate::accounts::Accounts;
use crate::contact;
use crate::contacts::{Contacts, Written};
use crate::deal;
use crate::deals::Deals;
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
        let check = |told| contact::Draft::check(told, &vocabulary);
        let (numbers, drafts) = self.checked(rows, check);
        let written = contacts.write(workspace, &vocabulary, drafts, Others::Recorded).await?;
        self.add(written, &numbers);
        Ok(())
    }

    /// Takes in a part of accounts.
    pub(crate) async fn accounts(
        &mut self,
        (accounts, contacts): (&Accounts, &Contacts),
        workspace: &WorkspaceId,
        rows: Vec<Result<account::Told, Refusal>>,
    ) -> Result<(), Error> {
        let vocabulary = contacts.vocabulary(workspace).await?;
        let check = |told| account::Draft::check(told, &vocabulary);
        let (numbers, drafts) = self.checked(rows, check);
        let written = accounts.write_each(workspace, &vocabulary, drafts).await?;
        self.add(written, &numbers);
        Ok(())
    }

    /// Takes in a part of deals.
    pub(crate) async fn deals(
        &mut self,
        (deals, contacts): (&Deals, &Contacts),
        workspace: &WorkspaceId,
        rows: Vec<Result<deal::Told, Refusal>>,
    ) -> Result<(), Error> {
        let vocabulary = contacts.vocabulary(workspace).await?;
        let check = |told| deal::Draft::check(told, &vocabulary);
        let (numbers, drafts) = self.checked(rows, check);
        let written = deals.write_each(workspace, drafts).await?;
        self.add(written, &numbers);
        Ok(())
    }

    /// Takes in a part of events.
    pub(crate) async fn events(
        &mut self,
        events: &Events,
        workspace: &WorkspaceId,
        rows: Vec<Result<event::Draft, Refusal>>,
    ) -> Result<(), Error> {
        let (numbers, drafts) = self.checked(rows, Ok);
        let recorded = events.record(workspace, &drafts, Others::Recorded).await?;
        self.new += recorded.new;
        self.known += recorded.known;
        for (index, refusal) in recorded.refused {
            self.refuse(numbers[index], refusal);
        }
        Ok(())
    }

    /// The rows of a part that can be written, each with its number; the others are refused.
    fn checked<T, D>(
        &mut self,
        rows: Vec<Result<T, Refusal>>,
        mut check: impl FnMut(T) -> Result<D, Refusal>,
    ) -> (Vec<i64>, Vec<D>) {
        let (mut numbers, mut drafts) = (Vec::with_capacity(rows.len()), Vec::new());
        for told in rows {
            match told.and_then(&mut check) {
                Ok(draft) => {
                    numbers.push(self.rows);
                    drafts.push(draft);
                }
                Err(refusal) => self.refuse(self.rows, refusal),
            }
            self.rows += 1;
        }
        (numbers, drafts)
    }

    fn add(&mut self, written: Written, numbers: &[i64]) {
        self.new += written.created;
        self.known += written.updated;
        for (index, refusal) in written.refused {
            self.refuse(numbers[index], refusal);
        }
    }

    fn refuse(&mut self, row: i64, refusal: Refusal) {
        self.refused += 1;
        if self.refusals.len() < MOST_REFUSALS {
            self.refusals.push((row, refusal));
        }
    }
}
