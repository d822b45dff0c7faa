//! What can go wrong, and what a client is told.

use std::fmt;

use cursus_fault::{Fault, internal};
use cursus_ids::ParseError;
use cursus_template::RenderError;
use tonic::{Code, Status};

use crate::peers;
use crate::version::{Findings, part};

/// The domain of the reasons given here.
const DOMAIN: &str = "content.cursus";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{field}`: {why}")]
    Invalid { field: String, why: String },
    #[error("there is no {what} `{name}`")]
    NoSuch { what: What, name: String },
    #[error(
        "`{0}` exists already: choose another id, or repeat the first request with its request id"
    )]
    Exists(String),
    #[error("`{0}` has changed since it was read: read it again")]
    Stale(String),
    #[error("the draft changed again and again while it was compiled: try again")]
    Contended,
    #[error("the template cannot be published: {0}")]
    Findings(Findings),
    #[error("a stored version cannot be read")]
    Corrupt(#[source] RenderError),
    #[error(transparent)]
    Peer(#[from] peers::Error),
    #[error(transparent)]
    Request(#[from] cursus_once::Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The kinds of things that may exist or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Template,
    Version,
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Invalid { field: field.into(), why: why.to_string() }
    }

    /// A name that is malformed.
    pub(crate) fn name(field: &str) -> impl Fn(ParseError) -> Self {
        move |error| Self::invalid(field, error)
    }

    pub(crate) fn no_such(what: What, name: impl fmt::Display) -> Self {
        Self::NoSuch { what, name: name.to_string() }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Template => "template",
            Self::Version => "template version",
        })
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let fault = match &error {
            Error::Invalid { field, .. } => {
                Fault::new(Code::InvalidArgument, "INVALID_FIELD").with("field", field)
            }
            Error::NoSuch { what: What::Template, name } => {
                Fault::new(Code::NotFound, "NO_SUCH_TEMPLATE").with("template", name)
            }
            Error::NoSuch { what: What::Version, name } => {
                Fault::new(Code::NotFound, "NO_SUCH_TEMPLATE_VERSION").with("version", name)
            }
            Error::Exists(name) => {
                Fault::new(Code::AlreadyExists, "TEMPLATE_EXISTS").with("template", name)
            }
            Error::Stale(name) => Fault::new(Code::Aborted, "STALE_ETAG").with("template", name),
            Error::Contended => Fault::new(Code::Aborted, "CONTENDED"),
            Error::Findings(findings) => invalid(findings),
            Error::Corrupt(_) => return internal(&error),
            Error::Peer(error) => return peer(error),
            Error::Request(error) => return request(error),
            Error::Database(source) => return database(source, &error),
        };
        fault.status(DOMAIN, &error)
    }
}

fn invalid(findings: &Findings) -> Fault {
    let fault = Fault::new(Code::InvalidArgument, "TEMPLATE_INVALID");
    let Some(first) = findings.first() else { return fault };
    let fault = fault.with("code", first.code.as_str()).with("part", part(first.part));
    fault.with("line", first.line.unwrap_or(0))
}

fn peer(error: &peers::Error) -> Status {
    match error {
        peers::Error::Failed(source) if is_passing(source.code()) => {
            tracing::warn!(error = cursus_fault::chain(error), "a peer did not answer");
            Fault::new(Code::Unavailable, "PEER_UNAVAILABLE")
                .with("peer", "segmentation")
                .status(DOMAIN, "the segmentation service is not available: try again")
        }
        _ => internal(error),
    }
}

fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
}

fn request(error: &cursus_once::Error) -> Status {
    let (code, reason) = match error {
        cursus_once::Error::Malformed => (Code::InvalidArgument, "MALFORMED_REQUEST_ID"),
        cursus_once::Error::Reused => (Code::AlreadyExists, "REQUEST_ID_REUSED"),
        cursus_once::Error::Unanswered => return internal(error),
        cursus_once::Error::Database(source) => return database(source, error),
    };
    Fault::new(code, reason).status(DOMAIN, error)
}

/// A database that is away comes back, so the caller may try again; anything else is our mistake.
fn database(source: &sqlx::Error, error: &dyn std::error::Error) -> Status {
    if !is_away(source) {
        return internal(error);
    }
    tracing::warn!(error = cursus_fault::chain(error), "the database did not answer a request");
    Fault::new(Code::Unavailable, "DATABASE_UNAVAILABLE")
        .status(DOMAIN, "the database is not available: try again")
}

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, too many connections, the server stopping, starting or recovering, and what was
            // cancelled for taking too long to get a lock.
            code.starts_with("08")
                || code.starts_with("57P")
                || ["53300", "55P03"].contains(&&*code)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use cursus_template::{Code as FindingCode, Finding, Part, Severity};

    use super::*;

    fn check(error: Error, code: Code, reason: &str) {
        let status = Status::from(error);
        assert_eq!((status.code(), cursus_fault::reason(&status).as_deref()), (code, Some(reason)));
    }

    #[test]
    fn clients_are_told_codes_and_reasons() {
        check(Error::invalid("page_size", "x"), Code::InvalidArgument, "INVALID_FIELD");
        check(Error::no_such(What::Template, "t"), Code::NotFound, "NO_SUCH_TEMPLATE");
        check(Error::no_such(What::Version, "v"), Code::NotFound, "NO_SUCH_TEMPLATE_VERSION");
        check(Error::Stale("t".to_owned()), Code::Aborted, "STALE_ETAG");
        check(Error::Contended, Code::Aborted, "CONTENDED");
        check(sqlx::Error::PoolTimedOut.into(), Code::Unavailable, "DATABASE_UNAVAILABLE");
        check(cursus_once::Error::Reused.into(), Code::AlreadyExists, "REQUEST_ID_REUSED");
    }

    #[test]
    fn a_peer_that_is_away_may_be_asked_again_and_one_that_refuses_us_is_our_own_fault() {
        let failed = |status| Error::Peer(peers::Error::Failed(status));
        check(failed(Status::unavailable("gone")), Code::Unavailable, "PEER_UNAVAILABLE");
        let status = Status::from(failed(Status::permission_denied("not you")));
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    }

    #[test]
    fn the_first_finding_is_told_to_machines() {
        let finding = Finding {
            severity: Severity::Error,
            code: FindingCode::UnknownField,
            part: Part::Body,
            line: Some(7),
            message: "no such field".to_owned(),
        };
        let status = Status::from(Error::Findings(Findings::new(vec![finding])));
        let value = |field| cursus_fault::value(&status, field);
        assert_eq!(value("code").as_deref(), Some("UNKNOWN_FIELD"));
        assert_eq!((value("part"), value("line")), (Some("mjml".into()), Some("7".into())));
        assert!(status.message().contains("mjml, line 7: no such field"), "{}", status.message());
    }
}
