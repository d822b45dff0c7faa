//! A request that changes state: asked again under its id, it gets the first answer.

use cursus_ids::WorkspaceId;
pub(crate) use cursus_once::Begin;
use prost::Message;
use sqlx::PgConnection;

use crate::error::Error;

/// What identifies a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a, B> {
    pub(crate) id: &'a str,
    pub(crate) method: &'static str,
    /// The whole request, to notice an id that is used for another one.
    pub(crate) body: &'a B,
}

impl<B: Message> Asked<'_, B> {
    /// Comes first in the transaction that does what was asked.
    pub(crate) async fn begin<R: Message + Default>(
        &self,
        conn: &mut PgConnection,
        workspace: &WorkspaceId,
    ) -> Result<Begin<R>, Error> {
        Ok(cursus_once::begin(conn, workspace.as_ref(), self.id, self.method, self.body).await?)
    }
}
