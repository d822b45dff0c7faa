//! The contract of what comes in other forms: write keys, and files of comma-separated values.

mod plan;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::ingest_service_server::IngestService;
use cursus_chassis::{Caller, Role};
use cursus_ids::WriteKeyName;
use futures::stream::{self, BoxStream};
use proto::import_csv_request::Part as Sent;
use proto::import_csv_response::Part as Told;
use tonic::{Request, Response, Status, Streaming};

use super::request::enter;
use super::rule;
use crate::asked::Asked;
use crate::error::Error;
use crate::metrics;
use crate::page::Page;
use crate::segment::DisplayName;
use crate::sheets::{Counts, Import, Sheets};
use crate::write_key::{self, WriteKey};
use crate::write_keys::WriteKeys;

/// The most bytes of one part of a file, in either direction.
const LARGEST_CHUNK: usize = 1 << 20;

/// Answers gRPC requests about what comes in.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    pub(crate) write_keys: WriteKeys,
    pub(crate) sheets: Sheets,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl IngestService for Ingest {
    async fn create_write_key(
        &self,
        request: Request<proto::CreateWriteKeyRequest>,
    ) -> Answer<proto::WriteKey> {
        let (caller, request) = Caller::admit(request, Role::Admin)?;
        let workspace = enter(&caller, &request.parent)?;
        let id = request.write_key_id.parse().map_err(Error::name("write_key_id"))?;
        let told = request.write_key.clone().unwrap_or_default();
        let draft = write_key::Draft {
            name: WriteKeyName::new(workspace, id),
            display_name: DisplayName::of(told.display_name, "write_key.display_name")?,
        };
        let asked = Asked { id: &request.request_id, method: "CreateWriteKey", body: &request };
        let (key, secret) = self.write_keys.create::<proto::WriteKey>(draft, asked).await?;
        let secret = secret.map(write_key::Secret::into_text).unwrap_or_default();
        Ok(Response::new(proto::WriteKey { secret, ..key }))
    }

    async fn list_write_keys(
        &self,
        request: Request<proto::ListWriteKeysRequest>,
    ) -> Answer<proto::ListWriteKeysResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.write_keys.list(&workspace, asked).await?;
        Ok(Response::new(proto::ListWriteKeysResponse {
            write_keys: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }

    async fn revoke_write_key(
        &self,
        request: Request<proto::RevokeWriteKeyRequest>,
    ) -> Answer<proto::WriteKey> {
        let (caller, request) = Caller::admit(request, Role::Admin)?;
        let name: WriteKeyName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        let asked = Asked { id: &request.request_id, method: "RevokeWriteKey", body: &request };
        Ok(Response::new(self.write_keys.revoke(&name, asked).await?))
    }

    type ImportCsvStream = BoxStream<'static, Result<proto::ImportCsvResponse, Status>>;

    async fn import_csv(
        &self,
        request: Request<Streaming<proto::ImportCsvRequest>>,
    ) -> Answer<Self::ImportCsvStream> {
        let (caller, mut parts) = Caller::admit(request, Role::Editor)?;
        let first = parts.message().await?.and_then(|request| request.part);
        let Some(Sent::Plan(told)) = first else {
            return Err(Error::invalid("plan", "the first request says what columns mean").into());
        };
        let workspace = enter(&caller, &told.parent)?;
        let import = self.sheets.begin(workspace, plan::decode(told)?).await?;
        let told = Telling { parts, import, unread: Vec::new(), refused: Vec::new(), result: None };
        Ok(Response::new(Box::pin(stream::try_unfold(told, Telling::next))))
    }
}

/// An import that is told about while it is read.
struct Telling {
    parts: Streaming<proto::ImportCsvRequest>,
    import: Import,
    /// What came last and has not been read.
    unread: Vec<u8>,
    /// What was refused and has not been told.
    refused: Vec<u8>,
    result: Option<Ending>,
}

/// How far the end of an import is.
#[derive(Clone, Copy)]
enum Ending {
    Counted(Counts),
    Told,
}

impl Telling {
    /// What is told next. Nothing more is read before all that was refused has been told.
    async fn next(mut self) -> Result<Option<(proto::ImportCsvResponse, Self)>, Status> {
        loop {
            if self.refused.is_empty() {
                self.refused = self.import.take_refused()?;
            }
            if !self.refused.is_empty() {
                let rest = self.refused.split_off(LARGEST_CHUNK.min(self.refused.len()));
                let chunk = std::mem::replace(&mut self.refused, rest);
                return Ok(Some((response(Told::RefusedChunk(chunk)), self)));
            }
            match self.result {
                Some(Ending::Told) => return Ok(None),
                Some(Ending::Counted(counts)) => {
                    self.result = Some(Ending::Told);
                    return Ok(Some((response(Told::Result(counts.into())), self)));
                }
                None => self.advance().await?,
            }
        }
    }

    /// Reads on.
    async fn advance(&mut self) -> Result<(), Status> {
        if !self.unread.is_empty() {
            let consumed = self.import.read(&self.unread).await?;
            self.unread.drain(..consumed);
            return Ok(());
        }
        match self.parts.message().await? {
            None => {
                let counts = self.import.finish().await?;
                metrics::rows("imported", counts.new + counts.known);
                metrics::rows("refused", counts.refused);
                self.result = Some(Ending::Counted(counts));
            }
            Some(proto::ImportCsvRequest { part: Some(Sent::Chunk(chunk)) })
                if chunk.len() <= LARGEST_CHUNK =>
            {
                self.unread = chunk;
            }
            Some(proto::ImportCsvRequest { part: Some(Sent::Chunk(_)) }) => {
                return Err(Error::invalid("chunk", "send at most 1 MiB at once").into());
            }
            Some(_) => return Err(Error::invalid("plan", "is told once, and first").into()),
        }
        Ok(())
    }
}

fn response(part: Told) -> proto::ImportCsvResponse {
    proto::ImportCsvResponse { part: Some(part) }
}

impl From<Counts> for proto::CsvResult {
    fn from(counts: Counts) -> Self {
        Self {
            row_count: counts.rows,
            new_count: counts.new,
            known_count: counts.known,
            refused_count: counts.refused,
        }
    }
}

impl From<WriteKey> for proto::WriteKey {
    fn from(key: WriteKey) -> Self {
        Self {
            name: key.name.to_string(),
            display_name: key.display_name,
            prefix: key.prefix,
            secret: String::new(),
            create_time: Some(rule::encode_moment(key.create_time)),
            revoke_time: key.revoke_time.map(rule::encode_moment),
        }
    }
}
