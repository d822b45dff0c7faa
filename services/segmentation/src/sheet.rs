//! A file of comma-separated values, and what its columns mean.
//!
//! A plan says what columns mean by their names. Bound to the first row of a file (`bound`) it reads the others, which
//! come as bytes cut anywhere (`reader`); `cell` reads one value.

pub(crate) mod bound;
pub(crate) mod cell;
pub(crate) mod reader;

use std::collections::BTreeMap;

use cursus_audience::Kind;
use cursus_ids::ImportId;

use self::cell::{Format, TimeFormat};
use crate::attribute::Vocabulary;
use crate::error::Error;

/// What the columns of a file mean.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) import: ImportId,
    pub(crate) delimiter: u8,
    pub(crate) rows: Rows,
}

/// What a row is about.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    Contacts(ContactColumns),
    Events(EventColumns),
}

/// Columns of contacts.
#[derive(Clone, Debug)]
pub(crate) struct ContactColumns {
    pub(crate) contact: String,
    pub(crate) email: Option<String>,
    pub(crate) attributes: Vec<ValueColumn>,
}

/// Columns of events.
#[derive(Clone, Debug)]
pub(crate) struct EventColumns {
    pub(crate) contact: String,
    pub(crate) name: EventName,
    pub(crate) time: String,
    pub(crate) time_format: TimeFormat,
    /// Without it, an event is known by its row.
    pub(crate) id: Option<String>,
    pub(crate) properties: Vec<ValueColumn>,
}

/// Where the name of an event is.
#[derive(Clone, Debug)]
pub(crate) enum EventName {
    Always(String),
    Column(String),
}

/// A column that holds an attribute or a property.
#[derive(Clone, Debug)]
pub(crate) struct ValueColumn {
    pub(crate) column: String,
    pub(crate) name: String,
    pub(crate) format: Format,
}

impl Plan {
    /// The attributes that it writes.
    pub(crate) fn attributes(&self) -> BTreeMap<String, Kind> {
        match &self.rows {
            Rows::Contacts(columns) => {
                let kinds = columns.attributes.iter();
                kinds.map(|it| (it.name.clone(), it.format.kind())).collect()
            }
            Rows::Events(_) => BTreeMap::new(),
        }
    }

    /// Refuses a plan that takes an attribute for what it is not.
    pub(crate) fn check(&self, vocabulary: &Vocabulary, most: usize) -> Result<(), Error> {
        for (name, kind) in self.attributes() {
            match vocabulary.kind(&name) {
                None => return Err(Error::TooManyAttributes(most)),
                Some(declared) if declared != kind => {
                    let field = format!("plan.contacts.attributes[{name}].kind");
                    let message = format!("the attribute is {declared}, not {kind}");
                    return Err(Error::invalid(field, message));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
