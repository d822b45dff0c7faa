//! A place in a feed, and the opaque token that carries it to a client and back.

use std::fmt;
use std::str::FromStr;

/// The place just after one committed fact. The token is opaque to clients; the empty token is [`Cursor::START`].
///
/// A cursor only ever names a committed fact, never "everything before transaction n": Postgres may give a transaction
/// id out again after a crash when nothing that used it had reached the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::FromRow)]
pub struct Cursor {
    pub(crate) xid: i64,
    pub(crate) sequence: i64,
}

/// The token did not come from a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is malformed")]
pub struct MalformedCursor;

impl Cursor {
    /// Before the oldest fact still kept.
    pub const START: Self = Self { xid: 0, sequence: 0 };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::START {
            return Ok(());
        }
        write!(f, "{:016x}{:016x}", self.xid, self.sequence)
    }
}

impl FromStr for Cursor {
    type Err = MalformedCursor;

    fn from_str(token: &str) -> Result<Self, MalformedCursor> {
        if token.is_empty() {
            return Ok(Self::START);
        }
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if token.len() != 32 || !token.bytes().all(lower_hex) {
            return Err(MalformedCursor);
        }
        let (xid, sequence) = token.split_at(16);
        Ok(Self { xid: positive(xid)?, sequence: positive(sequence)? })
    }
}

fn positive(hex: &str) -> Result<i64, MalformedCursor> {
    match i64::from_str_radix(hex, 16) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(MalformedCursor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_cursor() {
        for cursor in [
            Cursor::START,
            Cursor { xid: 1, sequence: 1 },
            Cursor { xid: 7_341, sequence: 99 },
            Cursor { xid: i64::MAX, sequence: i64::MAX },
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn garbage_is_refused() {
        for token in [
            "0",
            "start",
            "+0000000000000010000000000000001",
            "00000000000000000000000000000000",
            "00000000000000010000000000000000",
            "80000000000000000000000000000001",
            "0000000000000001000000000000000A",
            "000000000000000100000000000000001",
            "0000000000000001000000000000000é",
        ] {
            assert_eq!(token.parse::<Cursor>(), Err(MalformedCursor), "{token}");
        }
    }

    #[test]
    fn cursors_order_as_facts_do() {
        let early = Cursor { xid: 4, sequence: 90 };
        let late = Cursor { xid: 5, sequence: 1 };
        assert!(Cursor::START < early && early < late);
    }
}
