//! The crate as its users see it.

mod crowds;
mod data;
mod errors;
mod evaluation;
mod explanations;
mod language;
mod oracle;
mod properties;
mod reading;
mod residence;
mod roundtrips;
mod rules;
mod texts;
