//! What a test starts with: a database, a clock, and one or more replicas of the service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::segmentation as proto;
use cursus_api::segmentation::crm_service_client::CrmServiceClient;
use cursus_api::segmentation::ingest_service_client::IngestServiceClient;
use cursus_api::segmentation::insight_service_client::InsightServiceClient;
use cursus_api::segmentation::privacy_service_client::PrivacyServiceClient;
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_segmentation::{Config, MIGRATOR, Segmentation};
pub(crate) use cursus_testkit::clients::refused;
use cursus_testkit::clients::{self, Authorized, channel};
use cursus_testkit::host::Host;
use cursus_testkit::scratch::{self, Database};
use tempfile::TempDir;
use tonic::Status;

pub(crate) type Client = SegmentationServiceClient<Authorized>;
pub(crate) type Crm = CrmServiceClient<Authorized>;
pub(crate) type IngestClient = IngestServiceClient<Authorized>;

/// How long a test waits for a condition. Nothing takes this long; a slow machine might.
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything around the service.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) ambient: Ambient,
    /// A workspace that no other test has, because all share one Redis.
    pub(crate) workspace: String,
    pub(crate) redis_url: String,
    database_url: String,
    settings: Vec<String>,
    files: TempDir,
}

/// A replica, in a runtime of its own, so that it can be killed.
pub(crate) struct Replica {
    address: SocketAddr,
    /// Where calls of the tracking API are taken.
    pub(crate) ingest_address: SocketAddr,
    host: Host,
    workspace: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = scratch::database("segmentation", &MIGRATOR).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let workspace = scratch::unique("w");
        let everybody: [(&str, &[&str], &str); 5] = [
            ("ada", &["editor"], &workspace),
            ("edith", &["viewer"], &workspace),
            ("root", &["admin"], &workspace),
            ("delivery", &["service"], "*"),
            ("mallory", &["editor"], "elsewhere"),
        ];
        let everybody = clients::identities(&everybody);
        std::fs::write(files.path().join("identities"), everybody).unwrap();
        std::fs::write(files.path().join("token"), "segmentation-token").unwrap();
        Self {
            ambient: Ambient::manual(noon(), 7),
            workspace,
            redis_url: scratch::redis_url().unwrap(),
            database_url: database.url.clone(),
            database,
            settings: Vec::new(),
            files,
        }
    }

    /// With a setting of its own, such as `--delivery-url=http://…`.
    pub(crate) fn with(mut self, setting: String) -> Self {
        self.settings.push(setting);
        self
    }

    /// On a database of its own.
    pub(crate) fn on(mut self, database_url: String) -> Self {
        self.database_url = database_url;
        self
    }

    pub(crate) async fn start(&self) -> Replica {
        let (config, ambient) = (self.config(), self.ambient.clone());
        let built = Host::build(move || Segmentation::build(config, ambient)).await;
        let (mut host, segmentation) = built.unwrap();
        let address = segmentation.local_addr();
        let ingest_address = segmentation.ingest_addr().unwrap();
        host.run(|shutdown| segmentation.run(shutdown));
        Replica { address, ingest_address, host, workspace: self.workspace.clone() }
    }

    pub(crate) fn parent(&self) -> String {
        format!("workspaces/{}", self.workspace)
    }

    fn config(&self) -> Config {
        let path = |name: &str| self.files.path().join(name).display().to_string();
        let mut arguments = vec![
            "cursus-segmentation".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            "--ingest-listen=127.0.0.1:0".to_owned(),
            format!("--identities-file={}", path("identities")),
            format!("--service-token-file={}", path("token")),
            format!("--database-url={}", self.database_url),
            "--database-connections=10".to_owned(),
            format!("--redis-url={}", self.redis_url),
            "--poll-interval=100ms".to_owned(),
        ];
        arguments.extend(self.settings.iter().cloned());
        Config::try_parse_from(arguments).unwrap()
    }
}

