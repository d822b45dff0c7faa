//! The gRPC service: decode, ask, encode.

mod asked;
pub(crate) mod convert;
mod page;
mod watch;

use cursus_ambient::Ambient;
use cursus_api::delivery as proto;
use cursus_api::delivery::delivery_service_server::DeliveryService;
use cursus_chassis::{Caller, Role};
use cursus_feed::Feed;
use cursus_ids::{BroadcastName, SenderName, WorkspaceId};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::asked::{Asked, ask};
use crate::address::{AddressHash, AddressHasher};
use crate::broadcasts::Accounted;
use crate::error::Error;
use crate::peers::Peers;
use crate::wake::Wake;
use crate::{broadcasts, senders, store, suppressions};

/// The handlers and what they need.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) peers: Peers,
    pub(crate) hasher: AddressHasher,
    pub(crate) feed: Feed,
    /// To ring when a broadcast was created or changed.
    pub(crate) tended: Wake,
    /// To ring when there is something to send.
    pub(crate) queued: Wake,
    pub(crate) shutdown: CancellationToken,
}

/// What a handler answers.
type Answer<T> = Result<Response<T>, Status>;

impl Delivery {
    async fn conn(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, Error> {
        Ok(self.pool.acquire().await?)
    }

    /// Tells the background work of this process that something has changed.
    fn ring(&self) {
        self.tended.ring();
        self.queued.ring();
    }
}

#[tonic::async_trait]
impl DeliveryService for Delivery {
    async fn create_sender(
        &self,
        request: Request<proto::CreateSenderRequest>,
    ) -> Answer<proto::Sender> {
        let (caller, request) = Caller::admit(request, Role::Admin)?;
        let sender = convert::sender(request.clone(), self.ambient.now())?;
        caller.enter(&sender.name.workspace)?;
        let id = (request.request_id.as_str(), "CreateSender");
        let mut asked = match ask(&self.pool, &sender.name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        senders::create(&mut asked.tx, &sender).await?;
        Ok(Response::new(asked.answer(sender.into()).await?))
    }

    async fn get_sender(&self, request: Request<proto::GetSenderRequest>) -> Answer<proto::Sender> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: SenderName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let sender = senders::get(&mut *self.conn().await?, &name).await?;
        Ok(Response::new(sender.into()))
    }

