//! Where recipients answer: the pixel, the links and the way out. Nothing here needs a login; a token is worth exactly what
//! it was signed for. Whatever is wrong with a token, the answer is the same.

mod pages;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, USER_AGENT,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::actor::Actor;
use crate::engagements::Engagements;
use crate::token::{Purpose, Token};
use crate::tracking::Tracking;

/// The most that a form of ours, or a mail client's one-click request, has to say.
const LARGEST_FORM: usize = 4 << 10;
/// One transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// What the handlers need.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) tracking: Tracking,
    pub(crate) engagements: Engagements,
}

/// Answers until shutdown.
pub(crate) async fn serve(
    listener: TcpListener,
    doors: Doors,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/o/{token}", get(open))
        .route("/c/{token}", get(click))
        .route("/u/{token}", get(ask).post(unsubscribe))
        .fallback(async || page(StatusCode::NOT_FOUND, pages::NOT_VALID))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .with_state(Arc::new(doors));
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    Ok(())
}

/// Always the same picture, whether or not anything was recorded.
async fn open(
    State(doors): State<Arc<Doors>>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if let (Some(token), Some(actor)) =
        (doors.tracking.verify(Purpose::Open, &token), actor(&method, &headers))
    {
        // A reader's picture must not fail because our database does.
        let _ = doors.engagements.record(token, Some(actor)).await;
    }
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("image/gif")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store, private")),
    ];
    (headers, PIXEL).into_response()
}

/// Leads to the destination that the template has for this link, and nowhere else.
async fn click(
    State(doors): State<Arc<Doors>>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some(token) = doors.tracking.verify(Purpose::Click, &token) else {
        return page(StatusCode::NOT_FOUND, pages::NOT_VALID);
    };
    let url = match doors.engagements.record(token, actor(&method, &headers)).await {
        Ok(url) => url.and_then(|url| HeaderValue::try_from(url).ok()),
        Err(_) => return page(StatusCode::SERVICE_UNAVAILABLE, pages::TRY_AGAIN),
    };
    let Some(url) = url else { return page(StatusCode::NOT_FOUND, pages::NOT_VALID) };
    let headers = [
        (LOCATION, url),
        (CACHE_CONTROL, HeaderValue::from_static("no-store, private")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// Asks whether it is meant. Scanners follow every link, so following one changes nothing.
async fn ask(State(doors): State<Arc<Doors>>, Path(token): Path<String>) -> Response {
    match doors.tracking.verify(Purpose::Unsubscribe, &token) {
        Some(_) => page(StatusCode::OK, pages::ASK),
        None => page(StatusCode::NOT_FOUND, pages::NOT_VALID),
    }
}

/// A mail client's one-click request (RFC 8058), or our own form.
async fn unsubscribe(
    State(doors): State<Arc<Doors>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(token) = doors.tracking.verify(Purpose::Unsubscribe, &token) else {
        return page(StatusCode::NOT_FOUND, pages::NOT_VALID);
    };
    if !is_meant(&headers, &body) {
        return page(StatusCode::BAD_REQUEST, pages::ASK);
    }
    end_subscription(&doors, &token).await
}

async fn end_subscription(doors: &Doors, token: &Token) -> Response {
    match doors.engagements.unsubscribe(token).await {
        Ok(true) => page(StatusCode::OK, pages::DONE),
        Ok(false) => page(StatusCode::NOT_FOUND, pages::NOT_VALID),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "somebody could not unsubscribe");
            page(StatusCode::SERVICE_UNAVAILABLE, pages::TRY_AGAIN)
        }
    }
}

/// Who asks; nothing for a method that must leave no trace.
fn actor(method: &Method, headers: &HeaderMap) -> Option<Actor> {
    let agent = headers.get(USER_AGENT).map(|agent| agent.to_str().unwrap_or("not text"));
    (*method == Method::GET).then(|| Actor::of_user_agent(agent))
}

/// Whether the request says what it is for, in either of the two encodings that RFC 8058 allows.
fn is_meant(headers: &HeaderMap, body: &[u8]) -> bool {
    const FIELDS: [(&str, &str); 2] = [("List-Unsubscribe", "One-Click"), ("confirm", "yes")];
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("multipart/form-data") {
        let body = String::from_utf8_lossy(body);
        return FIELDS.iter().any(|(name, value)| {
            let field = body.split_once(&format!("name=\"{name}\"")).map(|(_, rest)| rest);
            let content = field.and_then(|rest| rest.split_once("\r\n\r\n")).map(|(_, rest)| rest);
            content.is_some_and(|rest| rest.split("\r\n").next() == Some(value))
        });
    }
    url::form_urlencoded::parse(body).any(|(name, value)| FIELDS.contains(&(&name, &value)))
}

fn page(status: StatusCode, text: &'static str) -> Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store, private")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, body: &str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        assert_eq!(is_meant(&headers, body.as_bytes()), expected, "{body}");
    }

    #[test]
    fn a_request_must_say_what_it_is_for() {
        let form = "application/x-www-form-urlencoded";
        check(form, "List-Unsubscribe=One-Click", true);
        check(form, "confirm=yes", true);
        check(form, "", false);
        check(form, "List-Unsubscribe=Two-Clicks", false);
        check(form, "List-Unsubscribe%3DOne-Click", false);
    }

    #[test]
    fn mail_clients_may_send_it_in_parts() {
        let part = |name: &str, value: &str| {
            format!(
                "--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--x--\r\n"
            )
        };
        let kind = "multipart/form-data; boundary=x";
        check(kind, &part("List-Unsubscribe", "One-Click"), true);
        check(kind, &part("List-Unsubscribe", "One-Click, please"), false);
        check(kind, &part("Other", "One-Click"), false);
    }

    #[test]
    fn only_a_get_leaves_a_trace() {
        assert_eq!(actor(&Method::HEAD, &HeaderMap::new()), None);
        assert_eq!(actor(&Method::GET, &HeaderMap::new()), Some(Actor::Machine));
    }
}
