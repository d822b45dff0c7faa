//! What a test starts with: a database, segmentation, the service, and templates that are well formed.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::DateTime;
use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::content::content_service_client::ContentServiceClient;
use cursus_api::content::{
    CreateTemplateRequest, PublishTemplateRequest, Source, Template, TemplateVersion,
};
use cursus_content::{Config, Content, MIGRATOR};
use cursus_testkit::clients::{self, Authorized, channel};
use cursus_testkit::scratch::{self, Database};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::segmentation::Segmentation;

pub(crate) const SPRING: &str = "workspaces/acme/templates/spring";
pub(crate) const REQUEST_ID: &str = "0190f6a0-5f0c-7cc0-8d5e-3f6a2b1c0d9e";

const EVERYBODY: [(&str, &[&str], &str); 4] = [
    ("grace", &["editor"], "acme"),
    ("edith", &["viewer"], "acme"),
    ("delivery", &["service"], "*"),
    ("mallory", &["editor"], "other"),
];

pub(crate) type Client = ContentServiceClient<Authorized>;

/// The service and everything around it.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) segmentation: Segmentation,
    pub(crate) ambient: Ambient,
    address: SocketAddr,
    _files: TempDir,
    _server: JoinSet<anyhow::Result<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = scratch::database("content", &MIGRATOR).await.unwrap();
        let segmentation = Segmentation::start().await;
        let files = tempfile::tempdir().unwrap();
        let everybody = clients::identities(&EVERYBODY);
        std::fs::write(files.path().join("identities"), everybody).unwrap();
        std::fs::write(files.path().join("token"), "content-token").unwrap();
        let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let ambient = Ambient::manual(start, 1);
        let config = config(&database, &segmentation, &files);
        let content = Content::build(config, ambient.clone()).await.unwrap();
        let address = content.local_addr();
        let mut server = JoinSet::new();
        server.spawn(content.run(CancellationToken::new()));
        Self { database, segmentation, ambient, address, _files: files, _server: server }
    }

    /// A client that is `grace` (editor), `edith` (viewer), `delivery` (service) or `mallory` (editor of another
    /// workspace).
    pub(crate) fn client(&self, who: &str) -> Client {
        let client =
            ContentServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap());
        client.max_decoding_message_size(64 << 20)
    }

    /// Creates the spring template.
    pub(crate) async fn create(&self, source: Source) -> Template {
        let request = create_request(source);
        self.client("grace").create_template(request).await.unwrap().into_inner()
    }

    /// Publishes its draft.
    pub(crate) async fn publish(&self) -> Result<TemplateVersion, Status> {
        let request =
            PublishTemplateRequest { name: SPRING.to_owned(), ..PublishTemplateRequest::default() };
        Ok(self.client("grace").publish_template(request).await?.into_inner())
    }

    /// Creates and publishes it.
    pub(crate) async fn published(&self, source: Source) -> TemplateVersion {
        self.create(source).await;
        self.publish().await.unwrap()
    }

    pub(crate) fn advance(&self) {
        self.ambient.advance(Duration::from_mins(1));
    }
}

pub(crate) fn create_request(source: Source) -> CreateTemplateRequest {
    CreateTemplateRequest {
        parent: "workspaces/acme".to_owned(),
        template_id: "spring".to_owned(),
        template: Some(Template {
            display_name: "Spring".to_owned(),
            source: Some(source),
            ..Template::default()
        }),
        request_id: String::new(),
    }
}

/// A template that can be published, with this in its body.
pub(crate) fn source(elements: &str) -> Source {
    let column = |inner: &str| {
        format!("<mj-section><mj-column><mj-text>{inner}</mj-text></mj-column></mj-section>\n")
    };
    let unsubscribe = "Acme, 1 Main Street <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";
    Source {
        subject: "Hello {{ contact.first_name | default(\"there\") }}".to_owned(),
        preheader: "Spring is here".to_owned(),
        mjml: format!(
            "<mjml><mj-body>\n{}{}</mj-body></mjml>",
            column(elements),
            column(unsubscribe)
        ),
        text: String::new(),
    }
}

pub(crate) fn reason(status: &Status) -> String {
    cursus_fault::reason(status).unwrap_or_else(|| format!("{status:?}"))
}

pub(crate) fn value(status: &Status, field: &str) -> String {
    cursus_fault::value(status, field).unwrap_or_else(|| format!("{status:?}"))
}

fn config(database: &Database, segmentation: &Segmentation, files: &TempDir) -> Config {
    let path = |name: &str| files.path().join(name).display().to_string();
    let arguments = [
        "cursus-content".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        "--admin-listen=127.0.0.1:0".to_owned(),
        format!("--identities-file={}", path("identities")),
        format!("--database-url={}", database.url),
        "--database-connections=8".to_owned(),
        format!("--service-token-file={}", path("token")),
        format!("--segmentation-url=http://{}", segmentation.address),
        "--cached-versions=2".to_owned(),
    ];
    Config::try_parse_from(arguments).unwrap()
}
