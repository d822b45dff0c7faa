//! The real service over gRPC, with the other services played by a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod approvals;
mod campaigns;
mod decisions;
mod launches;
mod peers;
mod world;
