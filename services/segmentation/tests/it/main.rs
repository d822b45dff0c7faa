//! The service over gRPC: a real port, a real Postgres and a real Redis, and a clock that is moved by hand.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers are part of the tests that use them"
)]

mod accounts;
mod backlog;
mod companies;
mod contacts;
mod crm;
mod deals;
mod erasure;
mod events;
mod faults;
mod firmographics;
mod following;
mod insights;
mod membership;
mod merging;
mod oracle;
mod outcomes;
mod previews;
mod replicas;
mod rules;
mod segments;
mod sheets;
mod shopping;
mod snapshots;
mod strangers;
mod tracking;
mod transitions;
mod workspaces;
mod world;
