//! Between the wire and the domain.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use cursus_api::delivery as proto;
use cursus_ids::{ApprovalName, ArmId, BroadcastName, ParseError, SenderName, WorkspaceId};
use cursus_mail::HeaderText;
use prost::Message as _;
use prost_types::Timestamp;

use crate::actor::Actor;
use crate::address::Address;
use crate::broadcast::{Broadcast, Counts, Draft, State, Variant};
use crate::error::Error;
use crate::message::{self, Message};
use crate::outcome::{Kind, Outcome};
use crate::sender::Sender;
use crate::suppression::{Reason, Suppression};

/// More arms than an experiment may have would be a mistake.
const MOST_VARIANTS: usize = 10;
const DIGEST: usize = 32;

/// Reads a name or an id, and tells which field it was in if it is malformed.
pub(super) fn parsed<T: FromStr<Err = ParseError>>(
    field: &'static str,
    text: &str,
) -> Result<T, Error> {
    text.parse().map_err(|error| Error::invalid(field, error))
}

pub(super) fn parent(text: &str) -> Result<WorkspaceId, Error> {
    cursus_ids::parse_parent(text).map_err(|error| Error::invalid("parent", error))
}

pub(super) fn address(field: &'static str, text: &str) -> Result<Address, Error> {
    let why = "it is not an address that mail can be sent to";
    Address::parse(text).ok_or_else(|| Error::invalid(field, why))
}

pub(super) fn sender(
    request: proto::CreateSenderRequest,
    create_time: DateTime<Utc>,
) -> Result<Sender, Error> {
    let workspace = parent(&request.parent)?;
    let sender = request.sender.unwrap_or_default();
    let display_name = HeaderText::new(&sender.display_name)
        .map_err(|malformed| Error::invalid("sender.display_name", malformed))?;
    let reply_to = Some(sender.reply_to.as_str()).filter(|text| !text.is_empty());
    Ok(Sender {
        name: SenderName::new(workspace, parsed("sender_id", &request.sender_id)?),
        display_name,
        address: address("sender.address", &sender.address)?,
        reply_to: reply_to.map(|text| address("sender.reply_to", text)).transpose()?,
        create_time,
    })
}

pub(super) fn draft(request: proto::CreateBroadcastRequest) -> Result<Draft, Error> {
    let workspace = parent(&request.parent)?;
    let broadcast = request.broadcast.unwrap_or_default();
    let snapshot: cursus_ids::SnapshotName = parsed("broadcast.snapshot", &broadcast.snapshot)?;
    let sender: SenderName = parsed("broadcast.sender", &broadcast.sender)?;
    let experiment: cursus_ids::ExperimentName =
        parsed("broadcast.experiment", &broadcast.experiment)?;
    let approval: ApprovalName = parsed("broadcast.approval", &broadcast.approval)?;
    for (field, of) in [
        ("broadcast.snapshot", &snapshot.workspace),
        ("broadcast.sender", &sender.workspace),
        ("broadcast.experiment", &experiment.workspace),
        ("broadcast.approval", &approval.workspace),
    ] {
        same_workspace(field, of, &workspace)?;
    }
    if broadcast.approval_digest.len() != DIGEST {
        return Err(Error::invalid("broadcast.approval_digest", "it must have 32 bytes"));
    }
    let variants = variants(broadcast.variants, &workspace)?;
    let name = BroadcastName::new(workspace, parsed("broadcast_id", &request.broadcast_id)?);
    let approval_digest = broadcast.approval_digest;
    Ok(Draft { name, snapshot, sender: sender.id, experiment, variants, approval, approval_digest })
}

fn variants(variants: Vec<proto::Variant>, workspace: &WorkspaceId) -> Result<Vec<Variant>, Error> {
    const FIELD: &str = "broadcast.variants";
    if variants.is_empty() || variants.len() > MOST_VARIANTS {
        return Err(Error::invalid(FIELD, "there must be 1 to 10"));
    }
    let mut known: Vec<Variant> = Vec::new();
    for variant in variants {
        let arm: ArmId = parsed("broadcast.variants.arm", &variant.arm)?;
        let template_version: cursus_ids::TemplateVersionName =
            parsed("broadcast.variants.template_version", &variant.template_version)?;
        same_workspace(FIELD, &template_version.template.workspace, workspace)?;
        if known.iter().any(|other| other.arm == arm) {
            return Err(Error::invalid(FIELD, format!("the arm `{arm}` is there twice")));
        }
        known.push(Variant { arm, template_version });
    }
    Ok(known)
}

