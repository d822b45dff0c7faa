//! What can go wrong, and what a client is told.

use std::fmt;

use cursus_fault::{Fault, internal};
use tonic::{Code, Status};

use crate::approval::Refusal;
use crate::peers;

/// The domain of the reasons given here.
const DOMAIN: &str = "delivery.cursus";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{field}`: {why}")]
    Invalid { field: &'static str, why: String },
    #[error("there is no {what} `{name}`")]
    NoSuch { what: &'static str, name: String },
    #[error(
        "`{0}` exists already: choose another id, or repeat the first request with its request id"
    )]
    Exists(String),
    #[error(transparent)]
    Approval(#[from] Refusal),
    #[error(
        "the broadcast is over: nothing of it can be paused, resumed, cancelled or released any more"
    )]
    Over,
    #[error("the remainder was already given the arm `{0}`")]
    Released(String),
    #[error("the page token is malformed: send back `next_page_token` as it was given")]
    PageToken,
    #[error(transparent)]
    Peer(#[from] peers::Error),
    #[error(transparent)]
    Feed(#[from] cursus_feed::Error),
    #[error(transparent)]
    Request(#[from] cursus_once::Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, why: impl fmt::Display) -> Self {
        Self::Invalid { field, why: why.to_string() }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let fault = match &error {
            Error::Invalid { field, .. } => {
                Fault::new(Code::InvalidArgument, "INVALID_FIELD").with("field", field)
            }
            Error::PageToken => {
                Fault::new(Code::InvalidArgument, "INVALID_FIELD").with("field", "page_token")
            }
            Error::NoSuch { what, name } => {
                Fault::new(Code::NotFound, "NOT_FOUND").with("kind", what).with("name", name)
            }
            Error::Exists(name) => Fault::new(Code::AlreadyExists, "EXISTS").with("name", name),
            Error::Approval(Refusal::Required) => {
                Fault::new(Code::FailedPrecondition, "APPROVAL_REQUIRED")
            }
            Error::Approval(Refusal::Mismatch(what)) => {
                Fault::new(Code::FailedPrecondition, "APPROVAL_MISMATCH").with("differs", what)
            }
            Error::Over => Fault::new(Code::FailedPrecondition, "BROADCAST_OVER"),
            Error::Released(arm) => {
                Fault::new(Code::FailedPrecondition, "ALREADY_RELEASED").with("arm", arm)
            }
            Error::Peer(error) => return peer(error),
            Error::Feed(error) => return feed(error),
            Error::Request(error) => return request(error),
            Error::Database(source) => return database(source, &error),
        };
        fault.status(DOMAIN, &error)
    }
}

fn peer(error: &peers::Error) -> Status {
    match error {
        peers::Error::NotFound { what, name } => Fault::new(Code::FailedPrecondition, "NOT_FOUND")
            .with("kind", what)
            .with("name", name)
            .status(DOMAIN, error),
        peers::Error::Failed { peer, source } if is_passing(source.code()) => {
            Fault::new(Code::Unavailable, "PEER_UNAVAILABLE")
                .with("peer", peer)
                .status(DOMAIN, error)
        }
        peers::Error::Failed { .. } | peers::Error::Malformed { .. } => internal(error),
    }
}

fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
}

fn feed(error: &cursus_feed::Error) -> Status {
    let (code, reason) = match error {
        cursus_feed::Error::Malformed(_) => (Code::InvalidArgument, "MALFORMED_CURSOR"),
        cursus_feed::Error::Expired => (Code::FailedPrecondition, "CURSOR_EXPIRED"),
        cursus_feed::Error::Unknown => (Code::FailedPrecondition, "CURSOR_UNKNOWN"),
        cursus_feed::Error::Moved { .. } => return internal(error),
        cursus_feed::Error::Database(source) => return database(source, error),
    };
    Fault::new(code, reason).status(DOMAIN, error)
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
    if is_away(source) {
        return Fault::new(Code::Unavailable, "DATABASE_UNAVAILABLE")
            .status(DOMAIN, "the database is not available: try again");
    }
    internal(error)
}

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, too many connections, the server stopping, starting or recovering, and what was
            // cancelled for taking too long to get a lock.
            code.starts_with("08")
                || ["53300", "57P01", "57P02", "57P03", "55P03"].contains(&&*code)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_that_does_not_fit_is_told_apart_from_none() {
        let status = Status::from(Error::Approval(Refusal::Required));
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(cursus_fault::reason(&status).as_deref(), Some("APPROVAL_REQUIRED"));
        let status = Status::from(Error::Approval(Refusal::Mismatch("digest")));
        assert_eq!(cursus_fault::reason(&status).as_deref(), Some("APPROVAL_MISMATCH"));
        assert_eq!(cursus_fault::value(&status, "differs").as_deref(), Some("digest"));
    }

    #[test]
    fn a_database_that_is_away_may_be_tried_again_and_a_mistake_may_not() {
        let status = Status::from(Error::Database(sqlx::Error::PoolTimedOut));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(cursus_fault::reason(&status).as_deref(), Some("DATABASE_UNAVAILABLE"));
        let status = Status::from(Error::Database(sqlx::Error::RowNotFound));
        assert_eq!(status.code(), Code::Internal);
    }
}
