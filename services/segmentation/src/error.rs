//! What can go wrong, and what a client is told.

use cursus_audience::{MalformedBits, RuleError, TextError};
use cursus_fault::{Fault, internal};
use cursus_ids::ParseError;
use tonic::{Code, Status};

use crate::packed::Malformed;
use crate::refusal::Refusal;

const DOMAIN: &str = "segmentation.cursus";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{field}`: {message}")]
    Invalid { field: String, message: String },
    #[error("{refusal}")]
    Refused { row: Option<usize>, refusal: Refusal },
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error("`rule_text`: {0}")]
    RuleText(TextError),
    #[error("the rule of `{by}` refers to `{segment}`; change or delete that first")]
    InUse { segment: String, by: String },
    #[error("no {what} is named `{name}`")]
    NoSuch { what: What, name: String },
    #[error("`{name}` exists already")]
    Exists { what: What, name: String },
    #[error("contacts, deals or other accounts still name `{0}`; change those first")]
    AccountInUse(String),
    #[error("`{0}` has changed since it was read; read it again")]
    Stale(String),
    #[error("the members of `{0}` are being computed for the first time; ask again soon")]
    Computing(String),
    #[error("a workspace has at most {0} attributes")]
    TooManyAttributes(usize),
    #[error("a workspace has at most {0} write keys that are not revoked; revoke one first")]
    TooManyWriteKeys(i64),
    #[error("too many others change the same contacts; try again")]
    Contended,
    #[error("membership cannot be told for certain while the database does not answer; try again")]
    Uncertain,
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
    #[error(transparent)]
    Once(#[from] cursus_once::Error),
    #[error(transparent)]
    Feed(#[from] cursus_feed::Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The kinds of things that may exist or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Account,
    Attribute,
    Contact,
    Deal,
    Erasure,
    Segment,
    Snapshot,
    WriteKey,
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    /// Whether another transaction was in the way, so that doing it again is enough.
    pub(crate) fn is_contended(&self) -> bool {
        let (Self::Database(source) | Self::Feed(cursus_feed::Error::Database(source))) = self
        else {
            return false;
        };
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| CONTENDED.contains(&&*code))
    }

    /// A name that is malformed.
    pub(crate) fn name(field: &str) -> impl Fn(ParseError) -> Self {
        move |error| Self::invalid(field, error.to_string())
    }

    pub(crate) fn no_such(what: What, name: &impl ToString) -> Self {
        Self::NoSuch { what, name: name.to_string() }
    }

    /// Whether asking again may help. What is our own fault is logged.
    pub(crate) fn passes(self) -> bool {
        matches!(Status::from(self).code(), Code::Unavailable | Code::Aborted)
    }

    /// The same, of the only row there was.
    pub(crate) fn of_only_row(self) -> Self {
        match self {
            Self::Refused { refusal, .. } => Self::Refused { row: None, refusal },
            other => other,
        }
    }
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Attribute => "attribute",
            Self::Contact => "contact",
            Self::Deal => "deal",
            Self::Erasure => "erasure",
            Self::Segment => "segment",
            Self::Snapshot => "snapshot",
            Self::WriteKey => "write_key",
        }
    }

    fn missing(self) -> &'static str {
        match self {
            Self::Account => "NO_SUCH_ACCOUNT",
            Self::Attribute => "NO_SUCH_ATTRIBUTE",
            Self::Contact => "NO_SUCH_CONTACT",
            Self::Deal => "NO_SUCH_DEAL",
            Self::Erasure => "NO_SUCH_ERASURE",
            Self::Segment => "NO_SUCH_SEGMENT",
            Self::Snapshot => "NO_SUCH_SNAPSHOT",
            Self::WriteKey => "NO_SUCH_WRITE_KEY",
        }
    }

    fn exists(self) -> &'static str {
        match self {
            Self::Account => "ACCOUNT_EXISTS",
            Self::Attribute => "ATTRIBUTE_EXISTS",
            Self::Contact => "CONTACT_EXISTS",
            Self::Deal => "DEAL_EXISTS",
            Self::Erasure => "ERASURE_EXISTS",
            Self::Segment => "SEGMENT_EXISTS",
            Self::Snapshot => "SNAPSHOT_EXISTS",
            Self::WriteKey => "WRITE_KEY_EXISTS",
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<TextError> for Error {
    fn from(error: TextError) -> Self {
        Self::RuleText(error)
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Corrupt("attribute or property")
    }
}

impl From<MalformedBits> for Error {
    fn from(_: MalformedBits) -> Self {
        Self::Corrupt("container")
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let fault = match &error {
            Error::Invalid { field, .. } => {
                Fault::new(Code::InvalidArgument, "INVALID_FIELD").with("field", field)
            }
            Error::Refused { row, refusal } => refused(*row, refusal),
            Error::Rule(rule) => {
                let fault =
                    Fault::new(Code::InvalidArgument, "INVALID_RULE").with("field", &rule.path);
                closest(fault, rule.closest.as_deref())
            }
            Error::RuleText(fault) => {
                let place = fault.place;
                let told = Fault::new(Code::InvalidArgument, "INVALID_RULE")
                    .with("field", "rule_text")
                    .with("line", place.line)
                    .with("column", place.column)
                    .with("start", place.start)
                    .with("end", place.end);
                closest(told, fault.closest.as_deref())
            }
            Error::InUse { segment, by } => Fault::new(Code::FailedPrecondition, "SEGMENT_IN_USE")
                .with("segment", segment)
                .with("by", by),
            Error::NoSuch { what, name } => {
                Fault::new(Code::NotFound, what.missing()).with(what.as_str(), name)
            }
            Error::Exists { what, name } => {
                Fault::new(Code::AlreadyExists, what.exists()).with(what.as_str(), name)
            }
            Error::AccountInUse(name) => {
                Fault::new(Code::FailedPrecondition, "ACCOUNT_IN_USE").with("account", name)
            }
            Error::Stale(name) => Fault::new(Code::Aborted, "STALE_ETAG").with("segment", name),
            Error::Computing(name) => {
                Fault::new(Code::FailedPrecondition, "SEGMENT_COMPUTING").with("segment", name)
            }
            Error::TooManyAttributes(limit) => {
                Fault::new(Code::ResourceExhausted, "TOO_MANY_ATTRIBUTES").with("limit", limit)
            }
            Error::TooManyWriteKeys(limit) => {
                Fault::new(Code::ResourceExhausted, "TOO_MANY_WRITE_KEYS").with("limit", limit)
            }
            Error::Contended => Fault::new(Code::Aborted, "CONTENDED"),
            Error::Uncertain => Fault::new(Code::Unavailable, "DATABASE_UNAVAILABLE"),
            Error::Once(once) => match once {
                cursus_once::Error::Malformed => {
                    Fault::new(Code::InvalidArgument, "MALFORMED_REQUEST_ID")
                }
                cursus_once::Error::Reused => Fault::new(Code::AlreadyExists, "REQUEST_ID_REUSED"),
                cursus_once::Error::Unanswered => return internal(&error),
                cursus_once::Error::Database(source) => return database(source),
            },
            Error::Feed(feed) => match feed {
                cursus_feed::Error::Malformed(_) => {
                    Fault::new(Code::InvalidArgument, "MALFORMED_CURSOR")
                }
                cursus_feed::Error::Expired => {
                    Fault::new(Code::FailedPrecondition, "CURSOR_EXPIRED")
                }
                cursus_feed::Error::Unknown => {
                    Fault::new(Code::FailedPrecondition, "CURSOR_UNKNOWN")
                }
                cursus_feed::Error::Moved { .. } => return internal(&error),
                cursus_feed::Error::Database(source) => return database(source),
            },
            Error::Database(source) => return database(source),
            Error::Corrupt(_) => return internal(&error),
        };
        fault.status(DOMAIN, &error)
    }
}

fn refused(row: Option<usize>, refusal: &Refusal) -> Fault {
    let fault =
        Fault::new(Code::InvalidArgument, refusal.reason.as_str()).with("field", &refusal.field);
    let fault = closest(fault, refusal.closest.as_deref());
    match row {
        Some(row) => fault.with("row", row),
        None => fault,
    }
}

fn closest(fault: Fault, name: Option<&str>) -> Fault {
    match name {
        Some(name) => fault.with("closest", name),
        None => fault,
    }
}

/// A database that cannot be reached, or lost a race once too often, is worth another try; the rest is our own fault.
fn database(error: &sqlx::Error) -> Status {
    let (code, reason, message) = match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => UNREACHABLE,
        sqlx::Error::Database(source) => match source.code().as_deref() {
            Some(code) if CONTENDED.contains(&code) => {
                (Code::Aborted, "CONTENDED", "too many others write the same; try again")
            }
            Some(code) if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
                UNREACHABLE
            }
            _ => return internal(error),
        },
        _ => return internal(error),
    };
    tracing::warn!(error = cursus_fault::chain(error), "the database did not answer a request");
    Fault::new(code, reason).status(DOMAIN, message)
}

/// Could not serialize, deadlock, lock not available.
/// The last two: what is written is checked before, so that a key that is missing or there already was taken away or
/// written by another in between.
const CONTENDED: [&str; 5] = ["40001", "40P01", "55P03", "23503", "23505"];
const UNREACHABLE: (Code, &str, &str) =
    (Code::Unavailable, "DATABASE_UNAVAILABLE", "the database does not answer; try again");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Reason;

    fn check(error: Error, code: Code, reason: &str) {
        let status = Status::from(error);
        assert_eq!((status.code(), cursus_fault::reason(&status).as_deref()), (code, Some(reason)));
    }

    #[test]
    fn clients_are_told_codes_and_reasons() {
        check(Error::invalid("page_size", "x"), Code::InvalidArgument, "INVALID_FIELD");
        check(Error::no_such(What::Segment, &"s"), Code::NotFound, "NO_SUCH_SEGMENT");
        check(Error::Stale("s".to_owned()), Code::Aborted, "STALE_ETAG");
        check(Error::Uncertain, Code::Unavailable, "DATABASE_UNAVAILABLE");
        check(sqlx::Error::PoolTimedOut.into(), Code::Unavailable, "DATABASE_UNAVAILABLE");
        check(cursus_once::Error::Reused.into(), Code::AlreadyExists, "REQUEST_ID_REUSED");
    }

    #[test]
    fn a_refused_row_is_told_with_its_number_its_field_and_the_closest_name() {
        let mut refusal = Refusal::new(Reason::UnknownAttribute, "contact.attributes[plna]", "no");
        refusal.closest = Some("plan".to_owned());
        let status = Status::from(Error::Refused { row: Some(3), refusal });
        assert_eq!(cursus_fault::value(&status, "row").as_deref(), Some("3"));
        assert_eq!(
            cursus_fault::value(&status, "field").as_deref(),
            Some("contact.attributes[plna]")
        );
        assert_eq!(cursus_fault::value(&status, "closest").as_deref(), Some("plan"));
    }

    #[test]
    fn what_is_our_own_fault_is_hidden() {
        let status = Status::from(Error::Database(sqlx::Error::RowNotFound));
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    }
}