fn same_workspace(
    field: &'static str,
    of: &WorkspaceId,
    workspace: &WorkspaceId,
) -> Result<(), Error> {
    if of == workspace {
        return Ok(());
    }
    Err(Error::invalid(field, "it belongs to another workspace than the parent"))
}

/// The arm of a release, which must be one of the broadcast's, and the approval, if it names one.
pub(super) fn release(
    request: &proto::ReleaseBroadcastRequest,
    broadcast: &Broadcast,
) -> Result<(ArmId, Option<ApprovalName>), Error> {
    let arm: ArmId = parsed("arm", &request.arm)?;
    if !broadcast.draft.variants.iter().any(|variant| variant.arm == arm) {
        return Err(Error::invalid("arm", "the broadcast has no variant for it"));
    }
    if request.approval.is_empty() {
        return Ok((arm, None));
    }
    let approval: ApprovalName = parsed("approval", &request.approval)?;
    same_workspace("approval", &approval.workspace, &broadcast.draft.name.workspace)?;
    Ok((arm, Some(approval)))
}

pub(super) fn reason(reason: proto::suppression::Reason) -> Result<Reason, Error> {
    match reason {
        proto::suppression::Reason::Unsubscribed => Ok(Reason::Unsubscribed),
        proto::suppression::Reason::HardBounce => Ok(Reason::HardBounce),
        proto::suppression::Reason::Complaint => Ok(Reason::Complaint),
        proto::suppression::Reason::Manual => Ok(Reason::Manual),
        proto::suppression::Reason::Unspecified => {
            Err(Error::invalid("suppression.reason", "say why"))
        }
    }
}

pub(super) fn told_suppression(
    suppression: &Suppression,
    workspace: &WorkspaceId,
) -> proto::Suppression {
    let reason = match suppression.reason {
        Reason::Unsubscribed => proto::suppression::Reason::Unsubscribed,
        Reason::HardBounce => proto::suppression::Reason::HardBounce,
        Reason::Complaint => proto::suppression::Reason::Complaint,
        Reason::Manual => proto::suppression::Reason::Manual,
    };
    proto::Suppression {
        name: format!("{}/suppressions/{}", workspace.name(), suppression.address),
        address: String::new(),
        reason: reason.into(),
        create_time: Some(timestamp(suppression.create_time)),
    }
}

/// Nothing for "in any".
pub(super) fn state(state: proto::message::State) -> Option<message::State> {
    use message::State;
    use proto::message::State as Wire;
    let known = match state {
        Wire::Unspecified => return None,
        Wire::Holdout => State::Holdout,
        Wire::Held => State::Held,
        Wire::Queued => State::Queued,
        Wire::Leased => State::Leased,
        Wire::Committing => State::Committing,
        Wire::Accepted => State::Accepted,
        Wire::Suppressed => State::Suppressed,
        Wire::Failed => State::Failed,
        Wire::Ambiguous => State::Ambiguous,
        Wire::Cancelled => State::Cancelled,
    };
    Some(known)
}

pub(super) fn told_message(message: Message, broadcast: &BroadcastName) -> proto::Message {
    use message::State;
    use proto::message::State as Wire;
    let state = match message.state {
        State::Holdout => Wire::Holdout,
        State::Held => Wire::Held,
        State::Queued => Wire::Queued,
        State::Leased => Wire::Leased,
        State::Committing => Wire::Committing,
        State::Accepted => Wire::Accepted,
        State::Suppressed => Wire::Suppressed,
        State::Failed => Wire::Failed,
        State::Ambiguous => Wire::Ambiguous,
        State::Cancelled => Wire::Cancelled,
    };
    proto::Message {
        name: message.key.name(broadcast).to_string(),
        contact: contact(&broadcast.workspace, message.contact.as_ref()),
        arm: message.arm,
        state: state.into(),
        reason: message.reason,
        last_reply: message.last_reply,
        attempt_count: message.attempt_count,
        update_time: Some(timestamp(message.update_time)),
        released: message.released,
    }
}

impl From<Sender> for proto::Sender {
    fn from(sender: Sender) -> Self {
        Self {
            name: sender.name.to_string(),
            display_name: sender.display_name.as_str().to_owned(),
            address: sender.address.as_str().to_owned(),
            reply_to: sender.reply_to.map(|it| it.as_str().to_owned()).unwrap_or_default(),
            create_time: Some(timestamp(sender.create_time)),
        }
    }
}

