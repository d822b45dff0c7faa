//! Special functions and the two numerical tools under them. Published Rust crates lose digits where we need them
//! (incomplete beta at shapes of a million, tails as one minus the rest), so these are our own.

pub(crate) mod beta;
pub(crate) mod dirichlet;
pub(crate) mod gamma;
pub(crate) mod normal;
pub(crate) mod quadrature;
pub(crate) mod root;
pub(crate) mod student;
