//! Private Postgres and Redis servers on loopback, in scratch directories.

mod installation;
mod postgres;
mod redis;
mod redis_cluster;

pub use self::installation::{Installation, on_path};
pub use self::postgres::{Durability, Postgres};
pub use self::redis::Redis;
pub use self::redis_cluster::RedisCluster;
