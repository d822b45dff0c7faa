//! Every setting, with its help.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::http::Uri;
use clap::{Parser, ValueEnum};
use cursus_chassis::config::{address, duration};
use cursus_chassis::{DatabaseConfig, PeerConfig, ServeConfig, TelemetryConfig};
use cursus_mail::Domain;
use cursus_mail::smtp::{Credentials, Relay, Timeouts, Tls, TlsRoots};
use url::Url;

use crate::address::AddressHasher;
use crate::token::{TokenKeys, decode_secret};

/// Sends what was approved, keeps the ledger of it, and records what recipients do.
#[derive(Clone, Debug, Parser)]
#[command(name = "cursus-delivery", version)]
pub struct Config {
    /// How it listens.
    #[command(flatten)]
    pub serve: ServeConfig,

    /// What it tells about itself.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,

    /// Its own database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// How it calls the other services.
    #[command(flatten)]
    pub peers: PeerConfig,

    /// Address of the segmentation service.
    #[arg(long, env = "CURSUS_SEGMENTATION_URL", value_parser = address)]
    pub segmentation_url: Uri,

    /// Address of the content service.
    #[arg(long, env = "CURSUS_CONTENT_URL", value_parser = address)]
    pub content_url: Uri,

    /// Address of the experiment service.
    #[arg(long, env = "CURSUS_EXPERIMENT_URL", value_parser = address)]
    pub experiment_url: Uri,

    /// Address of the orchestrator.
    #[arg(long, env = "CURSUS_ORCHESTRATOR_URL", value_parser = address)]
    pub orchestrator_url: Uri,

    /// Address to answer recipients on, over plain HTTP behind a proxy that ends TLS: the pixel, the links and
    /// unsubscribing.
    #[arg(long, env = "CURSUS_TRACKING_LISTEN", default_value = "0.0.0.0:7002")]
    pub tracking_listen: SocketAddr,

    /// Where recipients reach that, such as `https://click.example.com`. It goes into every message and must work for
    /// as long as mail is read.
    #[arg(long, env = "CURSUS_TRACKING_URL")]
    pub tracking_url: Url,

    /// File with the keys that tracking links are signed with: a line `number:secret` for each, the secret at least 32
    /// random bytes in base64url. The first signs; keep old ones, so that links in old mail still work.
    #[arg(long, env = "CURSUS_TRACKING_KEYS_FILE")]
    pub tracking_keys_file: PathBuf,

    /// File with the secret that suppressed addresses are hashed with: at least 32 random bytes in base64url. It must
    /// never change or be lost: without it nobody knows who unsubscribed.
    #[arg(long, env = "CURSUS_ADDRESS_KEY_FILE")]
    pub address_key_file: PathBuf,

    /// Host that takes our mail and carries it on.
    #[arg(long, env = "CURSUS_RELAY_HOST")]
    pub relay_host: String,

    /// Its port.
    #[arg(long, env = "CURSUS_RELAY_PORT", default_value_t = 587)]
    pub relay_port: u16,

    /// Whether the conversation with the relay is encrypted.
    #[arg(long, env = "CURSUS_RELAY_TLS", value_enum, default_value_t = RelayTls::Required)]
    pub relay_tls: RelayTls,

    /// File with the certificates of the authorities that the relay's may be signed by, in PEM. Without it the public
    /// ones are believed.
    #[arg(long, env = "CURSUS_RELAY_ROOTS_FILE")]
    pub relay_roots_file: Option<PathBuf>,

    /// File with the user name for the relay in its first line and the password in its second. Without it we do not
    /// log in.
    #[arg(long, env = "CURSUS_RELAY_CREDENTIALS_FILE")]
    pub relay_credentials_file: Option<PathBuf>,

    /// The host name by which we introduce ourselves to the relay.
    #[arg(long, env = "CURSUS_RELAY_HELLO", value_parser = domain)]
    pub relay_hello: Domain,

    /// Connections to the relay for each of the 16 partitions. Also the most messages of a partition that can be in
    /// doubt after a crash.
    #[arg(long, env = "CURSUS_RELAY_CONNECTIONS", default_value_t = 4, value_parser = at_least_one)]
    pub relay_connections: usize,

    /// Messages that a partition takes at once.
    #[arg(long, env = "CURSUS_BATCH", default_value_t = 64, value_parser = clap::value_parser!(i64).range(1..=500))]
    pub batch: i64,

    /// How long a deferred message waits before it is tried again; after that 5, 15, 30, 60, … times as long.
    #[arg(long, env = "CURSUS_FIRST_RETRY", default_value = "1m", value_parser = duration)]
    pub first_retry: Duration,

    /// How long what happened to messages can be read from the feed.
    #[arg(long, env = "CURSUS_OUTCOME_RETENTION", default_value = "90d", value_parser = duration)]
    pub outcome_retention: Duration,
}

/// Whether the conversation with the relay is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RelayTls {
    /// Never: for a relay on the same host or in a trusted network.
    None,
    /// If the relay offers it.
    Opportunistic,
    /// Always, or nothing is sent.
    Required,
}

impl Config {
    pub(crate) fn relay(&self) -> anyhow::Result<Relay> {
        let roots = match &self.relay_roots_file {
            Some(path) => TlsRoots::from_pem(read(path)?.as_bytes())?,
            None => TlsRoots::public(),
        };
        let tls = match self.relay_tls {
            RelayTls::None => Tls::None,
            RelayTls::Opportunistic => Tls::Opportunistic(roots),
            RelayTls::Required => Tls::Required(roots),
        };
        let credentials = self.relay_credentials_file.as_deref().map(credentials).transpose()?;
        ensure!(
            credentials.is_none() || self.relay_tls != RelayTls::None,
            "credentials for the relay are only sent over TLS"
        );
        // A relay that cannot be connected to is tried again soon anyway.
        let timeouts = Timeouts { connect: Duration::from_secs(30), ..Timeouts::RFC_5321 };
        Ok(Relay {
            host: self.relay_host.clone(),
            port: self.relay_port,
            hello_name: self.relay_hello.clone(),
            tls,
            credentials,
            timeouts,
        })
    }

    pub(crate) fn token_keys(&self) -> anyhow::Result<TokenKeys> {
        let path = &self.tracking_keys_file;
        TokenKeys::parse(&read(path)?).with_context(|| format!("in `{}`", path.display()))
    }

    pub(crate) fn address_hasher(&self) -> anyhow::Result<AddressHasher> {
        let path = &self.address_key_file;
        let secret = decode_secret(read(path)?.trim());
        Ok(AddressHasher::new(&secret.with_context(|| format!("in `{}`", path.display()))?))
    }
}

fn credentials(path: &Path) -> anyhow::Result<Credentials> {
    let text = read(path)?;
    let mut lines = text.lines();
    let (username, password) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    Credentials::new(username, password).with_context(|| format!("in `{}`", path.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::new(text).map_err(|malformed| malformed.to_string())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected 1 or more".to_owned())
}
