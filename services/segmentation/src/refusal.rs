//! Why a row of contacts, accounts, deals or events is not written.

use std::fmt;

/// What is wrong with one row. Machines read the reason and the field, people the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// Which field of the row, as in `contact.attributes[plan]`.
    pub(crate) field: String,
    pub(crate) message: String,
    /// The known name that was perhaps meant.
    pub(crate) closest: Option<String>,
}

/// Reasons never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    InvalidField,
    UnknownAttribute,
    UnknownContact,
    UnknownAccount,
    ErasedContact,
    WrongKind,
    ReservedEventName,
    DealOfNobody,
    TooManyDeals,
    TooManyAttributes,
}

impl Refusal {
    pub(crate) fn new(
        reason: Reason,
        field: impl Into<String>,
        message: impl fmt::Display,
    ) -> Self {
        Self { reason, field: field.into(), message: message.to_string(), closest: None }
    }

    pub(crate) fn invalid(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(Reason::InvalidField, field, message)
    }
}

impl Refusal {
    /// What is wrong, where the field is told beside it.
    pub(crate) fn told(&self) -> String {
        match &self.closest {
            Some(name) => format!("{}; did you mean `{name}`?", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.message)?;
        match &self.closest {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidField => "INVALID_FIELD",
            Self::UnknownAttribute => "UNKNOWN_ATTRIBUTE",
            Self::UnknownContact => "UNKNOWN_CONTACT",
            Self::UnknownAccount => "UNKNOWN_ACCOUNT",
            Self::ErasedContact => "ERASED_CONTACT",
            Self::WrongKind => "WRONG_KIND",
            Self::ReservedEventName => "RESERVED_EVENT_NAME",
            Self::DealOfNobody => "DEAL_OF_NOBODY",
            Self::TooManyDeals => "TOO_MANY_DEALS",
            Self::TooManyAttributes => "TOO_MANY_ATTRIBUTES",
        }
    }
}
