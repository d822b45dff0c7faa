//! The real service over gRPC, with segmentation played by a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod drafts;
mod publishing;
mod rendering;
mod segmentation;
mod world;
