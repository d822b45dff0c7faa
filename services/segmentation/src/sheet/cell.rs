//! What is written in one cell.

use std::collections::BTreeSet;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use cursus_audience::Kind;

use crate::moment;
use crate::value::{self, Value};

/// How a column writes values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Number,
    Flag,
    Time(TimeFormat),
    /// With what is between the members.
    Texts(String),
}

/// How a column writes times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    Rfc3339,
    UnixSeconds,
    UnixMillis,
    /// As of `strftime`.
    Pattern(String),
}

impl Format {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Number => Kind::Number,
            Self::Flag => Kind::Flag,
            Self::Time(_) => Kind::Time,
            Self::Texts(_) => Kind::TextSet,
        }
    }

    /// Reads a cell; an empty one says nothing.
    pub(crate) fn read(&self, cell: &str) -> Result<Option<Value>, String> {
        if cell.is_empty() {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Text if value::is_fit(cell) => Value::Text(cell.to_owned()),
            Self::Text => return Err("use at most 1,024 bytes and no NUL".to_owned()),
            Self::Number => match cell.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Number(number),
                _ => return Err("is not a number such as `-12.5`".to_owned()),
            },
            Self::Flag => Value::Flag(flag(cell)?),
            Self::Time(format) => Value::Time(format.read(cell)?),
            Self::Texts(separator) => Value::Texts(texts(cell, separator)?),
        }))
    }
}

impl TimeFormat {
    /// Checks a pattern.
    pub(crate) fn pattern(pattern: String) -> Option<Self> {
        let is_good = StrftimeItems::new(&pattern).all(|item| !matches!(item, Item::Error));
        (is_good && !pattern.is_empty() && pattern.len() <= 128).then_some(Self::Pattern(pattern))
    }

    pub(crate) fn read(&self, cell: &str) -> Result<DateTime<Utc>, String> {
        let cell = cell.trim();
        let number = || cell.parse::<f64>().ok();
        match self {
            Self::Rfc3339 => DateTime::parse_from_rfc3339(cell)
                .ok()
                .and_then(|time| moment::kept(time.to_utc()))
                .ok_or_else(|| "is not a time such as `2026-11-24T12:00:00Z`".to_owned()),
            Self::UnixSeconds => number()
                .and_then(moment::of_seconds)
                .ok_or_else(|| "is not a number of seconds since 1970".to_owned()),
            Self::UnixMillis => number()
                .and_then(|millis| moment::of_seconds(millis / 1e3))
                .ok_or_else(|| "is not a number of milliseconds since 1970".to_owned()),
            Self::Pattern(pattern) => moment::by_pattern(cell, pattern)
                .ok_or_else(|| format!("is not a time as `{pattern}` writes it")),
        }
    }
}

fn flag(cell: &str) -> Result<bool, String> {
    match cell.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "t" | "y" => Ok(true),
        "false" | "no" | "0" | "f" | "n" => Ok(false),
        _ => Err("is neither `true` nor `false`".to_owned()),
    }
}

fn texts(cell: &str, separator: &str) -> Result<BTreeSet<String>, String> {
    let members = cell.split(separator).map(str::trim).filter(|member| !member.is_empty());
    let texts: BTreeSet<String> = members.map(str::to_owned).collect();
    if texts.len() > value::MOST_TEXTS || !texts.iter().all(|text| value::is_fit(text)) {
        return Err("use at most 64 texts of at most 1,024 bytes".to_owned());
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_read_as_its_column_writes() {
        let check = |format: Format, cell: &str, expected: Value| {
            assert_eq!(format.read(cell), Ok(Some(expected)), "{cell}");
        };
        let day = |text: &str| Value::Time(text.parse().unwrap());
        check(Format::Text, " pro ", Value::Text(" pro ".to_owned()));
        check(Format::Number, " -12.50", Value::Number(-12.5));
        check(Format::Flag, "Yes", Value::Flag(true));
        check(Format::Flag, "0", Value::Flag(false));
        let pattern = |text: &str| Format::Time(TimeFormat::pattern(text.to_owned()).unwrap());
        check(pattern("%Y%m%d"), "19970101", day("1997-01-01T00:00:00Z"));
        let time = Format::Time(TimeFormat::Rfc3339);
        check(time, "2026-11-24T13:00:00+01:00", day("2026-11-24T12:00:00Z"));
        let seconds = Format::Time(TimeFormat::UnixSeconds);
        check(seconds, "1795521600", day("2026-11-24T12:00:00Z"));
        let millis = Format::Time(TimeFormat::UnixMillis);
        check(millis, "1795521600500", day("2026-11-24T12:00:00.5Z"));
        let set = Format::Texts("|".to_owned());
        check(set, "b| a||b", Value::Texts(["a", "b"].map(str::to_owned).into()));
        assert_eq!(Format::Number.read(""), Ok(None));
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let check = |format: Format, cell: &str| assert!(format.read(cell).is_err(), "{cell}");
        check(Format::Text, &"x".repeat(1_025));
        check(Format::Text, "a\0b");
        for cell in ["1,5", "inf", "NaN", "12 EUR", " "] {
            check(Format::Number, cell);
        }
        check(Format::Flag, "maybe");
        check(Format::Time(TimeFormat::Rfc3339), "24.11.2026");
        check(Format::Time(TimeFormat::UnixSeconds), "1e30");
        check(Format::Texts(";".to_owned()), &"a".repeat(1_025));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        assert!(TimeFormat::pattern("%Q".to_owned()).is_none());
        assert!(TimeFormat::pattern(String::new()).is_none());
        assert!(TimeFormat::pattern("%d.%m.%Y %H:%M:%S%.f %z".to_owned()).is_some());
    }
}
