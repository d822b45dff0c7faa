//! The service in this process, in a runtime of its own, and how it is asked.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::segmentation as proto;
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_segmentation::{Config, Segmentation};
use cursus_testkit::clients::{self, Authorized, channel};
use cursus_testkit::directory::Directory;
use cursus_testkit::host::Host;

pub(crate) type Client = SegmentationServiceClient<Authorized>;

pub(crate) const WORKSPACE: &str = "acme";
/// Who asks, and what it holds.
const SUBJECT: &str = "bench";
const TOKEN: &str = "bench-token";
const POLL: Duration = Duration::from_millis(50);

/// A running service.
pub(crate) struct Service {
    host: Host,
    address: SocketAddr,
    _files: Directory,
}

impl Service {
    /// Starts it on a database and a Redis, with the settings of production.
    pub(crate) async fn start(
        database_url: &str,
        redis_url: &str,
        ambient: Ambient,
    ) -> anyhow::Result<Self> {
        let files = Directory::create()?;
        let config = config(&files, database_url, redis_url)?;
        let (mut host, segmentation) =
            Host::build(move || Segmentation::build(config, ambient)).await?;
        let address = segmentation.local_addr();
        host.run(|shutdown| segmentation.run(shutdown));
        Ok(Self { host, address, _files: files })
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(SegmentationServiceClient::new(channel(self.address, TOKEN)?))
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.host.stop().await
    }
}

fn config(files: &Directory, database_url: &str, redis_url: &str) -> anyhow::Result<Config> {
    let (identities, token) = (files.join("identities"), files.join("token"));
    std::fs::write(&identities, clients::identities(&[(SUBJECT, &["editor"], "*")]))?;
    std::fs::write(&token, "segmentation-token")?;
    Ok(Config::try_parse_from([
        "cursus-segmentation".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        "--admin-listen=127.0.0.1:0".to_owned(),
        "--ingest-listen=127.0.0.1:0".to_owned(),
        format!("--identities-file={}", identities.display()),
        format!("--service-token-file={}", token.display()),
        format!("--database-url={database_url}"),
        format!("--redis-url={redis_url}"),
    ])?)
}

/// Creates a segment; all of a benchmark's are created in the same workspace.
pub(crate) async fn create(
    client: &mut Client,
    id: &str,
    segment: proto::Segment,
) -> anyhow::Result<()> {
    let request = proto::CreateSegmentRequest {
        parent: parent(),
        segment_id: id.to_owned(),
        segment: Some(segment),
        request_id: String::new(),
    };
    client.create_segment(request).await?;
    Ok(())
}

/// The segments, when all of them are ready.
pub(crate) async fn ready(client: &mut Client) -> anyhow::Result<Vec<proto::Segment>> {
    loop {
        let request = proto::ListSegmentsRequest {
            parent: parent(),
            page_size: 1_000,
            ..proto::ListSegmentsRequest::default()
        };
        let listed = client.list_segments(request).await?.into_inner().segments;
        if listed.iter().all(|it| it.state() == proto::segment::State::Ready) {
            return Ok(listed);
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) fn parent() -> String {
    format!("workspaces/{WORKSPACE}")
}
