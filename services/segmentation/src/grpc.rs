//! The contract: admit the caller, read what is asked, ask, and tell the answer.

pub(crate) mod convert;
pub(crate) mod crm;
pub(crate) mod ingest;
pub(crate) mod insight;
pub(crate) mod privacy;
mod request;
pub(crate) mod rule;
mod stream;
pub(crate) mod transition;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::segmentation_service_server::SegmentationService;
use cursus_chassis::{Caller, Role};
use cursus_feed::Feed;
use cursus_ids::{AttributeName, ContactName, SegmentName, SnapshotName};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::request::{
    MOST_AT_ONCE, at_most, contacts, each_once, enter, rows, sample_size, segment,
};
use crate::asked::Asked;
use crate::attributes::Attributes;
use crate::contacts::Contacts;
use crate::error::Error;
use crate::events::{Events, FEED, Others};
use crate::members::Members;
use crate::metrics;
use crate::page::Page;
use crate::segment::{self, DisplayName};
use crate::segments::Segments;
use crate::snapshots::Snapshots;
use crate::transitions::Transitions;
use crate::{attribute, contact, event};

/// Answers gRPC requests.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    pub(crate) attributes: Attributes,
    pub(crate) contacts: Contacts,
    pub(crate) events: Events,
    pub(crate) segments: Segments,
    pub(crate) members: Members,
    pub(crate) snapshots: Snapshots,
    pub(crate) transitions: Transitions,
    pub(crate) feed: Feed,
    /// Ends streams that have no end of their own.
    pub(crate) shutdown: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SegmentationService for Grpc {
    async fn create_attribute(
        &self,
        request: Request<proto::CreateAttributeRequest>,
    ) -> Answer<proto::Attribute> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        let told = request.attribute.clone().unwrap_or_default();
        let entity = convert::entity(told.entity, "attribute.entity")?;
        let id = entity.prefix().to_owned() + &request.attribute_id;
        let id = id.parse().map_err(Error::name("attribute_id"))?;
        let name = (entity, AttributeName::new(workspace, id));
        let draft = attribute::Draft::new(name, convert::kind(told.kind)?, told.description)?;
        let asked = Asked { id: &request.request_id, method: "CreateAttribute", body: &request };
        Ok(Response::new(self.attributes.create(draft, asked).await?))
    }

    async fn list_attributes(
        &self,
        request: Request<proto::ListAttributesRequest>,
    ) -> Answer<proto::ListAttributesResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let asked = (request.page_size, request.page_token.as_str());
        let entity = convert::entity(request.entity, "entity")?;
        let Page { items, next_token } = self.attributes.list(&workspace, entity, asked).await?;
        Ok(Response::new(proto::ListAttributesResponse {
            attributes: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }

    async fn update_contact(
        &self,
        request: Request<proto::UpdateContactRequest>,
    ) -> Answer<proto::Contact> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let told = request.contact.unwrap_or_default();
        let name: ContactName = told.name.parse().map_err(Error::name("contact.name"))?;
        caller.enter(&name.workspace)?;
        let refused = |refusal| Error::Refused { row: None, refusal };
        let told = convert::told(told, &name.workspace).map_err(refused)?;
        let vocabulary = self.contacts.vocabulary(&name.workspace).await?;
        let draft = contact::Draft::check(told, &vocabulary).map_err(refused)?;
        let written = self.contacts.write_one(&name.workspace, &vocabulary, draft).await?;
        Ok(Response::new(written.into()))
    }

    async fn batch_update_contacts(
        &self,
        request: Request<proto::BatchUpdateContactsRequest>,
    ) -> Answer<proto::BatchUpdateContactsResponse> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        at_most(MOST_AT_ONCE, request.contacts.len(), "contacts")?;
        let vocabulary = self.contacts.vocabulary(&workspace).await?;
        let drafts: Vec<contact::Draft> = rows(request.contacts, |told| {
            contact::Draft::check(convert::told(told, &workspace)?, &vocabulary)
        })?;
        each_once(drafts.iter().map(|draft| draft.id.as_ref()), "contact.name")?;
        let written = self.contacts.write(&workspace, &vocabulary, drafts, Others::Refused).await?;
        metrics::rows("contact", written.created + written.updated);
        Ok(Response::new(proto::BatchUpdateContactsResponse {
            created_count: written.created,
            updated_count: written.updated,
        }))
    }

    async fn import_contacts(
        &self,
        request: Request<Streaming<proto::ImportContactsRequest>>,
    ) -> Answer<proto::ImportContactsResponse> {
        let (caller, parts) = Caller::admit(request, Role::Editor)?;
        let imported = self.take_contacts(&caller, parts).await?;
        metrics::rows("contact", imported.created_count + imported.updated_count);
        metrics::rows("refused", imported.refused_count);
        Ok(Response::new(imported))
    }

    async fn get_contact(
        &self,
        request: Request<proto::GetContactRequest>,
    ) -> Answer<proto::Contact> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: ContactName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(self.contacts.get(&name).await?.into()))
    }

    async fn batch_get_contacts(
        &self,
        request: Request<proto::BatchGetContactsRequest>,
    ) -> Answer<proto::BatchGetContactsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let names = contacts(&request.names, &workspace, "names")?;
        let ids: Vec<_> = names.into_iter().map(|name| name.id).collect();
        let found = self.contacts.get_many(&workspace, &ids).await?;
        Ok(Response::new(convert::encode_found(found)))
    }

    async fn list_contacts(
        &self,
        request: Request<proto::ListContactsRequest>,
    ) -> Answer<proto::ListContactsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.contacts.list(&workspace, asked).await?;
        Ok(Response::new(proto::ListContactsResponse {
            contacts: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }

    async fn record_event(
        &self,
        request: Request<proto::RecordEventRequest>,
    ) -> Answer<proto::RecordEventResponse> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        let told = request.event.unwrap_or_default();
        let draft = convert::event(told, &workspace)
            .map_err(|refusal| Error::Refused { row: None, refusal })?;
        let recorded = self.events.record(&workspace, &[draft], Others::Refused).await;
        let recorded = recorded.map_err(Error::of_only_row)?;
        metrics::rows("event", recorded.new);
        Ok(Response::new(proto::RecordEventResponse { duplicate: recorded.known > 0 }))
    }

    async fn batch_record_events(
        &self,
        request: Request<proto::BatchRecordEventsRequest>,
    ) -> Answer<proto::BatchRecordEventsResponse> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        at_most(MOST_AT_ONCE, request.events.len(), "events")?;
        let drafts: Vec<event::Draft> =
            rows(request.events, |told| convert::event(told, &workspace))?;
        let recorded = self.events.record(&workspace, &drafts, Others::Refused).await?;
        metrics::rows("event", recorded.new);
        Ok(Response::new(proto::BatchRecordEventsResponse {
            recorded_count: recorded.new,
            duplicate_count: recorded.known,
        }))
    }

    async fn import_events(
        &self,
        request: Request<Streaming<proto::ImportEventsRequest>>,
    ) -> Answer<proto::ImportEventsResponse> {
        let (caller, parts) = Caller::admit(request, Role::Editor)?;
        let imported = self.take_events(&caller, parts).await?;
        metrics::rows("event", imported.recorded_count);
        metrics::rows("refused", imported.refused_count);
        Ok(Response::new(imported))
    }

    type WatchEventsStream = BoxStream<'static, Result<proto::WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        request: Request<proto::WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let workspace = match request.parent.as_str() {
            // Nobody enters this one who may not enter all.
            "workspaces/-" => caller.enter("*").map(|()| None)?,
            parent => Some(enter(&caller, parent)?.to_string()),
        };
        let after = request.cursor.parse().map_err(|error| Error::Feed(Into::into(error)))?;
        let pages = self.feed.follow(FEED, workspace, after, self.shutdown.clone());
        Ok(Response::new(stream::responses(pages)))
    }

    async fn create_segment(
        &self,
        request: Request<proto::CreateSegmentRequest>,
    ) -> Answer<proto::Segment> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        let id = request.segment_id.parse().map_err(Error::name("segment_id"))?;
        let told = request.segment.clone().unwrap_or_default();
        let draft = segment::Draft {
            name: SegmentName::new(workspace, id),
            display_name: DisplayName::new(told.display_name)?,
            rule: convert::written_rule(told.rule, told.rule_text)?,
        };
        let asked = Asked { id: &request.request_id, method: "CreateSegment", body: &request };
        Ok(Response::new(self.segments.create(draft, asked).await?))
    }

    async fn get_segment(
        &self,
        request: Request<proto::GetSegmentRequest>,
    ) -> Answer<proto::Segment> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name = segment(&caller, &request.name, "name")?;
        Ok(Response::new(self.segments.get(&name).await?.into()))
    }

    async fn list_segments(
        &self,
        request: Request<proto::ListSegmentsRequest>,
    ) -> Answer<proto::ListSegmentsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.segments.list(&workspace, asked).await?;
        Ok(Response::new(proto::ListSegmentsResponse {
            segments: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }

    async fn update_segment(
        &self,
        request: Request<proto::UpdateSegmentRequest>,
    ) -> Answer<proto::Segment> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let change = convert::change(request.clone())?;
        caller.enter(&change.name.workspace)?;
        let asked = Asked { id: &request.request_id, method: "UpdateSegment", body: &request };
        Ok(Response::new(self.segments.update(change, asked).await?))
    }

    async fn delete_segment(&self, request: Request<proto::DeleteSegmentRequest>) -> Answer<()> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name = segment(&caller, &request.name, "name")?;
        let asked = Asked { id: &request.request_id, method: "DeleteSegment", body: &request };
        Ok(Response::new(self.segments.delete(&name, asked).await?))
    }

    async fn preview_segment(
        &self,
        request: Request<proto::PreviewSegmentRequest>,
    ) -> Answer<proto::PreviewSegmentResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let size = sample_size(request.sample_size)?;
        let rule = convert::written_rule(request.rule, request.rule_text)?;
        let preview = self.segments.preview(&workspace, &rule, size).await?;
        Ok(Response::new(preview.into()))
    }

    async fn check_membership(
        &self,
        request: Request<proto::CheckMembershipRequest>,
    ) -> Answer<proto::CheckMembershipResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name = segment(&caller, &request.segment, "segment")?;
        let contacts = contacts(&request.contacts, &name.workspace, "contacts")?;
        let (members, revision) = self.members.check(&name, &contacts).await?;
        Ok(Response::new(proto::CheckMembershipResponse { members, revision }))
    }

    type StreamMembersStream = BoxStream<'static, Result<proto::StreamMembersResponse, Status>>;

    async fn stream_members(
        &self,
        request: Request<proto::StreamMembersRequest>,
    ) -> Answer<Self::StreamMembersStream> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name = segment(&caller, &request.segment, "segment")?;
        let runs = self.members.all(&name).await?;
        let told = move |run: Vec<cursus_ids::ContactId>| proto::StreamMembersResponse {
            contacts: run
                .into_iter()
                .map(|id| ContactName::new(name.workspace.clone(), id).to_string())
                .collect(),
        };
        Ok(Response::new(Box::pin(runs.map_ok(told).map_err(Status::from))))
    }

    async fn check_segments(
        &self,
        request: Request<proto::CheckSegmentsRequest>,
    ) -> Answer<proto::CheckSegmentsResponse> {
        self.segments_checked(request).await
    }

    async fn list_contact_segments(
        &self,
        request: Request<proto::ListContactSegmentsRequest>,
    ) -> Answer<proto::ListContactSegmentsResponse> {
        self.contact_segments(request).await
    }

    async fn list_transitions(
        &self,
        request: Request<proto::ListTransitionsRequest>,
    ) -> Answer<proto::ListTransitionsResponse> {
        self.transitions_listed(request).await
    }

    type WatchTransitionsStream =
        BoxStream<'static, Result<proto::WatchTransitionsResponse, Status>>;

    async fn watch_transitions(
        &self,
        request: Request<proto::WatchTransitionsRequest>,
    ) -> Answer<Self::WatchTransitionsStream> {
        self.transitions_watched(request)
    }

    async fn create_snapshot(
        &self,
        request: Request<proto::CreateSnapshotRequest>,
    ) -> Answer<proto::Snapshot> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        let id = request.snapshot_id.parse().map_err(Error::name("snapshot_id"))?;
        let told = request.snapshot.clone().unwrap_or_default();
        let draft = convert::snapshot_draft(SnapshotName::new(workspace, id), told)?;
        let asked = Asked { id: &request.request_id, method: "CreateSnapshot", body: &request };
        Ok(Response::new(self.snapshots.create(draft, asked).await?))
    }

    async fn get_snapshot(
        &self,
        request: Request<proto::GetSnapshotRequest>,
    ) -> Answer<proto::Snapshot> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: SnapshotName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(self.snapshots.get(&name).await?.into()))
    }

    async fn list_snapshot_members(
        &self,
        request: Request<proto::ListSnapshotMembersRequest>,
    ) -> Answer<proto::ListSnapshotMembersResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: SnapshotName = request.parent.parse().map_err(Error::name("parent"))?;
        caller.enter(&name.workspace)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.snapshots.members(&name, asked).await?;
        let member = |member| convert::encode_member(&name.workspace, member);
        Ok(Response::new(proto::ListSnapshotMembersResponse {
            members: items.into_iter().map(member).collect(),
            next_page_token: next_token,
        }))
    }
}
