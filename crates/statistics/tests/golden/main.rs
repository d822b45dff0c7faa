//! Our numbers against reference vectors made by independent implementations.
//!
//! The vectors are not part of this repository. `CURSUS_GOLDEN` names their file, or `CURSUS_DATA` the data folder with
//! the file in `statistics/`; without either, or without the file, every test here says so and passes.

#[cfg(test)]
mod anytime;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod means;
#[cfg(test)]
mod planning;
#[cfg(test)]
mod primitives;
#[cfg(test)]
mod sequential;
#[cfg(test)]
mod vectors;