/// With its state; the ledger is left to the caller.
pub(super) fn told_broadcast(broadcast: &Broadcast, counts: &Counts) -> proto::Broadcast {
    let state = match broadcast.state(counts) {
        State::Planning => proto::broadcast::State::Planning,
        State::Sending => proto::broadcast::State::Sending,
        State::Paused => proto::broadcast::State::Paused,
        State::Holding => proto::broadcast::State::Holding,
        State::Complete => proto::broadcast::State::Complete,
        State::Cancelled => proto::broadcast::State::Cancelled,
    };
    let Draft { name, snapshot, sender, experiment, variants, approval, approval_digest } =
        &broadcast.draft;
    let variants = variants.iter().map(|variant| proto::Variant {
        arm: variant.arm.to_string(),
        template_version: variant.template_version.to_string(),
    });
    proto::Broadcast {
        name: name.to_string(),
        snapshot: snapshot.to_string(),
        sender: SenderName::new(name.workspace.clone(), sender.clone()).to_string(),
        experiment: experiment.to_string(),
        variants: variants.collect(),
        approval: approval.to_string(),
        approval_digest: approval_digest.clone(),
        state: state.into(),
        ledger: None,
        create_time: Some(timestamp(broadcast.create_time)),
        idle_time: broadcast.idle_time.map(timestamp),
        released_arm: broadcast.released_arm.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

pub(super) fn told_ledger(broadcast: &Broadcast, counts: &Counts) -> proto::Ledger {
    let by_reason =
        |state| counts.by_reason(state).map(|(reason, count)| (reason.to_owned(), count)).collect();
    proto::Ledger {
        audience_count: broadcast.audience_count,
        accepted_count: counts.of(message::State::Accepted),
        suppressed_counts: by_reason(message::State::Suppressed),
        failed_counts: by_reason(message::State::Failed),
        ambiguous_count: counts.of(message::State::Ambiguous),
        held_count: counts.of(message::State::Held),
        holdout_count: counts.of(message::State::Holdout),
        waiting_count: counts.waiting(),
        cancelled_count: counts.of(message::State::Cancelled),
        unplanned_count: broadcast.audience_count - counts.total(),
    }
}

/// The wire form of a fact: what the feed keeps and `WatchOutcomes` gives out.
pub(crate) fn encoded(outcome: &Outcome) -> Vec<u8> {
    use proto::outcome::Kind as Wire;
    let about = &outcome.about;
    let (kind, actor, reason, url) = match &outcome.kind {
        Kind::HeldOut => (Wire::HeldOut, None, "", ""),
        Kind::Accepted => (Wire::Accepted, None, "", ""),
        Kind::Failed { reason } => (Wire::Failed, None, reason.as_str(), ""),
        Kind::Ambiguous => (Wire::Ambiguous, None, "", ""),
        Kind::Opened { actor } => (Wire::Opened, Some(actor), "", ""),
        Kind::Clicked { actor, url, .. } => (Wire::Clicked, Some(actor), "", url.as_str()),
        Kind::Unsubscribed => (Wire::Unsubscribed, None, "", ""),
    };
    let actor = match actor {
        None => proto::Actor::Unspecified,
        Some(Actor::Human) => proto::Actor::Human,
        Some(Actor::Machine) => proto::Actor::Machine,
        Some(Actor::Unknown) => proto::Actor::Unknown,
    };
    proto::Outcome {
        outcome_id: outcome.id(),
        kind: kind.into(),
        outcome_time: Some(timestamp(outcome.time)),
        message: about.key.name(&about.broadcast).to_string(),
        contact: contact(&about.broadcast.workspace, &about.contact_id),
        experiment: about.experiment.clone(),
        arm: about.arm.clone(),
        segments: about.segments.clone(),
        released: about.released,
        actor: actor.into(),
        reason: reason.to_owned(),
        url: url.to_owned(),
        privacy_proxy: about.privacy_proxy,
    }
    .encode_to_vec()
}

fn contact(workspace: &WorkspaceId, id: &str) -> String {
    format!("workspaces/{workspace}/contacts/{id}")
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(999_999_999);
    Timestamp { seconds: time.timestamp(), nanos }
}
