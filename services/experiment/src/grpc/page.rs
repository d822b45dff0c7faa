//! Pages: how many rows, and where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use cursus_ids::ExperimentId;

use crate::error::Error;

const USUAL: i32 = 100;
const MOST: i32 = 1_000;

/// How many rows a page has.
pub(super) fn size(asked: i32) -> Result<i64, Error> {
    match asked {
        0 => Ok(USUAL.into()),
        1.. => Ok(asked.min(MOST).into()),
        _ => Err(Error::invalid("page_size", "it must not be negative")),
    }
}

/// Where a page ends, as a token: empty if there is nothing after it. The caller reads one row more than it shows.
pub(super) fn next<T>(rows: &mut Vec<T>, size: i64, place: impl FnOnce(&T) -> String) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if rows.len() <= size {
        return String::new();
    }
    rows.truncate(size);
    rows.last().map(|row| URL_SAFE_NO_PAD.encode(place(row))).unwrap_or_default()
}

/// The place that a token names; nothing for the first page.
pub(super) fn place(token: &str) -> Result<Option<String>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::PageToken)?;
    String::from_utf8(bytes).map(Some).map_err(|_| Error::PageToken)
}

/// A place in the order of time.
pub(super) fn at(time: DateTime<Utc>, id: impl std::fmt::Display) -> String {
    format!("{}/{id}", time.timestamp_micros())
}

/// A place in a numbered order: the number it ends with; 0 for the first page.
pub(super) fn number<T: std::str::FromStr + Default>(token: &str) -> Result<T, Error> {
    match place(token)? {
        None => Ok(T::default()),
        Some(place) => place.parse().map_err(|_| Error::PageToken),
    }
}

/// Reads what [`at`] wrote.
pub(super) fn read_at(place: &str) -> Result<(DateTime<Utc>, String), Error> {
    let (micros, id) = place.split_once('/').ok_or(Error::PageToken)?;
    let time = micros.parse().ok().and_then(DateTime::from_timestamp_micros);
    let id: ExperimentId = id.parse().map_err(|_| Error::PageToken)?;
    Ok((time.ok_or(Error::PageToken)?, id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_names_the_next_and_the_last_one_does_not() {
        let mut rows = vec![1, 2, 3];
        let token = next(&mut rows, 2, ToString::to_string);
        assert_eq!((rows, place(&token).unwrap().as_deref()), (vec![1, 2], Some("2")));
        assert_eq!(next(&mut vec![1, 2], 2, ToString::to_string), "");
    }

    #[test]
    fn sizes_are_bounded_and_made_up_tokens_refused() {
        assert_eq!((size(0).unwrap(), size(7).unwrap(), size(i32::MAX).unwrap()), (100, 7, 1_000));
        assert!(size(-1).is_err());
        assert!(place("!").is_err());
        for made_up in ["", "x/y", "99999999999999999999/y", "1/y\0", "1/"] {
            assert!(read_at(made_up).is_err(), "{made_up}");
        }
    }

    #[test]
    fn a_place_in_time_survives_the_way_through_a_token() {
        let time = DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap();
        assert_eq!(read_at(&at(time, "a-b")).unwrap(), (time, "a-b".to_owned()));
    }
}
