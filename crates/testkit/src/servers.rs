//! Private Postgres and Redis servers on loopback, in scratch directories.

mod installation;
mod postgres;
mod redis;

pub use self::installation::{Installation, on_path};
pub use self::postgres::{Durability, Postgres};
pub use self::redis::Redis;
