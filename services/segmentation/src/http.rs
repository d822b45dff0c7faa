//! Where programs elsewhere send calls of the Segment tracking API, so that its clients need nothing but another host.
//!
//! A request shows a write key, holds one call or a batch, and is answered once what it says is committed. Whatever it
//! is, it has bounds: bytes, time, and how many are answered at once.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cursus_ambient::Ambient;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::answer::Answer;
use crate::call::request::{Form, LARGEST_REQUEST, Request, Unfit, unzip};
use crate::calls::Calls;
use crate::metrics;
use crate::write_key::Secret;
use crate::write_keys::WriteKeys;

/// Requests that are answered at once. Each has at most a megabyte in hand, and most wait for the database, which has
/// fewer connections anyway.
const SLOTS: usize = 64;

/// What the handler needs.
#[derive(Debug)]
pub(crate) struct Door {
    calls: Calls,
    write_keys: WriteKeys,
    ambient: Ambient,
    slots: Semaphore,
    /// From the first byte of a request to its answer.
    timeout: Duration,
}

impl Door {
    pub(crate) fn new(
        calls: Calls,
        write_keys: WriteKeys,
        ambient: Ambient,
        timeout: Duration,
    ) -> Self {
        Self { calls, write_keys, ambient, slots: Semaphore::new(SLOTS), timeout }
    }

    async fn answer(&self, form: Form, headers: &HeaderMap, body: Body) -> Answer {
        let Ok(_slot) = self.slots.try_acquire() else { return Answer::Busy };
        let answer = tokio::time::timeout(self.timeout, self.take(form, headers, body));
        answer.await.unwrap_or(Answer::Unavailable)
    }

    async fn take(&self, form: Form, headers: &HeaderMap, body: Body) -> Answer {
        let Ok(body) = axum::body::to_bytes(body, LARGEST_REQUEST).await else {
            return Answer::Unfit(Unfit::TooLarge);
        };
        let body = match unpacked(headers, body) {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        match Request::read(form, &body) {
            Ok(request) => self.admit(form, headers, request).await,
            Err(unfit) => Answer::Unfit(unfit),
        }
    }

    /// Takes what comes with a key that opens a workspace.
    async fn admit(&self, form: Form, headers: &HeaderMap, request: Request<'_>) -> Answer {
        let shown = match headers.get(AUTHORIZATION) {
            Some(header) => user_name(header.as_bytes()),
            None => request.write_key(),
        };
        let Some(secret) = shown.as_deref().and_then(Secret::parse) else {
            return Answer::Unknown;
        };
        let workspace = match self.write_keys.workspace_of(&secret).await {
            Ok(Some(workspace)) => workspace,
            Ok(None) => return Answer::Unknown,
            Err(error) => return Answer::failed(error),
        };
        let calls = match request.calls(self.ambient.now()) {
            Ok(calls) => calls,
            Err(unfit) => return Answer::Unfit(unfit),
        };
        match self.calls.take(&workspace, calls).await {
            Ok(taken) => {
                metrics::calls(&taken);
                if !taken.refused.is_empty() || !taken.dropped.is_empty() {
                    tracing::info!(
                        workspace.id = workspace.as_ref(),
                        taken = taken.new,
                        refused = taken.refused.len(),
                        dropped_fields = taken.dropped.len(),
                        "not everything that was sent could be taken"
                    );
                }
                Answer::Taken(form, taken)
            }
            Err(error) => Answer::failed(error),
        }
    }
}

/// Answers until shutdown.
pub(crate) async fn serve(
    listener: TcpListener,
    door: Door,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/v1/{call}", post(take))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(Arc::new(door));
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    Ok(())
}

async fn take(
    State(door): State<Arc<Door>>,
    Path(call): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(form) = Form::named(&call) else { return StatusCode::NOT_FOUND.into_response() };
    let response = door.answer(form, &headers, body).await.into_response();
    metrics::answered(response.status().as_str());
    response
}

/// The body as it was before its sender packed it.
fn unpacked(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Answer> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(body),
        Some(b"gzip" | b"x-gzip") => unzip(&body).map(Bytes::from).map_err(Answer::Unfit),
        Some(_) => Err(Answer::Encoded),
    }
}

/// The user name in the header of basic authentication.
fn user_name(header: &[u8]) -> Option<String> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim_ascii()).ok()?).ok()?;
    // Some clients leave the colon out.
    Some(decoded.split_once(':').map_or(decoded.clone(), |(name, _)| name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_name_is_the_key() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text)).into_bytes();
        assert_eq!(user_name(&header("abc123:")).as_deref(), Some("abc123"));
        assert_eq!(user_name(&header("abc123:secret")).as_deref(), Some("abc123"));
        assert_eq!(user_name(&header("abc123")).as_deref(), Some("abc123"));
        assert_eq!(user_name(b"basic YWJjMTIzOg==").as_deref(), Some("abc123"));
        for header in [&b"Bearer YWJjMTIzOg=="[..], b"Basic !!", b"Basic", b"", b"Basic /w=="] {
            assert_eq!(user_name(header), None);
        }
    }
}
