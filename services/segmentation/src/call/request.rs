//! The body of a request: one call, or a batch of them.

use std::collections::HashMap;
use std::io::Read;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::{Call, Clocks, Kind};
use crate::moment;
use crate::refusal::Refusal;

/// The most bytes of one call, and of a request, compressed or not.
pub(crate) const LARGEST_CALL: usize = 32 << 10;
pub(crate) const LARGEST_REQUEST: usize = 500 << 10;
/// The most calls of a batch.
const MOST_CALLS: usize = 2_500;

/// What a request is expected to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    One(Kind),
    Batch,
}

/// What is wrong with a request as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooLarge,
    Malformed(Refusal),
}

/// A request whose calls have not been looked at.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    form: Form,
    body: &'a str,
    fields: HashMap<String, &'a RawValue>,
}

/// Calls and refusals by their place in the request.
pub(crate) type Calls = Vec<(usize, Result<Call, Refusal>)>;

impl Form {
    /// By the last part of the address.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "batch" | "import" | "b" => Some(Self::Batch),
            _ => Kind::named(name).map(Self::One),
        }
    }
}

/// Unpacks a body, but never to more than a request may have.
pub(crate) fn unzip(body: &[u8]) -> Result<Vec<u8>, Unfit> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(LARGEST_REQUEST + 1).unwrap_or(u64::MAX);
    let read = GzDecoder::new(body).take(limit).read_to_end(&mut unpacked);
    match read {
        Ok(length) if length > LARGEST_REQUEST => Err(Unfit::TooLarge),
        Ok(_) => Ok(unpacked),
        Err(_) => Err(malformed("body", "is not gzip")),
    }
}

impl<'a> Request<'a> {
    pub(crate) fn read(form: Form, body: &'a [u8]) -> Result<Self, Unfit> {
        if matches!(form, Form::One(_)) && body.len() > LARGEST_CALL {
            return Err(Unfit::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("body", "is not UTF-8"))?;
        let fields = serde_json::from_str(text);
        let fields = fields.map_err(|_| malformed("body", "is not a JSON object"))?;
        Ok(Self { form, body: text, fields })
    }

    /// The write key that clients put into the body when they cannot set headers.
    pub(crate) fn write_key(&self) -> Option<String> {
        let key = self.fields.get("writeKey")?;
        serde_json::from_str(key.get()).ok()
    }

    /// The calls, each read or refused.
    pub(crate) fn calls(&self, received: DateTime<Utc>) -> Result<Calls, Unfit> {
        match self.form {
            Form::One(kind) => {
                let clocks = Clocks { sent: None, received };
                Ok(vec![(0, read(Some(kind), self.body, clocks))])
            }
            Form::Batch => {
                let sent = self.time("sentAt").map_err(Unfit::Malformed)?;
                let clocks = Clocks { sent, received };
                let calls = self.batch()?.into_iter().enumerate();
                Ok(calls.map(|(index, call)| (index, read(None, call.get(), clocks))).collect())
            }
        }
    }

    fn batch(&self) -> Result<Vec<&'a RawValue>, Unfit> {
        let batch = self.fields.get("batch").ok_or_else(|| malformed("batch", "is missing"))?;
        let calls = serde_json::from_str::<Vec<&RawValue>>(batch.get());
        let calls = calls.map_err(|_| malformed("batch", "is not an array"))?;
        if calls.len() > MOST_CALLS {
            return Err(malformed("batch", "send at most 2,500 calls at once"));
        }
        Ok(calls)
    }

    fn time(&self, field: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
        let told = self.fields.get(field).map(|raw| serde_json::from_str(raw.get()));
        let mut fields = Map::new();
        if let Some(Ok(told)) = told {
            fields.insert(field.to_owned(), told);
        }
        fields.take_time(field)
    }
}

fn malformed(field: &str, message: &str) -> Unfit {
    Unfit::Malformed(Refusal::invalid(field, message))
}

fn read(kind: Option<Kind>, text: &str, clocks: Clocks) -> Result<Call, Refusal> {
    if text.len() > LARGEST_CALL {
        return Err(Refusal::invalid("message", "is larger than 32 KB"));
    }
    let fields = serde_json::from_str::<Map<String, Json>>(text);
    let fields = fields.map_err(|_| Refusal::invalid("message", "is not a JSON object"))?;
    Call::read(kind, fields, clocks)
}

/// Takes fields out of a call. `null` and empty text say nothing.
pub(crate) trait Field {
    fn take_text(&mut self, field: &str) -> Result<Option<String>, Refusal>;
    fn take_id(&mut self, field: &str) -> Result<Option<String>, Refusal>;
    fn take_map(&mut self, field: &str) -> Result<Map<String, Json>, Refusal>;
    fn take_time(&mut self, field: &str) -> Result<Option<DateTime<Utc>>, Refusal>;
}

impl Field for Map<String, Json> {
    fn take_text(&mut self, field: &str) -> Result<Option<String>, Refusal> {
        match self.remove(field) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(Refusal::invalid(field, "is not text")),
        }
    }

    /// Ids may be numbers.
    fn take_id(&mut self, field: &str) -> Result<Option<String>, Refusal> {
        match self.get(field) {
            Some(Json::Number(number)) => Ok(Some(number.to_string())),
            Some(Json::Null | Json::String(_)) | None => self.take_text(field),
            Some(_) => Err(Refusal::invalid(field, "is neither text nor a number")),
        }
    }

    fn take_map(&mut self, field: &str) -> Result<Map<String, Json>, Refusal> {
        match self.remove(field) {
            None | Some(Json::Null) => Ok(Map::new()),
            Some(Json::Object(map)) => Ok(map),
            Some(_) => Err(Refusal::invalid(field, "is not an object")),
        }
    }

    fn take_time(&mut self, field: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
        let Some(text) = self.take_text(field)? else { return Ok(None) };
        let message = "is not a time such as `2026-11-24T12:00:00Z`";
        moment::parse(&text).map(Some).ok_or_else(|| Refusal::invalid(field, message))
    }
}
