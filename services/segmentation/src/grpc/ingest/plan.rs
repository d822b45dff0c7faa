//! What the columns of a file mean, as it is told.

use cursus_api::segmentation as proto;
use cursus_audience::Kind;
use proto::csv_events::Event as NameTold;
use proto::csv_plan::Rows as RowsTold;
use proto::csv_time_format::{Format as FormatTold, Standard};

use crate::attribute;
use crate::error::Error;
use crate::event;
use crate::grpc::convert;
use crate::sheet::cell::{Format, TimeFormat};
use crate::sheet::{ContactColumns, EventColumns, EventName, Plan, Rows, ValueColumn};

/// The most columns of attributes, and of properties.
const MOST_ATTRIBUTES: usize = 500;
const MOST_PROPERTIES: usize = 64;
/// What is between the members of a set, unless something else is said.
const SEPARATOR: &str = ";";

/// Reads a plan.
pub(super) fn decode(plan: proto::CsvPlan) -> Result<Plan, Error> {
    let delimiter = match plan.delimiter.as_bytes() {
        [] => b',',
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => *byte,
        _ => return Err(Error::invalid("plan.delimiter", "use one character such as `;`")),
    };
    let rows = match plan.rows {
        Some(RowsTold::Contacts(told)) => Rows::Contacts(contacts(told)?),
        Some(RowsTold::Events(told)) => Rows::Events(events(told)?),
        None => return Err(Error::invalid("plan.rows", "say whether rows are contacts or events")),
    };
    let import = plan.import_id.parse().map_err(Error::name("plan.import_id"))?;
    Ok(Plan { import, delimiter, rows })
}

fn contacts(told: proto::CsvContacts) -> Result<ContactColumns, Error> {
    const FIELD: &str = "plan.contacts.attributes";
    at_most(MOST_ATTRIBUTES, told.attributes.len(), FIELD)?;
    let mut attributes: Vec<ValueColumn> = Vec::with_capacity(told.attributes.len());
    for (index, it) in told.attributes.into_iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        let name = if it.attribute.is_empty() { it.column.clone() } else { it.attribute };
        if !attribute::is_identifier(&name) || attribute::is_built_in(&name) {
            let message = format!("`{name}` is not the id of an attribute that can be declared");
            return Err(Error::invalid(format!("{field}.attribute"), message));
        }
        if attributes.iter().any(|known| known.name == name) {
            let message = format!("`{name}` has two columns");
            return Err(Error::invalid(format!("{field}.attribute"), message));
        }
        let column = column(&it.column, &format!("{field}.column"))?;
        let format = match convert::kind(it.kind).map_err(|_| unknown_kind(&field))? {
            Kind::Text => Format::Text,
            Kind::Number => Format::Number,
            Kind::Flag => Format::Flag,
            Kind::Time => Format::Time(time_format(it.time_format, &field)?),
            Kind::TextSet if it.separator.is_empty() => Format::Texts(SEPARATOR.to_owned()),
            Kind::TextSet => Format::Texts(it.separator),
        };
        attributes.push(ValueColumn { column, name, format });
    }
    Ok(ContactColumns {
        contact: column(&told.contact_column, "plan.contacts.contact_column")?,
        email: Some(told.email_column).filter(|column| !column.is_empty()),
        attributes,
    })
}

fn events(told: proto::CsvEvents) -> Result<EventColumns, Error> {
    const FIELD: &str = "plan.events.properties";
    at_most(MOST_PROPERTIES, told.properties.len(), FIELD)?;
    let mut properties: Vec<ValueColumn> = Vec::with_capacity(told.properties.len());
    for (index, it) in told.properties.into_iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        let name = if it.property.is_empty() { it.column.clone() } else { it.property };
        if properties.iter().any(|known| known.name == name) {
            let message = format!("`{name}` has two columns");
            return Err(Error::invalid(format!("{field}.property"), message));
        }
        let column = column(&it.column, &format!("{field}.column"))?;
        let format = match convert::kind(it.kind).map_err(|_| unknown_kind(&field))? {
            Kind::Text => Format::Text,
            Kind::Number => Format::Number,
            Kind::Flag => Format::Flag,
            Kind::Time | Kind::TextSet => return Err(unknown_kind(&field)),
        };
        properties.push(ValueColumn { column, name, format });
    }
    let name = match told.event {
        Some(NameTold::EventName(name)) => {
            let refused = |refusal| Error::Refused { row: None, refusal };
            event::check_name(&name, "plan.events.event_name").map_err(refused)?;
            EventName::Always(name)
        }
        Some(NameTold::EventNameColumn(name)) => {
            EventName::Column(column(&name, "plan.events.event_name_column")?)
        }
        None => return Err(Error::invalid("plan.events.event_name", "say what happened")),
    };
    Ok(EventColumns {
        contact: column(&told.contact_column, "plan.events.contact_column")?,
        name,
        time: column(&told.time_column, "plan.events.time_column")?,
        time_format: time_format(told.time_format, "plan.events")?,
        id: Some(told.event_id_column).filter(|column| !column.is_empty()),
        properties,
    })
}

fn column(name: &str, field: &str) -> Result<String, Error> {
    if name.trim().is_empty() {
        return Err(Error::invalid(field, "name a column"));
    }
    Ok(name.trim().to_owned())
}

fn time_format(told: Option<proto::CsvTimeFormat>, field: &str) -> Result<TimeFormat, Error> {
    let field = format!("{field}.time_format");
    match told.and_then(|told| told.format) {
        None => Ok(TimeFormat::Rfc3339),
        Some(FormatTold::Standard(standard)) => match Standard::try_from(standard) {
            Ok(Standard::Rfc3339) => Ok(TimeFormat::Rfc3339),
            Ok(Standard::UnixSeconds) => Ok(TimeFormat::UnixSeconds),
            Ok(Standard::UnixMillis) => Ok(TimeFormat::UnixMillis),
            Ok(Standard::Unspecified) | Err(_) => {
                Err(Error::invalid(field, "say how times are written"))
            }
        },
        Some(FormatTold::Pattern(pattern)) => TimeFormat::pattern(pattern).ok_or_else(|| {
            Error::invalid(field, "is not a pattern as of `strftime`, such as `%d.%m.%Y %H:%M`")
        }),
    }
}

fn unknown_kind(field: &str) -> Error {
    Error::invalid(format!("{field}.kind"), "say what kind of value the column holds")
}

fn at_most(limit: usize, count: usize, field: &str) -> Result<(), Error> {
    if count <= limit {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("name at most {limit} columns")))
    }
}
