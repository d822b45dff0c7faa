//! Private Postgres and Redis servers on loopback, in scratch directories.

mod installation;
mod postgres;
mod redis;

pub use self::{
    installation::{Installation, on_path},
    postgres::{Durability, Postgres},
    redis::Redis,
};
