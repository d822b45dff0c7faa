//! The part of the contract that is about privacy: contacts that are one person, and people who want to be forgotten.

use cursus_api::segmentation as proto;
use cursus_api::segmentation::privacy_service_server::PrivacyService;
use cursus_chassis::{Caller, Role};
use cursus_ids::{ContactName, ErasureName, WorkspaceId};
use prost::Message;
use tonic::{Request, Response};

use super::request::enter;
use super::{Answer, rule};
use crate::asked::Asked;
use crate::contacts::Contacts;
use crate::erasure::Erasure;
use crate::erasures::Erasures;
use crate::error::Error;
use crate::merges::Merges;
use crate::page::Page;

/// Answers gRPC requests.
#[derive(Clone, Debug)]
pub(crate) struct Privacy {
    pub(crate) contacts: Contacts,
    pub(crate) merges: Merges,
    pub(crate) erasures: Erasures,
}

#[tonic::async_trait]
impl PrivacyService for Privacy {
    async fn merge_contacts(
        &self,
        request: Request<proto::MergeContactsRequest>,
    ) -> Answer<proto::Contact> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let source: ContactName = request.source.parse().map_err(Error::name("source"))?;
        let target: ContactName = request.target.parse().map_err(Error::name("target"))?;
        caller.enter(&source.workspace)?;
        if target.workspace != source.workspace {
            return Err(Error::invalid("target", "is in another workspace").into());
        }
        let asked = Asked { id: &request.request_id, method: "MergeContacts", body: &request };
        self.merges.merge(&source.workspace, (&source.id, &target.id), asked).await?;
        Ok(Response::new(self.contacts.get(&target).await?.into()))
    }

    async fn erase_contact(
        &self,
        request: Request<proto::EraseContactRequest>,
    ) -> Answer<proto::Erasure> {
        let (caller, request) = Caller::admit(request, Role::Admin)?;
        let name: ContactName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        let asked = Asked { id: &request.request_id, method: "EraseContact", body: &request };
        Ok(Response::new(self.erasures.erase(&name, caller.subject(), asked).await?))
    }

    async fn get_erasure(
        &self,
        request: Request<proto::GetErasureRequest>,
    ) -> Answer<proto::Erasure> {
        let (caller, request) = Caller::admit(request, Role::Admin)?;
        let name: ErasureName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(self.erasures.get(&name).await?.into()))
    }

    async fn list_erasures(
        &self,
        request: Request<proto::ListErasuresRequest>,
    ) -> Answer<proto::ListErasuresResponse> {
        let (caller, request) = Caller::admit(request, Role::Admin)?;
        let workspace = enter(&caller, &request.parent)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.erasures.list(&workspace, asked).await?;
        Ok(Response::new(proto::ListErasuresResponse {
            erasures: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }
}

impl From<Erasure> for proto::Erasure {
    fn from(erasure: Erasure) -> Self {
        use proto::erasure::State;
        let state = if erasure.complete_time.is_some() { State::Complete } else { State::Running };
        let counts = erasure.counts;
        Self {
            name: erasure.name(),
            state: state.into(),
            requested_by: erasure.requested_by,
            create_time: Some(rule::encode_moment(erasure.create_time)),
            complete_time: erasure.complete_time.map(rule::encode_moment),
            contact_hash: erasure.contact_hash,
            counts: Some(proto::ErasedCounts {
                aliases: counts.aliases,
                events: counts.events,
                facts: counts.facts,
                snapshots: counts.snapshots,
                answers: counts.answers,
            }),
        }
    }
}

/// Whose an encoded event is.
pub(crate) fn contact_of_event(bytes: &[u8]) -> Result<String, Error> {
    let event = proto::Event::decode(bytes).map_err(|_| Error::Corrupt("fact"))?;
    Ok(event.contact)
}

/// The name of a contact, by which others know it.
pub(crate) fn contact_name(workspace: &WorkspaceId, id: &str) -> String {
    format!("{}/contacts/{id}", workspace.name())
}

/// How the name of a contact is found in an encoded message: behind its length, so that it is not found in a longer one.
pub(crate) fn contact_mark(workspace: &WorkspaceId, id: &str) -> Vec<u8> {
    let name = contact_name(workspace, id);
    let mut mark = Vec::with_capacity(name.len() + 2);
    prost::encode_length_delimiter(name.len(), &mut mark).expect("a vector grows");
    mark.extend(name.as_bytes());
    mark
}
