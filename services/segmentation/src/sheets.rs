//! Importing files of comma-separated values: rows are committed a thousand at a time, and those that are refused are
//! written into a file of the same form. Whatever the size of the file, only some rows of it are held.

use std::collections::BTreeMap;

use cursus_ids::WorkspaceId;
use sqlx::PgPool;

use crate::attribute::MOST_ATTRIBUTES;
use crate::attributes::Attributes;
use crate::contact;
use crate::contacts::Contacts;
use crate::error::Error;
use crate::event;
use crate::events::{Events, Others};
use crate::sheet::Plan;
use crate::sheet::bound::{Bound, Refused, Said};
use crate::sheet::reader::{Reader, Record};

/// How many rows are committed together, unless they are this large.
const ROWS: usize = 1_000;
const BYTES: usize = 1 << 20;
/// What stands after the values of a row that is refused.
const REASON_COLUMNS: [&str; 4] =
    ["refused_row", "refused_column", "refused_reason", "refused_message"];

/// What imports need.
#[derive(Clone, Debug)]
pub(crate) struct Sheets {
    pub(crate) pool: PgPool,
    pub(crate) attributes: Attributes,
    pub(crate) contacts: Contacts,
    pub(crate) events: Events,
}

/// An import under way.
#[derive(Debug)]
pub(crate) struct Import {
    sheets: Sheets,
    workspace: WorkspaceId,
    reader: Reader,
    state: State,
    rows: Rows,
    counts: Counts,
    /// Rows that were refused and have not been told.
    refused: csv::Writer<Vec<u8>>,
}

/// How far an import is.
#[derive(Debug)]
enum State {
    /// The first row has not been read.
    Planned(Plan),
    Bound(Bound),
}

/// Rows that are committed together.
#[derive(Debug, Default)]
struct Rows {
    records: Vec<Record>,
    /// How many bytes they have.
    size: usize,
    /// What they say, by their places.
    contacts: Vec<(usize, contact::Told)>,
    events: Vec<(usize, event::Draft)>,
    refused: BTreeMap<usize, Refused>,
}

/// What became of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: i64,
    pub(crate) new: i64,
    pub(crate) known: i64,
    pub(crate) refused: i64,
}

impl Sheets {
    /// Begins an import: declares the attributes that it names.
    pub(crate) async fn begin(&self, workspace: WorkspaceId, plan: Plan) -> Result<Import, Error> {
        let mut tx = self.pool.begin().await?;
        let wanted = plan.attributes();
        let vocabulary =
            self.attributes.declare(&mut tx, &workspace, &wanted, MOST_ATTRIBUTES).await?;
        plan.check(&vocabulary, MOST_ATTRIBUTES)?;
        tx.commit().await?;
        Ok(Import {
            sheets: self.clone(),
            workspace,
            reader: Reader::new(plan.delimiter),
            refused: writer(plan.delimiter),
            state: State::Planned(plan),
            rows: Rows::default(),
            counts: Counts::default(),
        })
    }
}

impl Import {
    /// Reads some of the bytes that come next, and says how many. What was refused is to be told before more is read.
    pub(crate) async fn read(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut consumed = 0;
        while consumed < bytes.len() && !self.rows.are_enough() {
            match self.reader.read(&bytes[consumed..]) {
                Ok((read, record)) => {
                    consumed += read;
                    record.map_or(Ok(()), |record| self.take(record))?;
                }
                Err(error) => {
                    self.commit().await?;
                    return Err(error);
                }
            }
        }
        if self.rows.are_enough() {
            self.commit().await?;
        }
        Ok(consumed)
    }

    /// Ends the last row, and commits what is left.
    pub(crate) async fn finish(&mut self) -> Result<Counts, Error> {
        if let (_, Some(record)) = self.reader.read(&[])? {
            self.take(record)?;
        }
        if let State::Planned(_) = self.state {
            let message = "the file is empty; its first row names the columns";
            return Err(Error::invalid("chunk", message));
        }
        self.commit().await?;
        Ok(self.counts)
    }

    /// The rows that were refused since this was asked last, as a part of a file.
    pub(crate) fn take_refused(&mut self) -> Result<Vec<u8>, Error> {
        self.refused.flush().map_err(|_| Error::Corrupt("row"))?;
        let written = std::mem::replace(&mut self.refused, writer(self.reader.delimiter()));
        written.into_inner().map_err(|_| Error::Corrupt("row"))
    }

