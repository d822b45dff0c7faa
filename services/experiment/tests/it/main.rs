//! The real service over gRPC, with a clock that is moved by hand and the feeds of delivery and segmentation played by
//! scripts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod actors;
mod aggregates;
mod assignment;
mod bandit;
mod covariates;
mod creation;
mod decisions;
mod evidence;
mod feeds;
mod guardrails;
mod hillstrom;
mod imports;
mod interventions;
mod layers;
mod looks;
mod memory;
mod open_ended;
mod outage;
mod readings;
mod replicas;
mod results;
mod sizing;
mod world;
