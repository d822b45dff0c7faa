//! Creating templates, changing their drafts and reading them.

use cursus_ambient::Ambient;
use cursus_ids::{TemplateName, WorkspaceId};
use prost::Message;
use sqlx::PgPool;

use crate::asked::{Asked, Begin};
use crate::error::{Error, What};
use crate::page::{self, Page};
use crate::store;
use crate::template::{Change, Draft, Revision, Template};

const LIST: &str = "templates";

/// The templates of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Templates {
    pool: PgPool,
    ambient: Ambient,
}

impl Templates {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
    }

    pub(crate) async fn create<R>(
        &self,
        draft: Draft,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Template>,
    {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let now = self.ambient.now();
        let template = Template {
            name: draft.name,
            display_name: draft.display_name,
            source: draft.source,
            revision: Revision(1),
            latest_version: 0,
            create_time: now,
            update_time: now,
        };
        if !store::templates::insert(&mut tx, &template).await? {
            return Err(Error::Exists(template.name.to_string()));
        }
        let answer = R::from(template);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    pub(crate) async fn update<R>(
        &self,
        change: Change,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Template>,
    {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let found = store::templates::get_for_update(&mut tx, &change.name).await?;
        let mut template = found.ok_or_else(|| missing(&change.name))?;
        template.expect(change.etag.as_deref())?;
        if template.apply(change, self.ambient.now()) {
            store::templates::update(&mut tx, &template).await?;
        }
        let answer = R::from(template);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    pub(crate) async fn get(&self, name: &TemplateName) -> Result<Template, Error> {
        let mut conn = self.pool.acquire().await?;
        store::templates::get(&mut conn, name).await?.ok_or_else(|| missing(name))
    }

    /// Templates in the order of their ids.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        (size, token): (i32, &str),
    ) -> Result<Page<Template>, Error> {
        let asked = page::Asked::new(LIST, size, token)?;
        let after = asked.after.as_deref().unwrap_or_default();
        let mut conn = self.pool.acquire().await?;
        let found = store::templates::list(&mut conn, workspace, after, asked.size).await?;
        Ok(Page::new(LIST, found, |template| template.name.id.to_string()))
    }
}

fn missing(name: &TemplateName) -> Error {
    Error::no_such(What::Template, name)
}
