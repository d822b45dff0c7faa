//! Creating write keys, listing and revoking them, and finding out whose one is.

use cursus_ambient::Ambient;
use cursus_ids::{WorkspaceId, WriteKeyName};
use prost::Message;
use sqlx::PgPool;

use crate::asked::{Asked, Begin};
use crate::error::{Error, What};
use crate::page::{self, Page};
use crate::store;
use crate::write_key::{Draft, MOST_WRITE_KEYS, RANDOM_BYTES, Secret, WriteKey};

const LIST: &str = "writeKeys";

/// The write keys of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct WriteKeys {
    pool: PgPool,
    ambient: Ambient,
}

impl WriteKeys {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
    }

    /// Creates one and shows its secret, which a repeated request does not see: answers are kept for days.
    pub(crate) async fn create<R>(
        &self,
        draft: Draft,
        asked: Asked<'_, impl Message>,
    ) -> Result<(R, Option<Secret>), Error>
    where
        R: Message + Default + From<WriteKey>,
    {
        let workspace = &draft.name.workspace;
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, workspace).await? {
            Begin::Repeat(answer) => return Ok((answer, None)),
            Begin::First(first) => first,
        };
        store::lock_workspace(&mut tx, workspace).await?;
        let secret = Secret::new(self.ambient.seed_bytes::<RANDOM_BYTES>());
        let Draft { name, display_name } = draft;
        let key = WriteKey {
            name,
            display_name: display_name.into_string(),
            prefix: secret.prefix().to_owned(),
            create_time: self.ambient.now(),
            revoke_time: None,
        };
        if !store::write_keys::insert(&mut tx, &key, &secret.sha256()).await? {
            return Err(Error::Exists { what: What::WriteKey, name: key.name.to_string() });
        }
        if store::write_keys::count(&mut tx, &key.name.workspace).await? > MOST_WRITE_KEYS {
            return Err(Error::TooManyWriteKeys(MOST_WRITE_KEYS));
        }
        let answer = R::from(key);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok((answer, Some(secret)))
    }

    /// All of them, by id.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        (size, token): (i32, &str),
    ) -> Result<Page<WriteKey>, Error> {
        let asked = page::Asked::new(LIST, size, token, page::USUAL)?;
        let after = asked.after.as_deref().unwrap_or_default();
        let limit = i64::try_from(asked.size + 1).unwrap_or(i64::MAX);
        let mut conn = self.pool.acquire().await?;
        let keys = store::write_keys::list(&mut conn, workspace, after, limit).await?;
        Ok(Page::new(LIST, &asked, keys, |key| key.name.id.to_string()))
    }

    /// Revokes one, for ever. Whoever shows it from now on is refused.
    pub(crate) async fn revoke<R>(
        &self,
        name: &WriteKeyName,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<WriteKey>,
    {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, &name.workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let revoked = store::write_keys::revoke(&mut tx, name, self.ambient.now()).await?;
        let key = revoked.ok_or_else(|| Error::no_such(What::WriteKey, name))?;
        let answer = R::from(key);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// The workspace that a key opens. Asked anew for every request, so that a revoked key opens nothing.
    pub(crate) async fn workspace_of(&self, secret: &Secret) -> Result<Option<WorkspaceId>, Error> {
        let mut conn = self.pool.acquire().await?;
        let found = store::write_keys::find(&mut conn, secret.prefix()).await?;
        Ok(found.filter(|(_, sha256)| secret.is(sha256)).map(|(workspace, _)| workspace))
    }
}
