//! Between the wire and what it means.

use chrono::{DateTime, Utc};
use cursus_api::content as proto;
use cursus_ids::{TemplateName, WorkspaceId};
use cursus_template::{FieldUse, Finding, Severity};
use prost_types::Timestamp;

use crate::error::Error;
use crate::message::{Batch, Message, Recipient};
use crate::page::Page;
use crate::template::{Change, DisplayName, Draft, Source, Template};
use crate::version::{Findings, Version, part};

const MOST_RECIPIENTS: usize = 500;

pub(super) fn draft(request: proto::CreateTemplateRequest) -> Result<Draft, Error> {
    let workspace = cursus_ids::parse_parent(&request.parent).map_err(Error::name("parent"))?;
    let id = request.template_id.parse().map_err(Error::name("template_id"))?;
    let told = request.template.unwrap_or_default();
    Ok(Draft {
        name: TemplateName::new(workspace, id),
        display_name: DisplayName::new(told.display_name)?,
        source: source(told.source)?,
    })
}

/// What a client wants changed of a template.
pub(super) fn change(request: proto::UpdateTemplateRequest) -> Result<Change, Error> {
    let told = request.template.unwrap_or_default();
    let name = told.name.parse().map_err(Error::name("template.name"))?;
    let paths = request
        .update_mask
        .map_or_else(|| vec!["display_name".to_owned(), "source".to_owned()], |mask| mask.paths);
    let known = ["display_name", "source"];
    if paths.is_empty() || paths.iter().any(|path| !known.contains(&path.as_str())) {
        return Err(Error::invalid("update_mask", "name `display_name`, `source` or both"));
    }
    let named = |path: &str| paths.iter().any(|named| named == path);
    let display_name = named("display_name").then(|| DisplayName::new(told.display_name));
    let source = named("source").then(|| source(told.source));
    Ok(Change {
        name,
        display_name: display_name.transpose()?,
        source: source.transpose()?,
        etag: etag(&told.etag).map(str::to_owned),
    })
}

/// The etag that must still be the one, if there is any.
pub(super) fn etag(etag: &str) -> Option<&str> {
    Some(etag).filter(|etag| !etag.is_empty())
}

pub(super) fn batch(request: proto::RenderMessagesRequest) -> Result<Batch, Error> {
    let version = request.template_version.parse().map_err(Error::name("template_version"))?;
    let mut batch = Batch { version, recipients: Vec::new() };
    if request.recipients.len() > MOST_RECIPIENTS {
        return Err(Error::invalid("recipients", "ask for at most 500 at once"));
    }
    let workspace = &batch.version.template.workspace;
    let recipients = request.recipients.into_iter().enumerate();
    let recipients = recipients.map(|(index, told)| {
        recipient(told, workspace)
            .map_err(|(field, why)| Error::invalid(format!("recipients[{index}].{field}"), why))
    });
    batch.recipients = recipients.collect::<Result<_, _>>()?;
    Ok(batch)
}

fn recipient(
    told: proto::Recipient,
    workspace: &WorkspaceId,
) -> Result<Recipient, (&'static str, String)> {
    let contact: cursus_ids::ContactName = match told.contact.parse() {
        Ok(contact) => contact,
        Err(error) => return Err(("contact", error.to_string())),
    };
    if contact.workspace != *workspace {
        return Err(("contact", "it is not in the workspace of the version".to_owned()));
    }
    if told.unsubscribe_url.is_empty() {
        return Err(("unsubscribe_url", "nobody can unsubscribe without one: give it".to_owned()));
    }
    Ok(Recipient {
        contact,
        link_urls: told.link_urls,
        open_pixel_url: Some(told.open_pixel_url).filter(|url| !url.is_empty()),
        unsubscribe_url: told.unsubscribe_url,
    })
}

fn source(told: Option<proto::Source>) -> Result<Source, Error> {
    let told = told.unwrap_or_default();
    let proto::Source { subject, preheader, mjml, text } = told;
    Source { subject, preheader, mjml, text }.check()
}

impl From<Source> for proto::Source {
    fn from(source: Source) -> Self {
        let Source { subject, preheader, mjml, text } = source;
        Self { subject, preheader, mjml, text }
    }
}

impl From<Template> for proto::Template {
    fn from(template: Template) -> Self {
        Self {
            name: template.name.to_string(),
            latest_version: template.latest().map(|name| name.to_string()).unwrap_or_default(),
            display_name: template.display_name.as_ref().to_owned(),
            source: Some(template.source.into()),
            create_time: Some(time(template.create_time)),
            update_time: Some(time(template.update_time)),
            etag: template.revision.to_string(),
        }
    }
}

impl From<Page<Template>> for proto::ListTemplatesResponse {
    fn from(page: Page<Template>) -> Self {
        let templates = page.items.into_iter().map(Into::into).collect();
        Self { templates, next_page_token: page.next_token }
    }
}

impl From<Version> for proto::TemplateVersion {
    fn from(version: Version) -> Self {
        Self {
            name: version.name.to_string(),
            source: Some(version.source.into()),
            digest: version.digest.to_vec(),
            links: version.links,
            fields: version.fields.into_iter().map(merge_field).collect(),
            warnings: version.warnings.into_iter().map(finding).collect(),
            create_time: Some(time(version.create_time)),
        }
    }
}

impl From<Page<Version>> for proto::ListTemplateVersionsResponse {
    fn from(page: Page<Version>) -> Self {
        let template_versions = page.items.into_iter().map(Into::into).collect();
        Self { template_versions, next_page_token: page.next_token }
    }
}

impl From<Findings> for proto::LintTemplateResponse {
    fn from(findings: Findings) -> Self {
        Self { findings: findings.into_vec().into_iter().map(finding).collect() }
    }
}

pub(super) fn rendered(messages: Vec<Message>) -> proto::RenderMessagesResponse {
    proto::RenderMessagesResponse { messages: messages.into_iter().map(message).collect() }
}

fn message(message: Message) -> proto::RenderedMessage {
    let contact = message.contact.to_string();
    match message.outcome {
        Ok(it) => proto::RenderedMessage {
            contact,
            subject: it.subject,
            html: it.html,
            text: it.text,
            ..proto::RenderedMessage::default()
        },
        Err(failure) => proto::RenderedMessage {
            contact,
            failure_reason: failure.reason.as_str().to_owned(),
            failure_message: failure.why,
            ..proto::RenderedMessage::default()
        },
    }
}

fn merge_field(field: FieldUse) -> proto::MergeField {
    proto::MergeField { attribute: field.name, has_default: field.has_default }
}

fn finding(finding: Finding) -> proto::Finding {
    let severity = match finding.severity {
        Severity::Error => proto::finding::Severity::Error,
        Severity::Warning => proto::finding::Severity::Warning,
    };
    proto::Finding {
        severity: severity.into(),
        code: finding.code.as_str().to_owned(),
        part: part(finding.part).to_owned(),
        line: finding.line.and_then(|line| line.try_into().ok()).unwrap_or(0),
        message: finding.message,
    }
}

#[expect(clippy::cast_possible_wrap, reason = "a second has fewer nanoseconds than an i32 holds")]
fn time(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 }
}
