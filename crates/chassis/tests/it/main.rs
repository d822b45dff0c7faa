//! The chassis as services and their callers see it: a real server on a real port, with a small
//! service of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod peers;
mod requests;
mod stopping;
mod support;
mod traces;
