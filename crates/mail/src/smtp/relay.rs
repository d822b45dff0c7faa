//! Where to hand messages over, and on which conditions.

use std::{fmt, sync::Arc, time::Duration};

use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{Domain, Malformed};

/// A server that takes our messages and carries them on.
#[derive(Clone, Debug)]
pub struct Relay {
    /// A host name or an IP address; with TLS, the name its certificate must have.
    pub host: String,
    pub port: u16,
    /// How we introduce ourselves.
    pub hello_name: Domain,
    pub tls: Tls,
    /// Only ever sent over TLS.
    pub credentials: Option<Credentials>,
    pub timeouts: Timeouts,
}

/// Whether the conversation is encrypted with STARTTLS. Certificates are always verified.
#[derive(Clone, Debug)]
pub enum Tls {
    /// In the clear: for a relay on the same host or in a trusted network.
    None,
    /// Encrypted if the server offers it. Someone in between can remove the offer.
    Opportunistic(TlsRoots),
    /// Encrypted, or nothing is sent.
    Required(TlsRoots),
}

/// Whose certificates are believed. Made once and cloned, so that sessions can be resumed.
#[derive(Clone)]
pub struct TlsRoots(Arc<ClientConfig>);

/// A user name and password. They have no `Debug` form worth reading.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    password: String,
}

/// How long each step may take in all, however slowly the bytes come.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Connecting, and the TLS handshake.
    pub connect: Duration,
    /// Each command, from sending it to the end of its reply.
    pub command: Duration,
    /// Sending the message up to the final dot.
    pub body: Duration,
    /// From the final dot to the reply. Giving up early makes duplicates or losses.
    pub dot: Duration,
}

impl TlsRoots {
    /// The authorities that browsers believe.
    pub fn public() -> Self {
        Self::of(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() })
    }

    /// The certificates in a PEM file: an organisation's own authority.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Malformed> {
        let refused = |why| Malformed::new("root certificates", why);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| refused("the file is not PEM"))?;
            roots.add(certificate).map_err(|_| refused("a certificate cannot be an authority"))?;
        }
        if roots.is_empty() {
            return Err(refused("the file has no certificate"));
        }
        Ok(Self::of(roots))
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    fn of(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsRoots")
    }
}

impl Credentials {
    pub fn new(username: &str, password: &str) -> Result<Self, Malformed> {
        if username.is_empty() || username.contains('\0') || password.contains('\0') {
            return Err(Malformed::new(
                "credentials",
                "the user name is empty or one of them contains NUL",
            ));
        }
        Ok(Self { username: username.to_owned(), password: password.to_owned() })
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Timeouts {
    /// What RFC 5321 section 4.5.3.2 asks of a client. A worker that leases messages must lease them for longer.
    pub const RFC_5321: Self = Self {
        connect: Duration::from_mins(5),
        command: Duration::from_mins(5),
        body: Duration::from_mins(3),
        dot: Duration::from_mins(10),
    };
}