    async fn list_senders(
        &self,
        request: Request<proto::ListSendersRequest>,
    ) -> Answer<proto::ListSendersResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let size = page::size(request.page_size)?;
        let after = page::place(&request.page_token)?.unwrap_or_default();
        let mut senders =
            store::senders::list(&mut *self.conn().await?, &workspace, &after, size + 1)
                .await
                .map_err(Error::from)?;
        let next_page_token = page::next(&mut senders, size, |it| it.name.id.to_string());
        let senders = senders.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListSendersResponse { senders, next_page_token }))
    }

    async fn create_broadcast(
        &self,
        request: Request<proto::CreateBroadcastRequest>,
    ) -> Answer<proto::Broadcast> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let draft = convert::draft(request.clone())?;
        let workspace = draft.name.workspace.clone();
        caller.enter(&workspace)?;
        let id = (request.request_id.as_str(), "CreateBroadcast");
        // Looked for first, so that a repetition is answered whatever became of the approval since.
        if let Asked::Before(answer) = ask(&self.pool, &workspace, id, &request).await? {
            return Ok(Response::new(answer));
        }
        let sender = SenderName::new(workspace.clone(), draft.sender.clone());
        let sender = senders::get(&mut *self.conn().await?, &sender).await?;
        let particulars = broadcasts::particulars(&self.peers, &draft, &sender).await?;
        let mut asked = match ask(&self.pool, &workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let now = self.ambient.now();
        let created = broadcasts::create(&mut asked.tx, &draft, &particulars, now).await?;
        let answer = asked.answer(with_ledger(&created)).await?;
        self.ring();
        Ok(Response::new(answer))
    }

    async fn get_broadcast(
        &self,
        request: Request<proto::GetBroadcastRequest>,
    ) -> Answer<proto::Broadcast> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: BroadcastName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let broadcast = broadcasts::get(&mut *self.conn().await?, &name).await?;
        Ok(Response::new(with_ledger(&broadcast)))
    }

    async fn list_broadcasts(
        &self,
        request: Request<proto::ListBroadcastsRequest>,
    ) -> Answer<proto::ListBroadcastsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let size = page::size(request.page_size)?;
        let before = page::place(&request.page_token)?;
        let before = before.map(|place| page::read_at(&place)).transpose()?;
        let mut rows =
            store::broadcasts::list(&mut *self.conn().await?, &workspace, before, size + 1)
                .await
                .map_err(Error::from)?;
        let place = |(it, _): &Accounted| page::at(it.create_time, &it.draft.name.id);
        let next_page_token = page::next(&mut rows, size, place);
        let broadcasts =
            rows.iter().map(|(it, counts)| convert::told_broadcast(it, counts)).collect();
        Ok(Response::new(proto::ListBroadcastsResponse { broadcasts, next_page_token }))
    }

    async fn pause_broadcast(
        &self,
        request: Request<proto::PauseBroadcastRequest>,
    ) -> Answer<proto::Broadcast> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: BroadcastName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "PauseBroadcast");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let paused = broadcasts::pause(&mut asked.tx, &name).await?;
        let answer = asked.answer(with_ledger(&paused)).await?;
        log_change("paused", &name, (&caller, &request.reason));
        Ok(Response::new(answer))
    }

    async fn resume_broadcast(
        &self,
        request: Request<proto::ResumeBroadcastRequest>,
    ) -> Answer<proto::Broadcast> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: BroadcastName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "ResumeBroadcast");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let resumed = broadcasts::resume(&mut asked.tx, &name).await?;
        let answer = asked.answer(with_ledger(&resumed)).await?;
        log_change("resumed", &name, (&caller, ""));
        self.ring();
        Ok(Response::new(answer))
    }

    async fn cancel_broadcast(
        &self,
        request: Request<proto::CancelBroadcastRequest>,
    ) -> Answer<proto::Broadcast> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: BroadcastName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "CancelBroadcast");
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let cancelled = broadcasts::cancel(&mut asked.tx, &name, self.ambient.now()).await?;
        let answer = asked.answer(with_ledger(&cancelled)).await?;
        log_change("cancelled", &name, (&caller, &request.reason));
        self.ring();
        Ok(Response::new(answer))
    }

    async fn release_broadcast(
        &self,
        request: Request<proto::ReleaseBroadcastRequest>,
    ) -> Answer<proto::Broadcast> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let name: BroadcastName = convert::parsed("name", &request.name)?;
        caller.enter(&name.workspace)?;
        let id = (request.request_id.as_str(), "ReleaseBroadcast");
        if let Asked::Before(answer) = ask(&self.pool, &name.workspace, id, &request).await? {
            return Ok(Response::new(answer));
        }
        let (broadcast, _) = broadcasts::get(&mut *self.conn().await?, &name).await?;
        let (arm, approval) = convert::release(&request, &broadcast)?;
        broadcasts::allow_release(&self.peers, &broadcast, &arm, approval.as_ref()).await?;
        let mut asked = match ask(&self.pool, &name.workspace, id, &request).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let terms = (&arm, request.approval.as_str());
        let released = broadcasts::release(&mut asked.tx, &name, terms, self.ambient.now()).await?;
        let answer = asked.answer(with_ledger(&released)).await?;
        log_change("released", &name, (&caller, ""));
        self.ring();
        Ok(Response::new(answer))
    }

    async fn list_messages(
        &self,
        request: Request<proto::ListMessagesRequest>,
    ) -> Answer<proto::ListMessagesResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let broadcast: BroadcastName = convert::parsed("parent", &request.parent)?;
        caller.enter(&broadcast.workspace)?;
        let size = page::size(request.page_size)?;
        let after = page::place(&request.page_token)?.map(|place| place.parse::<uuid::Uuid>());
        let after = after.transpose().map_err(|_| Error::PageToken)?.map(Into::into);
        let conn = &mut *self.conn().await?;
        let listed = match convert::state(request.state()) {
            Some(state) => {
                let limits = (after, size + 1);
                store::messages::list_in_state(conn, &broadcast, state, limits).await
            }
            None => store::messages::list(conn, &broadcast, after, size + 1).await,
        };
        let mut messages = listed.map_err(Error::from)?;
        let next_page_token = page::next(&mut messages, size, |it| it.key.uuid().to_string());
        let tell = |message| convert::told_message(message, &broadcast);
        let messages = messages.into_iter().map(tell).collect();
        Ok(Response::new(proto::ListMessagesResponse { messages, next_page_token }))
    }

    async fn create_suppression(
        &self,
        request: Request<proto::CreateSuppressionRequest>,
    ) -> Answer<proto::Suppression> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let asked_for = request.suppression.clone().unwrap_or_default();
        let reason = convert::reason(asked_for.reason())?;
        let address = self.hash(&workspace, "suppression.address", &asked_for.address)?;
        let id = (request.request_id.as_str(), "CreateSuppression");
        // Remembered by its keyed hash here, too: a digest of the address itself could be guessed.
        let remembered = proto::Suppression { address: address.to_string(), ..asked_for };
        let mut asked = match ask(&self.pool, &workspace, id, &remembered).await? {
            Asked::Before(answer) => return Ok(Response::new(answer)),
            Asked::Now(asked) => asked,
        };
        let why = (reason, self.ambient.now());
        let created = suppressions::create(&mut asked.tx, &workspace, address, why).await?;
        let answer = asked.answer(convert::told_suppression(&created, &workspace)).await?;
        Ok(Response::new(answer))
    }

    async fn get_suppression(
        &self,
        request: Request<proto::GetSuppressionRequest>,
    ) -> Answer<proto::Suppression> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let address = self.hash(&workspace, "address", &request.address)?;
        let found = suppressions::get(&mut *self.conn().await?, &workspace, address).await?;
        Ok(Response::new(convert::told_suppression(&found, &workspace)))
    }

    async fn list_suppressions(
        &self,
        request: Request<proto::ListSuppressionsRequest>,
    ) -> Answer<proto::ListSuppressionsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = convert::parent(&request.parent)?;
        caller.enter(&workspace)?;
        let size = page::size(request.page_size)?;
        let before = page::place(&request.page_token)?.map(|place| {
            let (time, address) = page::read_at(&place)?;
            Ok::<_, Error>((time, address.parse().map_err(|()| Error::PageToken)?))
        });
        let before: Option<(_, AddressHash)> = before.transpose()?;
        let mut rows =
            store::suppressions::list(&mut *self.conn().await?, &workspace, before, size + 1)
                .await
                .map_err(Error::from)?;
        let next_page_token =
            page::next(&mut rows, size, |it| page::at(it.create_time, it.address));
        let suppressions =
            rows.iter().map(|it| convert::told_suppression(it, &workspace)).collect();
        Ok(Response::new(proto::ListSuppressionsResponse { suppressions, next_page_token }))
    }

    type WatchOutcomesStream = watch::Outcomes;

    async fn watch_outcomes(
        &self,
        request: Request<proto::WatchOutcomesRequest>,
    ) -> Answer<Self::WatchOutcomesStream> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let workspace = watch::parent(&request.parent)?;
        // Only who may enter every workspace may enter the one that stands for all.
        caller.enter(workspace.as_ref().map_or("-", AsRef::as_ref))?;
        let outcomes =
            watch::outcomes(&self.feed, workspace, &request.cursor, self.shutdown.clone())?;
        Ok(Response::new(outcomes))
    }
}

impl Delivery {
    fn hash(
        &self,
        workspace: &WorkspaceId,
        field: &'static str,
        address: &str,
    ) -> Result<AddressHash, Error> {
        Ok(self.hasher.hash(workspace, &convert::address(field, address)?))
    }
}

fn with_ledger((broadcast, counts): &Accounted) -> proto::Broadcast {
    let ledger = Some(convert::told_ledger(broadcast, counts));
    proto::Broadcast { ledger, ..convert::told_broadcast(broadcast, counts) }
}

fn log_change(what: &str, name: &BroadcastName, (caller, reason): (&Caller, &str)) {
    tracing::info!(broadcast.name = %name, subject = caller.subject(), reason, "a broadcast was {what}");
}
