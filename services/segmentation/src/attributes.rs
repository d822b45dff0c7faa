//! Declaring attributes and listing them.

use std::collections::BTreeMap;

use cursus_ambient::Ambient;
use cursus_audience::Kind;
use cursus_ids::WorkspaceId;
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::asked::{Asked, Begin};
use crate::attribute::{Attribute, Draft, Entity, MOST_ATTRIBUTES, Vocabulary, built_in};
use crate::error::{Error, What};
use crate::page::{self, Page};
use crate::store;

/// The attributes of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    pool: PgPool,
    ambient: Ambient,
}

impl Attributes {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
    }

    /// Declares one.
    pub(crate) async fn create<R>(
        &self,
        draft: Draft,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Attribute>,
    {
        let workspace = &draft.name.workspace;
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let now = self.ambient.now();
        let exists = || Error::Exists { what: What::Attribute, name: draft.name.to_string() };
        if built_in(workspace).any(|attribute| attribute.name == draft.name) {
            return Err(exists());
        }
        store::lock_workspace(&mut tx, workspace).await?;
        if !store::attributes::insert(&mut tx, &draft, now).await? {
            return Err(exists());
        }
        if store::attributes::list(&mut tx, workspace).await?.len() > MOST_ATTRIBUTES {
            return Err(Error::TooManyAttributes(MOST_ATTRIBUTES));
        }
        let Draft { name, entity, kind, description } = draft;
        let create_time = Some(now);
        let answer = R::from(Attribute { name, entity, kind, description, create_time });
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Declares those of the wanted ones that are not yet, up to so many in all, and says what there is then.
    pub(crate) async fn declare(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        wanted: &BTreeMap<String, Kind>,
        most: usize,
    ) -> Result<Vocabulary, Error> {
        let missing = |vocabulary: &Vocabulary| -> Vec<(String, Kind)> {
            let missing = wanted.iter().filter(|(id, _)| vocabulary.kind(id).is_none());
            let room = most.saturating_sub(vocabulary.len());
            missing.take(room).map(|(id, kind)| (id.clone(), *kind)).collect()
        };
        let vocabulary = store::attributes::all(tx, workspace).await?;
        if missing(&vocabulary).is_empty() {
            return Ok(vocabulary);
        }
        store::lock_workspace(tx, workspace).await?;
        // Whoever held the lock before may have declared some of them.
        let vocabulary = store::attributes::all(tx, workspace).await?;
        let missing = missing(&vocabulary);
        store::attributes::insert_many(tx, workspace, &missing, self.ambient.now()).await?;
        store::attributes::all(tx, workspace).await
    }

    /// The declared and the built-in ones of an entity, by id.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        entity: Entity,
        (size, token): (i32, &str),
    ) -> Result<Page<Attribute>, Error> {
        let list = format!("{}attributes", entity.prefix());
        let asked = page::Asked::new(&list, size, token, page::USUAL)?;
        let mut conn = self.pool.acquire().await?;
        let mut attributes = store::attributes::list(&mut conn, workspace).await?;
        attributes.extend(built_in(workspace));
        attributes.retain(|attribute| attribute.entity == entity);
        attributes.sort_by(|left, right| left.name.id.cmp(&right.name.id));
        let after = asked.after.as_deref().unwrap_or_default();
        attributes.retain(|attribute| attribute.name.id.as_ref() > after);
        let key = |attribute: &Attribute| attribute.name.id.to_string();
        Ok(Page::new(&list, &asked, attributes, key))
    }
}
