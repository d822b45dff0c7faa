//! Every setting.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use cursus_chassis::config;
use cursus_chassis::{DatabaseConfig, PeerConfig, ServeConfig, TelemetryConfig};
use http::Uri;

/// Keeps contacts, events and segments, and says who is in which segment now.
#[derive(Clone, Debug, Parser)]
#[command(name = "cursus-segmentation", version)]
pub struct Config {
    #[command(flatten)]
    pub serve: ServeConfig,

    #[command(flatten)]
    pub telemetry: TelemetryConfig,

    #[command(flatten)]
    pub database: DatabaseConfig,

    #[command(flatten)]
    pub peers: PeerConfig,

    /// Redis that holds copies of membership bitmaps: its `redis://` address, or those of some nodes of a Redis Cluster
    /// separated by commas. Answers are right without it, only slower.
    #[arg(long, env = "CURSUS_REDIS_URL", hide_env_values = true)]
    pub redis_url: RedisUrl,

    /// The delivery service, whose outcomes become events. Without it there are no `email.` events.
    #[arg(long, env = "CURSUS_DELIVERY_URL", value_parser = config::address)]
    pub delivery_url: Option<Uri>,

    /// Address to take calls of the Segment tracking API on, over plain HTTP behind a proxy that ends TLS.
    #[arg(long, env = "CURSUS_INGEST_LISTEN", default_value = "0.0.0.0:7002")]
    pub ingest_listen: SocketAddr,

    /// How often background work looks whether there is something to do of which it was not told.
    #[arg(long, env = "CURSUS_POLL_INTERVAL", default_value = "1s", value_parser = config::duration)]
    pub poll_interval: Duration,

    /// Memory for the columns of blocks that stay between evaluations, in MiB. A million contacts with 20 events each
    /// take about 500; blocks for which there is no room are read from the database each time.
    #[arg(long, env = "CURSUS_RESIDENT_MIB", default_value_t = 2_048)]
    pub resident_mib: usize,

    /// How long the history of who entered and left segments is kept, by whole months.
    #[arg(long, env = "CURSUS_TRANSITIONS_KEPT", default_value = "90d", value_parser = config::duration)]
    pub transitions_kept: Duration,
}

/// Where Redis is and how to log in; neither is shown by `Debug`.
#[derive(Clone)]
pub struct RedisUrl(Vec<redis::ConnectionInfo>);

impl RedisUrl {
    /// One server, or some nodes of a cluster.
    pub(crate) fn nodes(&self) -> &[redis::ConnectionInfo] {
        &self.0
    }
}

impl std::str::FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The client's own message may quote the address, and so the password.
        let node =
            |text: &str| text.trim().parse().map_err(|_| "not a `redis://` address".to_owned());
        text.split(',').map(node).collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisUrl(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redis_password_is_never_shown() {
        let url: RedisUrl = "redis://:secret@cache:6379".parse().unwrap();
        assert!(!format!("{url:?}").contains("secret"));
        let cluster: RedisUrl = "redis://:secret@a:6379, redis://:secret@b:6379".parse().unwrap();
        assert_eq!(cluster.nodes().len(), 2);
        assert!(!format!("{cluster:?}").contains("secret"));
        assert!("redis://a:6379,".parse::<RedisUrl>().is_err());
        let refused = "http://:secret@cache".parse::<RedisUrl>().unwrap_err();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
