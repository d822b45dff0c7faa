//! Queries about attributes.

use chrono::{DateTime, Utc};
use cursus_audience::Kind;
use cursus_ids::{AttributeName, WorkspaceId};
use sqlx::PgConnection;

use super::id;
use crate::attribute::{Attribute, Draft, Entity, Vocabulary};
use crate::error::Error;

/// Every declared attribute of a workspace.
pub(crate) async fn all(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<Vocabulary, Error> {
    let rows = sqlx::query!(
        "select attribute_id, number, kind from attributes where workspace_id = $1",
        workspace.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    let declared = rows.into_iter().map(|row| Ok((row.attribute_id, row.number, kind(&row.kind)?)));
    Ok(Vocabulary::new(declared.collect::<Result<Vec<_>, Error>>()?))
}

/// Declared attributes in the order of their ids.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<Vec<Attribute>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select attribute_id, entity, kind, description, create_time from attributes
         where workspace_id = $1
         order by attribute_id",
        workspace.as_ref(),
    )
    .fetch_all(conn)
    .await?;
    let attribute = |row: Row| {
        Ok(Attribute {
            name: AttributeName::new(workspace.clone(), id(&row.attribute_id)?),
            entity: entity(&row.entity)?,
            kind: kind(&row.kind)?,
            description: row.description,
            create_time: Some(row.create_time),
        })
    };
    rows.into_iter().map(attribute).collect()
}

/// Declares an attribute under the next number, in a workspace that is locked. Says whether it was not yet declared.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    draft: &Draft,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into attributes
             (workspace_id, attribute_id, entity, number, kind, description, create_time)
         select $1, $2, $3, coalesce(max(number), 0) + 1, $4, $5, $6
         from attributes where workspace_id = $1
         on conflict (workspace_id, attribute_id) do nothing",
        draft.name.workspace.as_ref(),
        draft.name.id.as_ref(),
        draft.entity.as_str(),
        kind_name(draft.kind),
        draft.description,
        now,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Declares attributes that were never heard of, in a workspace that is locked.
pub(crate) async fn insert_many(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    attributes: &[(String, Kind)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids: Vec<String> = attributes.iter().map(|(id, _)| id.clone()).collect();
    let kinds: Vec<String> =
        attributes.iter().map(|(_, kind)| kind_name(*kind).to_owned()).collect();
    sqlx::query!(
        "insert into attributes (workspace_id, attribute_id, number, kind, description, create_time)
         select $1, attribute_id, (greatest + position)::smallint, kind, '', $4
         from unnest($2::text[], $3::text[]) with ordinality as told (attribute_id, kind, position)
             cross join (
                 select coalesce(max(number), 0) as greatest from attributes where workspace_id = $1
             ) as numbers",
        workspace.as_ref(),
        &ids,
        &kinds,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Row {
    attribute_id: String,
    entity: String,
    kind: String,
    description: String,
    create_time: DateTime<Utc>,
}

fn entity(name: &str) -> Result<Entity, Error> {
    let found = Entity::ALL.into_iter().find(|entity| entity.as_str() == name);
    found.ok_or(Error::Corrupt("entity of an attribute"))
}

fn kind(name: &str) -> Result<Kind, Error> {
    let kinds = [Kind::Text, Kind::Number, Kind::Flag, Kind::Time, Kind::TextSet];
    let found = kinds.into_iter().find(|kind| kind_name(*kind) == name);
    found.ok_or(Error::Corrupt("kind of an attribute"))
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Number => "number",
        Kind::Flag => "flag",
        Kind::Time => "time",
        Kind::TextSet => "text_set",
    }
}