impl Replica {
    /// A client that is `ada` (editor), `edith` (viewer), `root` (admin), `delivery` (service, of all workspaces) or
    /// `mallory` (editor of another workspace).
    pub(crate) fn client_of(&self, who: &str) -> Client {
        SegmentationServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap())
            .max_decoding_message_size(16 << 20)
    }

    /// The same for what comes in otherwise.
    pub(crate) fn ingest_of(&self, who: &str) -> IngestClient {
        IngestServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap())
    }

    /// The same for privacy.
    pub(crate) fn privacy_of(&self, who: &str) -> PrivacyServiceClient<Authorized> {
        PrivacyServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap())
    }

    pub(crate) fn client(&self) -> Client {
        self.client_of("ada")
    }

    pub(crate) fn insight(&self) -> InsightServiceClient<Authorized> {
        InsightServiceClient::new(channel(self.address, "edith-token").unwrap())
    }

    /// The same client's view of accounts and deals.
    pub(crate) fn crm_of(&self, who: &str) -> Crm {
        CrmServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap())
    }

    pub(crate) fn crm(&self) -> Crm {
        self.crm_of("ada")
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(crate) fn kill(self) {
        self.host.kill();
    }

    pub(crate) fn parent(&self) -> String {
        format!("workspaces/{}", self.workspace)
    }

    pub(crate) fn contact_name(&self, id: &str) -> String {
        format!("{}/contacts/{id}", self.parent())
    }

    pub(crate) fn segment_name(&self, id: &str) -> String {
        format!("{}/segments/{id}", self.parent())
    }

    pub(crate) async fn declare(&self, attributes: &[(&str, proto::AttributeKind)]) {
        self.declare_of(proto::AttributeEntity::Contact, attributes).await;
    }

    pub(crate) async fn declare_of(
        &self,
        entity: proto::AttributeEntity,
        attributes: &[(&str, proto::AttributeKind)],
    ) {
        for (id, kind) in attributes {
            let request = proto::CreateAttributeRequest {
                parent: self.parent(),
                attribute_id: (*id).to_owned(),
                attribute: Some(proto::Attribute {
                    kind: (*kind).into(),
                    entity: entity.into(),
                    ..proto::Attribute::default()
                }),
                request_id: String::new(),
            };
            self.client().create_attribute(request).await.unwrap();
        }
    }

    pub(crate) fn contact(&self, id: &str, attributes: &[(&str, proto::Value)]) -> proto::Contact {
        proto::Contact {
            name: self.contact_name(id),
            email: format!("{id}@example.com"),
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            ..proto::Contact::default()
        }
    }

    pub(crate) async fn write(
        &self,
        contacts: Vec<proto::Contact>,
    ) -> Result<proto::BatchUpdateContactsResponse, Status> {
        let request = proto::BatchUpdateContactsRequest { parent: self.parent(), contacts };
        Ok(self.client().batch_update_contacts(request).await?.into_inner())
    }

    /// Writes contacts that are like each other, in parts.
    pub(crate) async fn import(
        &self,
        contacts: Vec<proto::Contact>,
    ) -> proto::ImportContactsResponse {
        let parent = self.parent();
        let parts: Vec<_> = contacts
            .chunks(1_000)
            .map(|part| proto::ImportContactsRequest {
                parent: parent.clone(),
                contacts: part.to_vec(),
            })
            .collect();
        let stream = tokio_stream::iter(parts);
        self.client().import_contacts(stream).await.unwrap().into_inner()
    }

    pub(crate) fn event(
        &self,
        id: &str,
        contact: &str,
        name: &str,
        time: DateTime<Utc>,
    ) -> proto::Event {
        proto::Event {
            event_id: id.to_owned(),
            contact: self.contact_name(contact),
            event_name: name.to_owned(),
            event_time: Some(moment(time)),
            properties: BTreeMap::new(),
        }
    }

    pub(crate) async fn record(
        &self,
        events: Vec<proto::Event>,
    ) -> Result<proto::BatchRecordEventsResponse, Status> {
        let request = proto::BatchRecordEventsRequest { parent: self.parent(), events };
        Ok(self.client().batch_record_events(request).await?.into_inner())
    }

    pub(crate) async fn create_segment(
        &self,
        id: &str,
        rule: proto::Rule,
    ) -> Result<proto::Segment, Status> {
        let request = proto::CreateSegmentRequest {
            parent: self.parent(),
            segment_id: id.to_owned(),
            segment: Some(proto::Segment { rule: Some(rule), ..proto::Segment::default() }),
            request_id: String::new(),
        };
        Ok(self.client().create_segment(request).await?.into_inner())
    }

    pub(crate) async fn segment(&self, id: &str) -> Result<proto::Segment, Status> {
        let request = proto::GetSegmentRequest { name: self.segment_name(id) };
        Ok(self.client().get_segment(request).await?.into_inner())
    }

    pub(crate) async fn get(&self, contact: &str) -> Result<proto::Contact, Status> {
        let request = proto::GetContactRequest { name: self.contact_name(contact) };
        Ok(self.client().get_contact(request).await?.into_inner())
    }

    /// The ids of all contacts, as listed.
    pub(crate) async fn listed(&self) -> Vec<String> {
        let request = proto::ListContactsRequest {
            parent: self.parent(),
            page_size: 1_000,
            ..proto::ListContactsRequest::default()
        };
        let page = self.client().list_contacts(request).await.unwrap().into_inner();
        page.contacts.iter().map(|contact| id_of(&contact.name)).collect()
    }

    pub(crate) async fn merge(&self, source: &str, target: &str) -> Result<proto::Contact, Status> {
        let request = proto::MergeContactsRequest {
            source: self.contact_name(source),
            target: self.contact_name(target),
            request_id: String::new(),
        };
        Ok(self.privacy_of("ada").merge_contacts(request).await?.into_inner())
    }

    pub(crate) async fn erase(&self, contact: &str) -> Result<proto::Erasure, Status> {
        let name = self.contact_name(contact);
        let request = proto::EraseContactRequest { name, request_id: String::new() };
        Ok(self.privacy_of("root").erase_contact(request).await?.into_inner())
    }

    /// Waits until nothing is left.
    pub(crate) async fn erased(&self, erasure: &proto::Erasure) -> proto::Erasure {
        until("the erasure is complete", async || {
            let request = proto::GetErasureRequest { name: erasure.name.clone() };
            let erasure = self.privacy_of("root").get_erasure(request).await.ok()?.into_inner();
            (erasure.state() == proto::erasure::State::Complete).then_some(erasure)
        })
        .await
    }

    /// Creates a segment and waits for its members.
    pub(crate) async fn ready_segment(&self, id: &str, rule: proto::Rule) -> proto::Segment {
        self.create_segment(id, rule).await.unwrap();
        self.ready(id).await
    }

    /// Waits for the members of the revision in force.
    pub(crate) async fn ready(&self, id: &str) -> proto::Segment {
        until("the segment is ready", async || {
            let segment = self.segment(id).await.ok()?;
            (segment.state() == proto::segment::State::Ready).then_some(segment)
        })
        .await
    }

    pub(crate) async fn check(
        &self,
        segment: &str,
        contacts: &[&str],
    ) -> Result<proto::CheckMembershipResponse, Status> {
        let request = proto::CheckMembershipRequest {
            segment: self.segment_name(segment),
            contacts: contacts.iter().map(|id| self.contact_name(id)).collect(),
        };
        Ok(self.client().check_membership(request).await?.into_inner())
    }

    /// Waits until exactly these of the contacts are members.
    pub(crate) async fn until_members(&self, segment: &str, contacts: &[&str], expected: &[bool]) {
        let mut seen = Vec::new();
        for _ in 0..6_000 {
            seen = self.check(segment, contacts).await.map(|it| it.members).unwrap_or_default();
            if seen == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("of {contacts:?}, {seen:?} are members of {segment} instead of {expected:?}");
    }

    /// Waits until a segment has so many members.
    pub(crate) async fn until_count(&self, segment: &str, expected: i64) {
        until("the segment has the members it should", async || {
            let segment = self.segment(segment).await.ok()?;
            (segment.member_count == expected).then_some(())
        })
        .await;
    }

    /// The ids of the members of a segment, in the order told.
    pub(crate) async fn members(&self, segment: &str) -> Vec<String> {
        let request = proto::StreamMembersRequest { segment: self.segment_name(segment) };
        let mut stream = self.client().stream_members(request).await.unwrap().into_inner();
        let mut members = Vec::new();
        while let Some(run) = stream.message().await.unwrap() {
            assert!(run.contacts.len() <= 1_000);
            members.extend(run.contacts.iter().map(|name| id_of(name)));
        }
        members
    }
}

/// Waits until something is so.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// When tests begin.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

pub(crate) fn moment(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap(),
    }
}

pub(crate) fn id_of(name: &str) -> String {
    name.rsplit('/').next().unwrap().to_owned()
}

pub(crate) fn text(text: &str) -> proto::Value {
    proto::Value { kind: Some(proto::value::Kind::Text(text.to_owned())) }
}

pub(crate) fn number(number: f64) -> proto::Value {
    proto::Value { kind: Some(proto::value::Kind::Number(number)) }
}

pub(crate) fn flag(flag: bool) -> proto::Value {
    proto::Value { kind: Some(proto::value::Kind::Flag(flag)) }
}

pub(crate) fn time(time: DateTime<Utc>) -> proto::Value {
    proto::Value { kind: Some(proto::value::Kind::Time(moment(time))) }
}

pub(crate) fn texts(texts: &[&str]) -> proto::Value {
    let items = texts.iter().map(|&text| text.to_owned()).collect();
    proto::Value { kind: Some(proto::value::Kind::Texts(proto::TextSet { items })) }
}

pub(crate) fn nothing() -> proto::Value {
    proto::Value { kind: None }
}
