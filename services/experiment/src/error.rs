//! What can go wrong, and what a client is told.

use cursus_fault::{Fault, internal};
use tonic::{Code, Status};

use crate::design;

/// The domain of the reasons given here.
const DOMAIN: &str = "experiment.cursus";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{field}`: {why}")]
    Invalid { field: String, why: String },
    #[error("there is no experiment `{0}`")]
    NoSuchExperiment(String),
    #[error(
        "`{0}` exists already: choose another id, or repeat the first request with its request id"
    )]
    Exists(String),
    #[error("the experiment has started: only a draft takes assignments")]
    NotDraft,
    #[error("the experiment has not started")]
    NotStarted,
    #[error("units are still being exposed: close the exposure first")]
    NotClosed,
    #[error("another decision was recorded")]
    Decided,
    #[error("the experiment was stopped: nothing is decided any more")]
    Stopped,
    #[error("the error is spent: after the last look no later deadline would be honest")]
    AlphaSpent,
    #[error("a test without a deadline goes on until it is ended")]
    NoDeadline,
    #[error("the experiment is counted elsewhere: tell counts, not what units did")]
    Aggregated,
    #[error("the experiment is counted by what units did: tell that, or say so in the design")]
    NotAggregated,
    #[error("a bandit draws the arms of its units when they are asked for: none are imported")]
    Bandit,
    #[error("other counts were told under this number")]
    SequenceReused,
    #[error("other experiments have too much of the layer `{0}`: stop one, or ask for less")]
    LayerFull(String),
    #[error(
        "the design is not the one that was approved: read it again and have it approved as it is"
    )]
    DigestMismatch,
    #[error("the page token is malformed: send back `next_page_token` as it was given")]
    PageToken,
    #[error("the data cannot be judged")]
    Statistics(#[from] cursus_statistics::Error),
    #[error("the work was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
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

impl From<design::Malformed> for Error {
    fn from(malformed: design::Malformed) -> Self {
        let field = format!("experiment.design.{}", malformed.field);
        Self::Invalid { field, why: malformed.why.to_owned() }
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
            Error::NoSuchExperiment(name) => {
                Fault::new(Code::NotFound, "NOT_FOUND").with("name", name)
            }
            Error::Exists(name) => Fault::new(Code::AlreadyExists, "EXISTS").with("name", name),
            Error::NotDraft => Fault::new(Code::FailedPrecondition, "NOT_DRAFT"),
            Error::NotStarted => Fault::new(Code::FailedPrecondition, "NOT_STARTED"),
            Error::NotClosed => Fault::new(Code::FailedPrecondition, "NOT_CLOSED"),
            Error::Decided => Fault::new(Code::FailedPrecondition, "DECIDED"),
            Error::Stopped => Fault::new(Code::FailedPrecondition, "STOPPED"),
            Error::AlphaSpent => Fault::new(Code::FailedPrecondition, "ALPHA_SPENT"),
            Error::NoDeadline => Fault::new(Code::FailedPrecondition, "NO_DEADLINE"),
            Error::Aggregated => Fault::new(Code::FailedPrecondition, "AGGREGATED"),
            Error::NotAggregated => Fault::new(Code::FailedPrecondition, "NOT_AGGREGATED"),
            Error::Bandit => Fault::new(Code::FailedPrecondition, "BANDIT"),
            Error::SequenceReused => Fault::new(Code::AlreadyExists, "SEQUENCE_REUSED"),
            Error::LayerFull(layer) => {
                Fault::new(Code::FailedPrecondition, "LAYER_FULL").with("layer", layer)
            }
            Error::DigestMismatch => Fault::new(Code::FailedPrecondition, "DIGEST_MISMATCH"),
            Error::Statistics(_) | Error::BrokenOff(_) => return internal(&error),
            Error::Request(error) => return request(error),
            Error::Database(source) => return database(source, &error),
        };
        fault.status(DOMAIN, &error)
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
