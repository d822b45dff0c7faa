//! What can go wrong, and what a client is told.

use cursus_fault::{Fault, internal};
use tonic::{Code, Status};

use crate::{approval, campaign, peers};

/// The domain of the reasons given here.
const DOMAIN: &str = "orchestrator.cursus";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{field}`: {why}")]
    Invalid { field: String, why: String },
    #[error("there is no {what} `{name}`")]
    NoSuch { what: &'static str, name: String },
    #[error(
        "`{0}` exists already: choose another id, or repeat the first request with its request id"
    )]
    Exists(String),
    #[error("the campaign changed since it was read: read it again and repeat the change")]
    Stale,
    #[error(transparent)]
    Campaign(#[from] campaign::Refusal),
    #[error(transparent)]
    Approval(#[from] approval::Refusal),
    #[error("the page token is malformed: send back `next_page_token` as it was given")]
    PageToken,
    #[error(transparent)]
    Peer(#[from] peers::Error),
    #[error(transparent)]
    Request(#[from] cursus_once::Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Invalid { field: field.into(), why: why.to_string() }
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
            Error::Stale => Fault::new(Code::Aborted, "STALE_ETAG"),
            Error::Campaign(refusal) => {
                Fault::new(Code::FailedPrecondition, campaign_reason(refusal))
            }
            Error::Approval(approval::Refusal::SelfApproval) => {
                Fault::new(Code::PermissionDenied, "SELF_APPROVAL")
            }
            Error::Approval(refusal) => {
                Fault::new(Code::FailedPrecondition, approval_reason(refusal))
            }
            Error::Peer(error) => return peer(error),
            Error::Request(error) => return request(error),
            Error::Database(source) => return database(source, &error),
        };
        fault.status(DOMAIN, &error)
    }
}

fn campaign_reason(refusal: &campaign::Refusal) -> &'static str {
    use campaign::Refusal;
    match refusal {
        Refusal::NotChangeable => "NOT_CHANGEABLE",
        Refusal::NotDraft => "NOT_DRAFT",
        Refusal::ApprovalRequired => "APPROVAL_REQUIRED",
        Refusal::ApprovalVoid(_) => "APPROVAL_VOID",
        Refusal::ScheduledLater(_) => "SCHEDULED_LATER",
        Refusal::NotLaunched => "NOT_LAUNCHED",
        Refusal::NotPausable => "NOT_PAUSABLE",
        Refusal::NotPaused => "NOT_PAUSED",
        Refusal::Ended => "ENDED",
        Refusal::NotAwaitingDecision => "NOT_AWAITING_DECISION",
    }
}

fn approval_reason(refusal: &approval::Refusal) -> &'static str {
    match refusal {
        approval::Refusal::SelfApproval => "SELF_APPROVAL",
        approval::Refusal::DigestMismatch => "DIGEST_MISMATCH",
        approval::Refusal::NotPending => "APPROVAL_NOT_PENDING",
        approval::Refusal::Expired => "APPROVAL_EXPIRED",
    }
}

fn peer(error: &peers::Error) -> Status {
    match error {
        peers::Error::Refused { field, peer, .. } => {
            Fault::new(Code::FailedPrecondition, "NOT_READY")
                .with("field", field)
                .with("peer", peer)
                .status(DOMAIN, error)
        }
        peers::Error::NotReady { field, .. } => Fault::new(Code::FailedPrecondition, "NOT_READY")
            .with("field", field)
            .status(DOMAIN, error),
        peers::Error::Away { peer, .. } => Fault::new(Code::Unavailable, "PEER_UNAVAILABLE")
            .with("peer", peer)
            .status(DOMAIN, error),
        peers::Error::Malformed { .. } => internal(error),
    }
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
