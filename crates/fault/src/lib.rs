//! How a failure is told to a client.
//!
//! A service maps its own error type to a [`Status`] in one place. The code says what kind of
//! failure it is, the message is the error's own, and a `google.rpc.ErrorInfo` carries a reason
//! that never changes meaning, for machines. Failures of our own making are logged here, once,
//! and the client learns only that they happened.
//!
//! ```
//! # use cursus_fault::{Fault, internal};
//! # use tonic::{Code, Status};
//! # #[derive(Debug, thiserror::Error)]
//! # enum Error {
//! #     #[error("no segment is named `{0}`")] NoSuchSegment(String),
//! #     #[error("the database failed")] Database(#[from] std::io::Error),
//! # }
//! # const DOMAIN: &str = "segmentation.cursus";
//! fn told(error: Error) -> Status {
//!     let fault = match &error {
//!         Error::NoSuchSegment(name) => {
//!             Fault::new(Code::NotFound, "NO_SUCH_SEGMENT").with("segment", name)
//!         }
//!         Error::Database(_) => return internal(&error),
//!     };
//!     fault.status(DOMAIN, &error)
//! }
//! let status = told(Error::NoSuchSegment("workspaces/acme/segments/lapsed".to_owned()));
//! assert_eq!(cursus_fault::reason(&status).as_deref(), Some("NO_SUCH_SEGMENT"));
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{Display, Write};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Longest message told, in bytes: details travel in HTTP/2 trailers, which peers bound to 16 KiB,
/// and are percent-encoded (three bytes for one) on the way.
const LONGEST_MESSAGE: usize = 1024;
/// Longest metadata value told, in bytes, for the same reason.
const LONGEST_VALUE: usize = 256;

/// A failure on its way to the client: its code, its reason and the values that explain it.
#[derive(Clone, Debug)]
#[must_use = "a fault is told by turning it into a status"]
pub struct Fault {
    code: Code,
    reason: &'static str,
    metadata: HashMap<String, String>,
}

impl Fault {
    /// `reason` is `UPPER_SNAKE_CASE` and never changes meaning.
    pub fn new(code: Code, reason: &'static str) -> Self {
        Self { code, reason, metadata: HashMap::new() }
    }

    /// Adds a value a machine may want, such as the field that was refused.
    pub fn with(mut self, field: &str, value: impl Display) -> Self {
        self.metadata.insert(field.to_owned(), shortened(value.to_string(), LONGEST_VALUE));
        self
    }

    /// The status to answer with; `error` gives the message. `domain` names the service whose
    /// reasons these are.
    pub fn status(self, domain: &str, error: impl Display) -> Status {
        let details = ErrorDetails::with_error_info(self.reason, domain, self.metadata);
        let message = shortened(error.to_string(), LONGEST_MESSAGE);
        Status::with_error_details(self.code, message, details)
    }
}

/// Logs a failure of our own with its whole chain of sources, and hides it from the client.
pub fn internal(error: &dyn Error) -> Status {
    tracing::error!(error = chain(error), "a request failed for a reason of our own");
    Status::internal("internal error")
}

/// The error and everything that caused it, on one line: `outer: middle: root`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// The reason a status carries, if it came from a [`Fault`].
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// The value a status carries under `field`, if it came from a [`Fault`].
pub fn value(status: &Status, field: &str) -> Option<String> {
    status.get_details_error_info()?.metadata.remove(field)
}

fn shortened(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the segment was not saved")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_fault_carries_its_code_reason_values_and_message() {
        let status = Fault::new(Code::InvalidArgument, "INVALID_FIELD")
            .with("field", "rule")
            .status("test.cursus", "the rule is empty");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "the rule is empty");
        assert_eq!(reason(&status).as_deref(), Some("INVALID_FIELD"));
        assert_eq!(value(&status, "field").as_deref(), Some("rule"));
        assert_eq!(status.get_details_error_info().unwrap().domain, "test.cursus");
    }

    #[test]
    fn our_own_failures_are_hidden_from_the_client() {
        let status = internal(&Outer(std::io::Error::other("password authentication failed")));
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), "internal error");
        assert!(status.details().is_empty());
    }

    #[test]
    fn a_chain_tells_every_source_once() {
        let error = Outer(std::io::Error::other("disk full"));
        assert_eq!(chain(&error), "the segment was not saved: disk full");
    }

    #[test]
    fn long_texts_are_cut_between_characters_so_that_trailers_stay_small() {
        let long = "é".repeat(40_000);
        let status = Fault::new(Code::NotFound, "X").with("name", &long).status("test", &long);
        assert!(status.message().len() <= LONGEST_MESSAGE + '…'.len_utf8());
        assert!(status.message().ends_with("é…"));
        assert!(value(&status, "name").unwrap().len() <= LONGEST_VALUE + '…'.len_utf8());
    }

    #[test]
    fn a_plain_status_has_no_reason() {
        assert_eq!(reason(&Status::not_found("nothing")), None);
    }
}
