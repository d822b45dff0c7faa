//! Addresses that must not be written to, and why.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::address::AddressHash;

/// Why, strongest first. Any of them blocks; the strongest is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Complaint,
    Unsubscribed,
    HardBounce,
    Manual,
}

/// An address's suppression as shown.
#[derive(Clone, Debug)]
pub(crate) struct Suppression {
    pub(crate) address: AddressHash,
    pub(crate) reason: Reason,
    pub(crate) create_time: DateTime<Utc>,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Complaint, Self::Unsubscribed, Self::HardBounce, Self::Manual];

    /// As it stands in the ledger and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complaint => "COMPLAINT",
            Self::Unsubscribed => "UNSUBSCRIBED",
            Self::HardBounce => "HARD_BOUNCE",
            Self::Manual => "MANUAL",
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is not a reason to suppress an address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_the_way_through_the_database() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
    }
}
