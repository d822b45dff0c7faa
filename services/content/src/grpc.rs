//! The gRPC service: decode, ask, encode.

mod convert;

use cursus_api::content as proto;
use cursus_api::content::content_service_server::ContentService;
use cursus_chassis::{Caller, Role};
use cursus_ids::{TemplateName, TemplateVersionName};
use tonic::{Request, Response, Status};

use crate::asked::Asked;
use crate::error::Error;
use crate::messages::Messages;
use crate::templates::Templates;
use crate::versions::Versions;

/// The operations that the handlers ask.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    pub(crate) templates: Templates,
    pub(crate) versions: Versions,
    pub(crate) messages: Messages,
}

/// What a handler answers.
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ContentService for Grpc {
    async fn create_template(
        &self,
        request: Request<proto::CreateTemplateRequest>,
    ) -> Answer<proto::Template> {
        let (caller, message) = Caller::admit(request, Role::Editor)?;
        let draft = convert::draft(message.clone())?;
        let workspace = draft.name.workspace.clone();
        caller.enter(&workspace)?;
        let asked = Asked {
            workspace: &workspace,
            id: &message.request_id,
            method: "CreateTemplate",
            body: &message,
        };
        Ok(Response::new(self.templates.create(draft, asked).await?))
    }

    async fn get_template(
        &self,
        request: Request<proto::GetTemplateRequest>,
    ) -> Answer<proto::Template> {
        let (caller, message) = Caller::admit(request, Role::Viewer)?;
        let name: TemplateName = message.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(self.templates.get(&name).await?.into()))
    }

    async fn list_templates(
        &self,
        request: Request<proto::ListTemplatesRequest>,
    ) -> Answer<proto::ListTemplatesResponse> {
        let (caller, message) = Caller::admit(request, Role::Viewer)?;
        let workspace = cursus_ids::parse_parent(&message.parent).map_err(Error::name("parent"))?;
        caller.enter(&workspace)?;
        let asked = (message.page_size, message.page_token.as_str());
        Ok(Response::new(self.templates.list(&workspace, asked).await?.into()))
    }

    async fn update_template(
        &self,
        request: Request<proto::UpdateTemplateRequest>,
    ) -> Answer<proto::Template> {
        let (caller, message) = Caller::admit(request, Role::Editor)?;
        let change = convert::change(message.clone())?;
        let workspace = change.name.workspace.clone();
        caller.enter(&workspace)?;
        let asked = Asked {
            workspace: &workspace,
            id: &message.request_id,
            method: "UpdateTemplate",
            body: &message,
        };
        Ok(Response::new(self.templates.update(change, asked).await?))
    }

    async fn lint_template(
        &self,
        request: Request<proto::LintTemplateRequest>,
    ) -> Answer<proto::LintTemplateResponse> {
        let (caller, message) = Caller::admit(request, Role::Viewer)?;
        let name: TemplateName = message.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(self.versions.lint(&name).await?.into()))
    }

    async fn publish_template(
        &self,
        request: Request<proto::PublishTemplateRequest>,
    ) -> Answer<proto::TemplateVersion> {
        let (caller, message) = Caller::admit(request, Role::Editor)?;
        let name: TemplateName = message.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        let asked = Asked {
            workspace: &name.workspace,
            id: &message.request_id,
            method: "PublishTemplate",
            body: &message,
        };
        let etag = convert::etag(&message.etag);
        Ok(Response::new(self.versions.publish(&name, etag, asked).await?))
    }

    async fn get_template_version(
        &self,
        request: Request<proto::GetTemplateVersionRequest>,
    ) -> Answer<proto::TemplateVersion> {
        let (caller, message) = Caller::admit(request, Role::Viewer)?;
        let name: TemplateVersionName = message.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.template.workspace)?;
        Ok(Response::new(self.versions.get(&name).await?.into()))
    }

    async fn list_template_versions(
        &self,
        request: Request<proto::ListTemplateVersionsRequest>,
    ) -> Answer<proto::ListTemplateVersionsResponse> {
        let (caller, message) = Caller::admit(request, Role::Viewer)?;
        let template: TemplateName = message.parent.parse().map_err(Error::name("parent"))?;
        caller.enter(&template.workspace)?;
        let asked = (message.page_size, message.page_token.as_str());
        Ok(Response::new(self.versions.list(&template, asked).await?.into()))
    }

    async fn render_messages(
        &self,
        request: Request<proto::RenderMessagesRequest>,
    ) -> Answer<proto::RenderMessagesResponse> {
        let (caller, message) = Caller::admit(request, Role::Viewer)?;
        let batch = convert::batch(message)?;
        caller.enter(&batch.version.template.workspace)?;
        Ok(Response::new(convert::rendered(self.messages.render(batch).await?)))
    }
}
