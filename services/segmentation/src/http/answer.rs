//! What senders of calls are told, as Segment tells them.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use crate::call::request::{Form, Unfit};
use crate::calls::Taken;
use crate::error::Error;
use crate::refusal::Refusal;

/// How many refusals are told; the rest is only counted.
const MOST_REFUSALS: usize = 100;
/// After how many seconds it is worth another try.
const PAUSE: &str = "1";

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What could be taken is committed.
    Taken(Form, Taken),
    Unfit(Unfit),
    /// Its body is packed in a way that we do not know.
    Encoded,
    /// No key opens anything that it showed.
    Unknown,
    /// Too many others are being answered.
    Busy,
    /// It could not be committed now. Sent again, nothing takes effect twice.
    Unavailable,
    /// Our own fault.
    Failed,
}

impl Answer {
    pub(crate) fn failed(error: Error) -> Self {
        if error.passes() { Self::Unavailable } else { Self::Failed }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Taken(Form::Batch, taken) => json_of(StatusCode::OK, &told(&taken)),
            Self::Taken(Form::One(_), mut taken) => match taken.refused.pop() {
                Some((_, refusal)) => refused(&refusal),
                None => json_of(StatusCode::OK, &told(&taken)),
            },
            Self::Unfit(Unfit::Malformed(refusal)) => refused(&refusal),
            Self::Unfit(Unfit::TooLarge) => {
                let message = "send at most 32 KB a call and 500 KB a request";
                fault(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message)
            }
            Self::Encoded => {
                let message = "pack the body with `gzip` or not at all";
                fault(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_ENCODING", message)
            }
            Self::Unknown => {
                let message = "send a write key as the user name of basic authentication";
                let response = fault(StatusCode::UNAUTHORIZED, "UNKNOWN_WRITE_KEY", message);
                with(response, WWW_AUTHENTICATE, "Basic realm=\"write key\"")
            }
            Self::Busy => {
                let message = "too many requests are being answered; try again";
                let response = fault(StatusCode::TOO_MANY_REQUESTS, "BUSY", message);
                with(response, RETRY_AFTER, PAUSE)
            }
            Self::Unavailable => {
                let message = "this cannot be written now; try again";
                let response = fault(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message);
                with(response, RETRY_AFTER, PAUSE)
            }
            Self::Failed => fault(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "internal error"),
        }
    }
}

/// That it worked; and what was not taken, if anything was not.
fn told(taken: &Taken) -> Json {
    let mut told = json!({ "success": true });
    for (counted, listed, refusals) in [
        ("refusedCount", "refused", &taken.refused),
        ("droppedFieldCount", "droppedFields", &taken.dropped),
    ] {
        if !refusals.is_empty() {
            told[counted] = refusals.len().into();
            told[listed] = refusals.iter().take(MOST_REFUSALS).map(one).collect();
        }
    }
    told
}

fn one((place, refusal): &(usize, Refusal)) -> Json {
    json!({
        "index": place,
        "field": refusal.field,
        "code": refusal.reason.as_str(),
        "message": refusal.to_string(),
    })
}

fn refused(refusal: &Refusal) -> Response {
    fault(StatusCode::BAD_REQUEST, refusal.reason.as_str(), &refusal.to_string())
}

fn fault(status: StatusCode, code: &str, message: &str) -> Response {
    json_of(status, &json!({ "success": false, "code": code, "message": message }))
}

fn json_of(status: StatusCode, body: &Json) -> Response {
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, kind, body.to_string()).into_response()
}

fn with(mut response: Response, name: HeaderName, value: &'static str) -> Response {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
