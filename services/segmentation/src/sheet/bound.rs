//! A plan bound to the columns of a file: reads rows.

use super::reader::Record;
use super::{ContactColumns, EventColumns, EventName, Plan, Rows, ValueColumn};
use crate::contact;
use crate::edit::Edit;
use crate::error::Error;
use crate::event;
use crate::refusal::Refusal;

/// A plan that knows where its columns are.
#[derive(Debug)]
pub(crate) struct Bound {
    plan: Plan,
    /// The names of the columns.
    columns: Vec<String>,
}

/// What a row says.
#[derive(Debug)]
pub(crate) enum Said {
    Contact(contact::Told),
    Event(event::Draft),
}

/// Why a row is refused, and the column it is about, if it is about one.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) column: String,
    pub(crate) refusal: Refusal,
}

impl Bound {
    /// Binds a plan to the first row of a file.
    pub(crate) fn new(plan: Plan, header: &Record) -> Result<Self, Error> {
        let columns = header.texts().map_err(|index| {
            let column = index + 1;
            Error::invalid("chunk", format!("column {column} of the first row is not UTF-8"))
        })?;
        let columns: Vec<String> = columns.into_iter().map(|name| name.trim().to_owned()).collect();
        for (index, column) in columns.iter().enumerate() {
            if columns[..index].contains(column) && !column.is_empty() {
                let message = format!("two columns are called `{column}`; rename one");
                return Err(Error::invalid("chunk", message));
            }
        }
        for column in plan.columns() {
            if !columns.iter().any(|known| known == column) {
                let message = format!("the file has no column `{column}`; is the delimiter right?");
                return Err(Error::invalid("plan", message));
            }
        }
        Ok(Self { plan, columns })
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Reads a row.
    pub(crate) fn read(&self, record: &Record) -> Result<Said, Refused> {
        let (has, wanted) = (record.len(), self.columns.len());
        if has != wanted {
            let message = format!("has {has} values, not {wanted} as the first row");
            return Err(Refused::row(Refusal::invalid("row", message)));
        }
        let values = record.texts().map_err(|index| {
            let column = self.columns[index].clone();
            Refused { column, refusal: Refusal::invalid("value", "is not UTF-8") }
        })?;
        let row = Row { bound: self, values };
        match &self.plan.rows {
            Rows::Contacts(columns) => row.contact(columns).map(Said::Contact),
            Rows::Events(columns) => row.event(columns, record.row).map(Said::Event),
        }
    }

    /// The column that a field of a contact or an event comes from.
    pub(crate) fn refused(&self, refusal: Refusal) -> Refused {
        let named = |of: &str, columns: &[ValueColumn]| {
            let name = refusal.field.strip_prefix(of)?.strip_prefix('[')?.strip_suffix(']')?;
            columns.iter().find(|it| it.name == name).map(|it| it.column.clone())
        };
        let column = match &self.plan.rows {
            Rows::Contacts(columns) => match refusal.field.as_str() {
                "contact.email" => columns.email.clone(),
                "contact.name" => Some(columns.contact.clone()),
                _ => named("contact.attributes", &columns.attributes),
            },
            Rows::Events(columns) => match (refusal.field.as_str(), &columns.name) {
                ("event.contact", _) => Some(columns.contact.clone()),
                ("event.event_id", _) => columns.id.clone(),
                ("event.event_name", EventName::Column(column)) => Some(column.clone()),
                _ => named("event.properties", &columns.properties),
            },
        };
        Refused { column: column.unwrap_or_default(), refusal }
    }
}

impl Refused {
    /// Of a row as a whole.
    fn row(refusal: Refusal) -> Self {
        Self { column: String::new(), refusal }
    }
}

impl Plan {
    /// Every column that it names.
    fn columns(&self) -> Vec<&str> {
        let mut columns = Vec::new();
        let values: &[ValueColumn] = match &self.rows {
            Rows::Contacts(named) => {
                columns.push(named.contact.as_str());
                columns.extend(named.email.as_deref());
                &named.attributes
            }
            Rows::Events(named) => {
                columns.extend([named.contact.as_str(), named.time.as_str()]);
                columns.extend(named.id.as_deref());
                if let EventName::Column(column) = &named.name {
                    columns.push(column);
                }
                &named.properties
            }
        };
        columns.extend(values.iter().map(|it| it.column.as_str()));
        columns
    }
}

/// A row's values.
struct Row<'a> {
    bound: &'a Bound,
    values: Vec<&'a str>,
}

impl Row<'_> {
    /// What is in a column that the file has.
    fn cell(&self, column: &str) -> &str {
        let index = self.bound.columns.iter().position(|known| known == column);
        index.and_then(|index| self.values.get(index)).copied().unwrap_or_default()
    }

    fn contact(&self, columns: &ContactColumns) -> Result<contact::Told, Refused> {
        let mut attributes = Vec::with_capacity(columns.attributes.len());
        for it in &columns.attributes {
            if let Some(value) = self.value(it)? {
                attributes.push((it.name.clone(), Some(value)));
            }
        }
        let email = columns.email.as_deref().map(|column| self.cell(column).trim().to_owned());
        Ok(contact::Told {
            id: self.contact_id(&columns.contact)?,
            email: email.unwrap_or_default(),
            account: Edit::Keep,
            attributes,
        })
    }

    fn event(&self, columns: &EventColumns, row: u64) -> Result<event::Draft, Refused> {
        let time = columns.time_format.read(self.cell(&columns.time));
        let time = time.map_err(|message| refuse(&columns.time, &message))?;
        let name = match &columns.name {
            EventName::Always(name) => name.as_str(),
            EventName::Column(column) => self.cell(column).trim(),
        };
        let mut draft = event::Draft {
            id: event::imported_id(&self.bound.plan.import, row),
            contact: self.contact_id(&columns.contact)?,
            name: name.to_owned(),
            time,
            properties: std::collections::BTreeMap::new(),
        };
        for it in &columns.properties {
            if let Some(value) = self.value(it)? {
                draft.properties.insert(it.name.clone(), value);
            }
        }
        let checked = match &columns.id {
            None => draft.check_given(),
            Some(column) => {
                self.cell(column).trim().clone_into(&mut draft.id);
                draft.check()
            }
        };
        checked.map_err(|refusal| self.bound.refused(refusal))
    }

    fn contact_id(&self, column: &str) -> Result<cursus_ids::ContactId, Refused> {
        self.cell(column)
            .trim()
            .parse()
            .map_err(|error: cursus_ids::ParseError| refuse(column, &error.to_string()))
    }

    fn value(&self, it: &ValueColumn) -> Result<Option<crate::value::Value>, Refused> {
        it.format.read(self.cell(&it.column)).map_err(|message| refuse(&it.column, &message))
    }
}

fn refuse(column: &str, message: &str) -> Refused {
    Refused { column: column.to_owned(), refusal: Refusal::invalid("value", message) }
}
