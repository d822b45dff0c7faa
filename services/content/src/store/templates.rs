//! Templates and their drafts.

use chrono::{DateTime, Utc};
use cursus_ids::{TemplateName, WorkspaceId};
use sqlx::PgConnection;

use super::{PAGE_BYTES, decoded};
use crate::page::Found;
use crate::template::{DisplayName, Revision, Source, Template};

struct Row {
    template_id: String,
    display_name: String,
    subject: String,
    preheader: String,
    mjml: String,
    text: String,
    revision: i64,
    latest_version: i32,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

impl Row {
    fn into_template(self, workspace: &WorkspaceId) -> Result<Template, sqlx::Error> {
        Ok(Template {
            name: TemplateName::new(workspace.clone(), decoded(self.template_id.parse())?),
            display_name: decoded(DisplayName::new(self.display_name))?,
            source: Source {
                subject: self.subject,
                preheader: self.preheader,
                mjml: self.mjml,
                text: self.text,
            },
            revision: Revision(self.revision),
            latest_version: decoded(self.latest_version.try_into())?,
            create_time: self.create_time,
            update_time: self.update_time,
        })
    }
}

/// Says whether it is new.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    template: &Template,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into templates (workspace_id, template_id, display_name, subject, preheader, mjml, text,
                                create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict do nothing",
        template.name.workspace.as_ref(),
        template.name.id.as_ref(),
        template.display_name.as_ref(),
        template.source.subject,
        template.source.preheader,
        template.source.mjml,
        template.source.text,
        template.create_time,
        template.update_time,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    name: &TemplateName,
) -> Result<Option<Template>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select template_id, display_name, subject, preheader, mjml, text, revision, latest_version,
                create_time, update_time
         from templates
         where workspace_id = $1 and template_id = $2",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.into_template(&name.workspace)).transpose()
}

/// The same, and nobody else changes it until the transaction ends.
pub(crate) async fn get_for_update(
    conn: &mut PgConnection,
    name: &TemplateName,
) -> Result<Option<Template>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select template_id, display_name, subject, preheader, mjml, text, revision, latest_version,
                create_time, update_time
         from templates
         where workspace_id = $1 and template_id = $2
         for update",
        name.workspace.as_ref(),
        name.id.as_ref(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.into_template(&name.workspace)).transpose()
}

/// Writes the draft and the display name.
pub(crate) async fn update(
    conn: &mut PgConnection,
    template: &Template,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update templates
         set display_name = $3, subject = $4, preheader = $5, mjml = $6, text = $7, revision = $8,
             update_time = $9
         where workspace_id = $1 and template_id = $2",
        template.name.workspace.as_ref(),
        template.name.id.as_ref(),
        template.display_name.as_ref(),
        template.source.subject,
        template.source.preheader,
        template.source.mjml,
        template.source.text,
        template.revision.0,
        template.update_time,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the next number for a version of a certain draft; nothing if the draft is another one by now. Whoever else
/// publishes the template waits until the transaction ends.
pub(crate) async fn next_version(
    conn: &mut PgConnection,
    name: &TemplateName,
    revision: Revision,
) -> Result<Option<u32>, sqlx::Error> {
    let number = sqlx::query_scalar!(
        "update templates
         set latest_version = latest_version + 1
         where workspace_id = $1 and template_id = $2 and revision = $3
         returning latest_version",
        name.workspace.as_ref(),
        name.id.as_ref(),
        revision.0,
    )
    .fetch_optional(conn)
    .await?;
    number.map(|number| decoded(number.try_into())).transpose()
}

/// Those after an id, in the order of their ids, as many as fit a page.
pub(crate) async fn list(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    after: &str,
    limit: i32,
) -> Result<Found<Template>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with sized as (
             select template_id, octet_length(mjml) + octet_length(text) as size
             from templates
             where workspace_id = $1 and template_id > $2
             order by template_id
             limit $3::int + 1
         ), numbered as (
             select template_id,
                    row_number() over ids as place,
                    sum(size) over ids - size as bytes_before,
                    count(*) over () as available
             from sized
             window ids as (order by template_id)
         )
         select template_id, display_name, subject, preheader, mjml, text, revision, latest_version,
                create_time, update_time, available as "available!"
         from numbered join templates using (template_id)
         where workspace_id = $1 and place <= $3::int and bytes_before <= $4
         order by template_id"#,
        workspace.as_ref(),
        after,
        limit,
        PAGE_BYTES,
    )
    .fetch_all(conn)
    .await?;
    let available = rows.first().map_or(0, |row| row.available);
    let has_more = i64::try_from(rows.len()).is_ok_and(|count| count < available);
    let items = rows.into_iter().map(|row| {
        let row = Row {
            template_id: row.template_id,
            display_name: row.display_name,
            subject: row.subject,
            preheader: row.preheader,
            mjml: row.mjml,
            text: row.text,
            revision: row.revision,
            latest_version: row.latest_version,
            create_time: row.create_time,
            update_time: row.update_time,
        };
        row.into_template(workspace)
    });
    Ok(Found { items: items.collect::<Result<_, _>>()?, has_more })
}
