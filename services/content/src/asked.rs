//! A request that changes state: asked again under its id, it gets the first answer.

use cursus_ids::WorkspaceId;
pub(crate) use cursus_once::Begin;
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::error::Error;

/// What identifies a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a, B> {
    pub(crate) workspace: &'a WorkspaceId,
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
    ) -> Result<Begin<R>, Error> {
        let workspace = self.workspace.as_ref();
        Ok(cursus_once::begin(conn, workspace, self.id, self.method, self.body).await?)
    }

    /// The first answer, if there was one.
    pub(crate) async fn answered<R: Message + Default>(
        &self,
        pool: &PgPool,
    ) -> Result<Option<R>, Error> {
        // Never committed: the request begins for good in another transaction.
        let mut tx = pool.begin().await?;
        Ok(match self.begin(&mut tx).await? {
            Begin::Repeat(answer) => Some(answer),
            Begin::First(_) => None,
        })
    }
}
