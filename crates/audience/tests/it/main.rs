//! The crate as its users see it.

mod crowds;
mod data;
mod errors;
mod evaluation;
mod oracle;
mod properties;
mod residence;
mod texts;
