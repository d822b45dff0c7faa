//! Where somebody is who follows the history.

use std::fmt;
use std::str::FromStr;

use cursus_feed::{Cursor, MalformedCursor};

use crate::error::Error;

/// A place in the feed: after so many transitions of the fact that follows a cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) cursor: Cursor,
    pub(super) told: usize,
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
