//! Versions: written once, read by people and by what renders them.

use chrono::{DateTime, Utc};
use cursus_ids::{TemplateName, TemplateVersionName};
use cursus_template::{Compiled, FieldUse, Finding};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{PAGE_BYTES, decoded};
use crate::page::Found;
use crate::template::Source;
use crate::version::Version;

struct Row {
    number: i32,
    subject: String,
    preheader: String,
    mjml: String,
    text: String,
    digest: Vec<u8>,
    links: Vec<String>,
    fields: Json<Vec<FieldUse>>,
    warnings: Json<Vec<Finding>>,
    create_time: DateTime<Utc>,
    /// How many there are, up to one more than a page has.
    available: i64,
}

impl Row {
    fn into_version(self, template: &TemplateName) -> Result<Version, sqlx::Error> {
        let number = decoded(self.number.try_into())?;
        Ok(Version {
            name: TemplateVersionName { template: template.clone(), number },
            source: Source {
                subject: self.subject,
                preheader: self.preheader,
                mjml: self.mjml,
                text: self.text,
            },
            digest: decoded(<[u8; 32]>::try_from(self.digest.as_slice()))?,
            links: self.links,
            fields: self.fields.0,
            warnings: self.warnings.0,
            create_time: self.create_time,
        })
    }
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    version: &Version,
    compiled: &Compiled,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into versions (workspace_id, template_id, number, subject, preheader, mjml, text,
                               compiled_subject, compiled_html, compiled_text, links, fields, warnings, digest,
                               create_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        version.name.template.workspace.as_ref(),
        version.name.template.id.as_ref(),
        decoded(i32::try_from(version.name.number))?,
        version.source.subject,
        version.source.preheader,
        version.source.mjml,
        version.source.text,
        compiled.subject,
        compiled.html,
        compiled.text,
        &version.links,
        Json(&version.fields) as _,
        Json(&version.warnings) as _,
        &version.digest,
        version.create_time,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn get(
    conn: &mut PgConnection,
    name: &TemplateVersionName,
) -> Result<Option<Version>, sqlx::Error> {
    // A number that cannot be stored was never given.
    let Ok(number) = i32::try_from(name.number) else { return Ok(None) };
    let row = sqlx::query_as!(
        Row,
        r#"select number, subject, preheader, mjml, text, digest, links, fields as "fields: _",
                  warnings as "warnings: _", create_time, 1::bigint as "available!"
           from versions
           where workspace_id = $1 and template_id = $2 and number = $3"#,
        name.template.workspace.as_ref(),
        name.template.id.as_ref(),
        number,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.into_version(&name.template)).transpose()
}

/// All that rendering needs.
pub(crate) async fn compiled(
    conn: &mut PgConnection,
    name: &TemplateVersionName,
) -> Result<Option<Compiled>, sqlx::Error> {
    let Ok(number) = i32::try_from(name.number) else { return Ok(None) };
    let row = sqlx::query!(
        r#"select compiled_subject, compiled_html, compiled_text, links,
                  fields as "fields: Json<Vec<FieldUse>>"
           from versions
           where workspace_id = $1 and template_id = $2 and number = $3"#,
        name.template.workspace.as_ref(),
        name.template.id.as_ref(),
        number,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Compiled {
        subject: row.compiled_subject,
        html: row.compiled_html,
        text: row.compiled_text,
        links: row.links,
        fields: row.fields.0,
        warnings: Vec::new(),
    }))
}

/// Those before a number, newest first, as many as fit a page.
pub(crate) async fn list(
    conn: &mut PgConnection,
    template: &TemplateName,
    before: Option<i32>,
    limit: i32,
) -> Result<Found<Version>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"with sized as (
             select number, octet_length(mjml) + octet_length(text) as size
             from versions
             where workspace_id = $1 and template_id = $2 and ($3::int is null or number < $3)
             order by number desc
             limit $4::int + 1
         ), numbered as (
             select number,
                    row_number() over numbers as place,
                    sum(size) over numbers - size as bytes_before,
                    count(*) over () as available
             from sized
             window numbers as (order by number desc)
         )
         select number, subject, preheader, mjml, text, digest, links, fields as "fields: _",
                warnings as "warnings: _", create_time, available as "available!"
         from numbered join versions using (number)
         where workspace_id = $1 and template_id = $2 and place <= $4::int and bytes_before <= $5
         order by number desc"#,
        template.workspace.as_ref(),
        template.id.as_ref(),
        before,
        limit,
        PAGE_BYTES,
    )
    .fetch_all(conn)
    .await?;
    let available = rows.first().map_or(0, |row| row.available);
    let has_more = i64::try_from(rows.len()).is_ok_and(|count| count < available);
    let items = rows.into_iter().map(|row| row.into_version(template));
    Ok(Found { items: items.collect::<Result<_, _>>()?, has_more })
}
