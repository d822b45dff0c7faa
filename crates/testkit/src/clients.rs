//! How a test calls a service as somebody, and what it is told when it is refused.

use std::fmt::{Debug, Write as _};
use std::net::SocketAddr;

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// A channel that shows a token with every call. Any generated client takes it.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Adds `authorization: Bearer …` to a call.
#[derive(Clone, Debug)]
pub struct Bearer {
    header: MetadataValue<Ascii>,
}

impl Bearer {
    pub fn new(token: &str) -> anyhow::Result<Self> {
        let mut header: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.header.clone());
        Ok(request)
    }
}

/// A channel to `address` for whoever holds `token`; it connects at the first call, and again after
/// a restart.
pub fn channel(address: SocketAddr, token: &str) -> anyhow::Result<Authorized> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).context("not an address")?;
    Ok(InterceptedService::new(endpoint.connect_lazy(), Bearer::new(token)?))
}

/// An identities file in which everybody, given with roles and a workspace, holds the token `{subject}-token`.
pub fn identities(everybody: &[(&str, &[&str], &str)]) -> String {
    let entries = everybody.iter().map(|(subject, roles, workspace)| {
        identity(subject, &format!("{subject}-token"), roles, workspace)
    });
    entries.collect::<Value>().to_string()
}

pub(crate) fn identity(subject: &str, token: &str, roles: &[&str], workspace: &str) -> Value {
    let hash = hex(&Sha256::digest(token));
    json!({ "subject": subject, "token_sha256": hash, "roles": roles, "workspaces": [workspace] })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    })
}

/// What a refusal says, after making sure of its code, its reason and the field it names, if any.
///
/// # Panics
///
/// When it was not refused, or not so.
#[track_caller]
pub fn refused<T: Debug>(
    outcome: Result<T, Status>,
    code: Code,
    reason: &str,
    field: &str,
) -> Status {
    let status = outcome.expect_err("should be refused");
    let told = (status.code(), cursus_fault::reason(&status).unwrap_or_default());
    assert_eq!(told, (code, reason.to_owned()), "{status:?}");
    assert_eq!(cursus_fault::value(&status, "field").unwrap_or_default(), field, "{status:?}");
    status
}
