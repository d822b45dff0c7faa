//! The settings every service shares, as groups that a service's `Config` flattens, and the
//! parsers for values that services use in groups of their own.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use http::Uri;
use sqlx::postgres::PgConnectOptions;

/// How a service listens and what it accepts.
#[derive(Args, Clone, Debug)]
pub struct ServeConfig {
    /// Address to answer gRPC on. Port 0 takes any free one.
    #[arg(long, env = "CURSUS_LISTEN", default_value = "0.0.0.0:7000")]
    pub listen: SocketAddr,

    /// Address to answer `/metrics`, `/livez` and `/readyz` on, over plain HTTP.
    #[arg(long, env = "CURSUS_ADMIN_LISTEN", default_value = "0.0.0.0:7001")]
    pub admin_listen: SocketAddr,

    /// JSON file that says who may call: a list of `{"subject", "token_sha256", "roles",
    /// "workspaces"}`. It is read again when it changes.
    #[arg(long, env = "CURSUS_IDENTITIES_FILE")]
    pub identities_file: PathBuf,

    /// How long requests in flight may take to end once the service was told to stop. The pod's
    /// grace period must exceed it.
    #[arg(long, env = "CURSUS_DRAIN_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// The most time a unary request gets. A client that asks for less gets less. Streams get
    /// what they ask for.
    #[arg(long, env = "CURSUS_REQUEST_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub request_timeout: Duration,

    /// Largest message accepted, in bytes: pass it to `max_decoding_message_size`.
    #[arg(long, env = "CURSUS_MAX_MESSAGE_BYTES", default_value_t = 4 << 20)]
    pub max_message_bytes: usize,

    /// Requests worked on at once; more are refused with `RESOURCE_EXHAUSTED`. A stream counts
    /// until it starts to answer.
    #[arg(long, env = "CURSUS_MAX_CONCURRENT_REQUESTS", default_value_t = 512)]
    pub max_concurrent_requests: usize,
}

/// What a service tells about itself.
#[derive(Args, Clone, Debug)]
pub struct TelemetryConfig {
    /// How log lines look.
    #[arg(long, env = "CURSUS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Which log lines are written, such as `info` or `warn,cursus_delivery=debug`.
    #[arg(long, env = "CURSUS_LOG", default_value = "info")]
    pub log: String,

    /// Where traces are sent, as OTLP over gRPC, such as `http://collector:4317`. Without it none
    /// are made.
    #[arg(long, env = "CURSUS_OTLP_ENDPOINT", value_parser = address)]
    pub otlp_endpoint: Option<Uri>,

    /// Share of traces that begin here and are kept, from 0 to 1. A caller's decision is followed.
    #[arg(long, env = "CURSUS_TRACE_RATIO", default_value_t = 0.1)]
    pub trace_ratio: f64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors: one object a line.
    Json,
}

/// The service's own database.
#[derive(Args, Clone, Debug)]
pub struct DatabaseConfig {
    /// `postgres://…` address of the service's own database.
    #[arg(long, env = "CURSUS_DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,

    /// Connections kept at most.
    #[arg(long, env = "CURSUS_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: u32,

    /// How long to wait for the database to come up before giving up.
    #[arg(long, env = "CURSUS_DATABASE_WAIT", default_value = "30s", value_parser = duration)]
    pub database_wait: Duration,

    /// Bring the schema up to date at start-up.
    #[arg(long, env = "CURSUS_MIGRATE", default_value_t = true, action = ArgAction::Set)]
    pub migrate: bool,
}

/// How a service calls its peers. Their addresses are settings of the service; parse them with
/// [`address`].
#[derive(Args, Clone, Debug)]
pub struct PeerConfig {
    /// File with the token this service shows to its peers.
    #[arg(long, env = "CURSUS_SERVICE_TOKEN_FILE")]
    pub service_token_file: PathBuf,

    /// The most time a unary call to a peer may take, retries included.
    #[arg(long, env = "CURSUS_CALL_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub call_timeout: Duration,
}

/// Where a database is and how to log in; neither is shown by `Debug`.
#[derive(Clone)]
pub struct DatabaseUrl(PgConnectOptions);

impl DatabaseUrl {
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.0.clone()
    }
}

impl From<PgConnectOptions> for DatabaseUrl {
    fn from(options: PgConnectOptions) -> Self {
        Self(options)
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // sqlx takes any scheme, and its own message may quote the address, and so the password.
        let known = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let parsed = if known { text.parse().ok() } else { None };
        parsed.map(Self).ok_or_else(|| "expected a `postgres://` address".to_owned())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseUrl(..)")
    }
}

/// Parses a length of time as people write it: `500ms`, `30s`, `5m`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected_duration())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected_duration()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(expected_duration)
}

fn expected_duration() -> String {
    "expected a whole number and a unit, such as `500ms`, `30s`, `5m`, `2h` or `7d`".to_owned()
}

/// Parses the address of a peer: `http://host:port`. Encryption between services is the mesh's.
pub fn address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => Ok(uri),
        _ => Err("expected an address such as `http://segmentation:7000`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Everything {
        #[command(flatten)]
        serve: ServeConfig,
        #[command(flatten)]
        telemetry: TelemetryConfig,
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        peers: PeerConfig,
    }

    fn parse(extra: &[&str]) -> Result<Everything, clap::Error> {
        let required = [
            "service",
            "--identities-file=/etc/cursus/identities.json",
            "--database-url=postgres://cursus:secret@db/segmentation",
            "--service-token-file=/etc/cursus/token",
        ];
        Everything::try_parse_from(required.iter().chain(extra))
    }

    #[test]
    fn what_is_not_chosen_has_a_default_and_what_must_be_chosen_is_asked_for() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.serve.drain_timeout, Duration::from_secs(20));
        assert!(config.database.migrate);
        assert_eq!(config.telemetry.otlp_endpoint, None);
        let refused = Everything::try_parse_from(["service"]).unwrap_err().to_string();
        assert!(refused.contains("--identities-file"), "{refused}");
    }

    #[test]
    fn values_arrive_parsed_or_stop_the_process() {
        let config = parse(&["--drain-timeout=1500ms", "--migrate=false"]).unwrap();
        assert_eq!(config.serve.drain_timeout, Duration::from_millis(1500));
        assert!(!config.database.migrate);
        for refused in ["--drain-timeout=soon", "--listen=here", "--otlp-endpoint=collector"] {
            assert!(parse(&[refused]).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_database_password_is_never_shown() {
        let shown = format!("{:?}", parse(&[]).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
        for address in ["mysql://cursus:secret@db", "postgres://cursus:secret@db:port/x"] {
            let refused = address.parse::<DatabaseUrl>().unwrap_err();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for refused in ["", "30", "s", "-1s", "1.5s", "30 s", "99999999999999999999s"] {
            assert!(duration(refused).is_err(), "{refused}");
        }
    }
}
