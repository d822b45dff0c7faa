//! What no single package can test: the five services together, and the rules of the whole tree.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod campaign;
mod cluster;
mod deployment;
mod outages;
mod processes;
mod strangers;
mod tidy;
