//! How a test calls a service as somebody.

use std::net::SocketAddr;

use anyhow::Context;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

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