    fn take(&mut self, record: Record) -> Result<(), Error> {
        match &self.state {
            State::Planned(plan) => {
                self.state = State::Bound(Bound::new(plan.clone(), &record)?);
            }
            State::Bound(bound) => self.rows.add(bound.read(&record), record),
        }
        Ok(())
    }

    /// Commits the rows that wait.
    async fn commit(&mut self) -> Result<(), Error> {
        let State::Bound(bound) = &self.state else { return Ok(()) };
        let mut rows = std::mem::take(&mut self.rows);
        let (sheets, workspace) = (&self.sheets, &self.workspace);
        let (new, known) = if rows.events.is_empty() {
            rows.write(&sheets.contacts, workspace, bound).await?
        } else {
            rows.record(&sheets.events, workspace, bound).await?
        };
        self.counts.new += new;
        self.counts.known += known;
        let wrote = rows.tell_refused(bound, self.counts.refused == 0, &mut self.refused);
        wrote.map_err(|_| Error::Corrupt("row"))?;
        self.counts.rows += i64::try_from(rows.records.len()).unwrap_or(i64::MAX);
        self.counts.refused += i64::try_from(rows.refused.len()).unwrap_or(i64::MAX);
        Ok(())
    }
}

impl Rows {
    fn are_enough(&self) -> bool {
        self.records.len() >= ROWS || self.size >= BYTES
    }

    fn add(&mut self, said: Result<Said, Refused>, record: Record) {
        let place = self.records.len();
        match said {
            Ok(Said::Contact(told)) => self.contacts.push((place, told)),
            Ok(Said::Event(draft)) => self.events.push((place, draft)),
            Err(refused) => drop(self.refused.insert(place, refused)),
        }
        self.size += record.size();
        self.records.push(record);
    }

    /// Writes contacts, and says how many were new and how many known.
    async fn write(
        &mut self,
        contacts: &Contacts,
        workspace: &WorkspaceId,
        bound: &Bound,
    ) -> Result<(i64, i64), Error> {
        let vocabulary = contacts.vocabulary(workspace).await?;
        let mut drafts = Vec::with_capacity(self.contacts.len());
        let mut places = Vec::with_capacity(self.contacts.len());
        for (place, told) in std::mem::take(&mut self.contacts) {
            match contact::Draft::check(told, &vocabulary) {
                Ok(draft) => {
                    places.push(place);
                    drafts.push(draft);
                }
                Err(refusal) => drop(self.refused.insert(place, bound.refused(refusal))),
            }
        }
        let written = contacts.write(workspace, &vocabulary, drafts, Others::Recorded).await?;
        for (index, refusal) in written.refused {
            self.refused.insert(places[index], bound.refused(refusal));
        }
        Ok((written.created, written.updated))
    }

    /// Records events, and says how many were new and how many known.
    async fn record(
        &mut self,
        events: &Events,
        workspace: &WorkspaceId,
        bound: &Bound,
    ) -> Result<(i64, i64), Error> {
        let (places, drafts): (Vec<usize>, Vec<event::Draft>) =
            std::mem::take(&mut self.events).into_iter().unzip();
        let recorded = events.record(workspace, &drafts, Others::Recorded).await?;
        for (index, refusal) in recorded.refused {
            self.refused.insert(places[index], bound.refused(refusal));
        }
        Ok((recorded.new, recorded.known))
    }

    /// Writes the rows that are refused, in their order, each as it was and with the reason.
    fn tell_refused(
        &self,
        bound: &Bound,
        are_first: bool,
        out: &mut csv::Writer<Vec<u8>>,
    ) -> csv::Result<()> {
        if are_first && !self.refused.is_empty() {
            out.write_record(bound.columns().iter().map(String::as_str).chain(REASON_COLUMNS))?;
        }
        for (place, Refused { column, refusal }) in &self.refused {
            let record = &self.records[*place];
            let row = record.row.to_string();
            let message = refusal.told();
            let reason = [&row, column, refusal.reason.as_str(), &message].map(str::as_bytes);
            // Every row has as many values as the first, so that the reasons stand below each other.
            let values = record.values().chain(std::iter::repeat(&b""[..]));
            out.write_record(values.take(bound.columns().len()).chain(reason))?;
        }
        Ok(())
    }
}

fn writer(delimiter: u8) -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new())
}
