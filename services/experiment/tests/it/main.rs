//! The real service over gRPC, with a clock that is moved by hand and the feeds of delivery and segmentation played by
//! scripts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod assignment;
mod creation;
mod decisions;
mod evidence;
mod feeds;
mod imports;
mod looks;
mod outage;
mod replicas;
mod results;
mod world;
