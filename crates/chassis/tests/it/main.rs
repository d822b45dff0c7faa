//! The chassis as services and their callers see it: a real server on a real port, with a small
//! service of its own.

mod peers;
mod requests;
mod stopping;
mod support;
