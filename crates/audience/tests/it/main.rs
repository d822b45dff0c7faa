//! The crate as its users see it.

mod data;
mod errors;
mod evaluation;
mod oracle;
mod properties;
mod texts;
