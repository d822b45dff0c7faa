//! The real service over gRPC, HTTP and SMTP, with the other services played by scripts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod approvals;
mod control;
mod crash;
mod ledger;
mod outage;
mod peers;
mod proxies;
mod suppression;
mod tracking;
mod watch;
mod world;
