//! One conversation with a relay, in two steps, so that the caller knows what a failure means.
//!
//! [`Connection::offer`] goes as far as the server's permission to send; nothing can have been delivered yet, so any
//! failure there may be tried again. [`Offer::commit`] sends the message and the final dot; from the first byte of the
//! dot until the reply, only the server knows whether it took the message ([`Failure::Broken`] with `before_dot: false`).
//! The record of the intent belongs between the two.
//!
//! This speaks SMTP itself rather than through a client library: those at hand send body, dot and reply as one step, keep
//! plain-text bytes that arrived before STARTTLS took effect, and read a line of any length into memory.

use std::fmt;

use crate::{Address, Reply};

mod connection;
mod hello;
mod relay;
mod wire;

pub use connection::{Connection, Offer};
pub use relay::{Credentials, Relay, Timeouts, Tls, TlsRoots};

/// Who the message is from and to, as the servers see it. One recipient each, so that every outcome is one person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where bounces go; none sends a message that must not bounce.
    pub from: Option<Address>,
    pub to: Address,
}

/// The step of the conversation at which the server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Greeting,
    Hello,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// After the final dot.
    Body,
}

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A definite answer: the server did not take the message. The connection can be used again unless it closed.
    #[error("refused at {stage}: {reply}")]
    Refused { stage: Stage, reply: Reply },
    /// No definite answer. The connection is finished. Before the dot the message is certainly not delivered; after it,
    /// nobody on this side can know.
    #[error("connection broken {}: {detail}", if *before_dot { "before the final dot" } else { "after the final dot" })]
    Broken { before_dot: bool, detail: String },
    /// The relay cannot be used as configured (no STARTTLS where it is required, a certificate that does not fit, no
    /// common way to authenticate). Nothing was sent.
    #[error("relay unusable: {detail}")]
    Unusable { detail: String },
}

impl Failure {
    fn unusable(detail: impl Into<String>) -> Self {
        Self::Unusable { detail: detail.into() }
    }

    fn before_dot(error: impl fmt::Display) -> Self {
        Self::Broken { before_dot: true, detail: error.to_string() }
    }

    fn after_dot(error: impl fmt::Display) -> Self {
        Self::Broken { before_dot: false, detail: error.to_string() }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Body => "the message",
        })
    }
}

#[cfg(test)]
mod tests;
