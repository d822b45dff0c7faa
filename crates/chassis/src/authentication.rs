//! The layer that turns a bearer token into an [`Identity`](crate::identity::Identity) on the request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use cursus_fault::Fault;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::{Code, Status};

use crate::identity::Authenticator;
use crate::rpc;

pub(crate) async fn authenticate(
    State(authenticator): State<Arc<Authenticator>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return rpc::answer(&refused("NO_TOKEN", "no bearer token was given"));
    };
    let Some(identity) = authenticator.authenticate(token) else {
        return rpc::answer(&refused("UNKNOWN_TOKEN", "the token is not known"));
    };
    request.extensions_mut().insert(identity);
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn refused(reason: &'static str, message: &str) -> Status {
    Fault::new(Code::Unauthenticated, reason).status(crate::DOMAIN, message)
}
