//! Between the wire and the domain.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::orchestrator as proto;
use cursus_api::segmentation::Audience;
use cursus_ids::{CampaignName, ParseError, SegmentName, WorkspaceId};
use prost_types::{Duration, Timestamp};

use crate::approval::{self, Action, Approval};
use crate::audit::Entry;
use crate::campaign::{
    Campaign, ONLY_ARM, Plan, PromotionPolicy, State, USUAL_MEASUREMENT, USUAL_TOLERANCE, Variant,
};
use crate::error::Error;

const MOST_SEGMENTS: usize = 32;
const MOST_VARIANTS: usize = 10;
const LONGEST_TEXT: usize = 1_024;
/// A report that is never final would be a mistake.
const LONGEST_MEASUREMENT: TimeDelta = TimeDelta::days(366);
/// What `UpdateCampaign` may change.
const CHANGEABLE: [&str; 10] = [
    "display_name",
    "audience",
    "report_segments",
    "variants",
    "experiment",
    "sender",
    "schedule_time",
    "promotion_policy",
    "measurement_window",
    "audience_tolerance",
];

/// Reads a name or an id, and tells which field it was in if it is malformed.
pub(super) fn parsed<T: FromStr<Err = ParseError>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| Error::invalid(field, error))
}

pub(super) fn parent(text: &str) -> Result<WorkspaceId, Error> {
    cursus_ids::parse_parent(text).map_err(|error| Error::invalid("parent", error))
}

pub(super) fn etag(text: &str) -> Result<Option<i64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Error::Stale)
}

pub(super) fn reason(text: &str) -> Result<&str, Error> {
    if text.len() > LONGEST_TEXT {
        return Err(Error::invalid("reason", format!("it has more than {LONGEST_TEXT} bytes")));
    }
    Ok(text)
}

/// The name and the plan of a new campaign.
pub(super) fn draft(request: &proto::CreateCampaignRequest) -> Result<(CampaignName, Plan), Error> {
    let workspace = parent(&request.parent)?;
    let campaign = request.campaign.clone().unwrap_or_default();
    let plan = plan(&workspace, &campaign)?;
    Ok((CampaignName::new(workspace, parsed("campaign_id", &request.campaign_id)?), plan))
}

/// A plan with some fields taken from a request.
pub(super) fn changed(
    workspace: &WorkspaceId,
    present: &Plan,
    new: &proto::Campaign,
    paths: &[String],
) -> Result<Plan, Error> {
    if paths.is_empty() {
        return Err(Error::invalid("update_mask", "name the fields to change"));
    }
    let mut merged: proto::Campaign = encoded(present.clone());
    for path in paths {
        let new = new.clone();
        match path.as_str() {
            "display_name" => merged.display_name = new.display_name,
            "audience" => merged.audience = new.audience,
            "report_segments" => merged.report_segments = new.report_segments,
            "variants" => merged.variants = new.variants,
            "experiment" => merged.experiment = new.experiment,
            "sender" => merged.sender = new.sender,
            "schedule_time" => merged.schedule_time = new.schedule_time,
            "promotion_policy" => merged.promotion_policy = new.promotion_policy,
            "measurement_window" => merged.measurement_window = new.measurement_window,
            "audience_tolerance" => merged.audience_tolerance = new.audience_tolerance,
            other => {
                let why =
                    format!("`{other}` cannot be changed; these can: {}", CHANGEABLE.join(", "));
                return Err(Error::invalid("update_mask", why));
            }
        }
    }
    plan(workspace, &merged)
}

fn plan(workspace: &WorkspaceId, campaign: &proto::Campaign) -> Result<Plan, Error> {
    if campaign.display_name.len() > LONGEST_TEXT {
        let why = format!("it has more than {LONGEST_TEXT} bytes");
        return Err(Error::invalid("campaign.display_name", why));
    }
    let audience = campaign.audience.clone().unwrap_or_default();
    let include = segments(workspace, "campaign.audience.include", &audience.include)?;
    if include.is_empty() {
        return Err(Error::invalid("campaign.audience.include", "name at least one segment"));
    }
    let experiment = match campaign.experiment.as_str() {
        "" => None,
        text => Some(parsed::<cursus_ids::ExperimentName>("campaign.experiment", text)?),
    };
    if let Some(experiment) = &experiment {
        inside(workspace, "campaign.experiment", &experiment.workspace)?;
    }
    let sender: cursus_ids::SenderName = parsed("campaign.sender", &campaign.sender)?;
    inside(workspace, "campaign.sender", &sender.workspace)?;
    Ok(Plan {
        display_name: campaign.display_name.clone(),
        include,
        exclude: segments(workspace, "campaign.audience.exclude", &audience.exclude)?,
        report_segments: segments(
            workspace,
            "campaign.report_segments",
            &campaign.report_segments,
        )?,
        variants: variants(workspace, &campaign.variants, experiment.is_some())?,
        experiment,
        sender,
        schedule_time: campaign.schedule_time.map(moment).transpose()?,
        promotion_policy: match campaign.promotion_policy() {
            proto::PromotionPolicy::SignificantWinner => PromotionPolicy::SignificantWinner,
            proto::PromotionPolicy::Ask | proto::PromotionPolicy::Unspecified => {
                PromotionPolicy::Ask
            }
        },
        measurement_seconds: measurement(campaign.measurement_window)?,
        audience_tolerance: tolerance(campaign.audience_tolerance)?,
    })
}

fn segments(
    workspace: &WorkspaceId,
    field: &str,
    texts: &[String],
) -> Result<Vec<SegmentName>, Error> {
    if texts.len() > MOST_SEGMENTS {
        return Err(Error::invalid(field, format!("it names more than {MOST_SEGMENTS} segments")));
    }
    let mut segments: Vec<SegmentName> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let segment: SegmentName = parsed(&field, text)?;
        inside(workspace, &field, &segment.workspace)?;
        if segments.contains(&segment) {
            return Err(Error::invalid(field, format!("`{segment}` is named twice")));
        }
        segments.push(segment);
    }
    Ok(segments)
}

fn variants(
    workspace: &WorkspaceId,
    variants: &[proto::CampaignVariant],
    has_experiment: bool,
) -> Result<Vec<Variant>, Error> {
    let field = "campaign.variants";
    if variants.is_empty() || variants.len() > MOST_VARIANTS {
        return Err(Error::invalid(field, format!("there must be 1 to {MOST_VARIANTS}")));
    }
    let mut parsed_variants: Vec<Variant> = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        let arm = parsed(&format!("{field}[{index}].arm"), &variant.arm)?;
        if parsed_variants.iter().any(|other| other.arm == arm) {
            return Err(Error::invalid(
                format!("{field}[{index}].arm"),
                format!("`{arm}` is there twice"),
            ));
        }
        let at = format!("{field}[{index}].template_version");
        let version: cursus_ids::TemplateVersionName = parsed(&at, &variant.template_version)?;
        inside(workspace, &at, &version.template.workspace)?;
        parsed_variants.push(Variant { arm, template_version: version });
    }
    let is_only = matches!(&parsed_variants[..], [only] if only.arm.as_ref() == ONLY_ARM);
    if !has_experiment && !is_only {
        let why =
            format!("without an experiment there is one variant, and its arm is `{ONLY_ARM}`");
        return Err(Error::invalid(field, why));
    }
    Ok(parsed_variants)
}

fn inside(workspace: &WorkspaceId, field: &str, other: &WorkspaceId) -> Result<(), Error> {
    if other == workspace {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("it is in workspace `{other}`, and the campaign in `{workspace}`"),
    ))
}

fn tolerance(tolerance: f64) -> Result<f64, Error> {
    match tolerance {
        0.0 => Ok(USUAL_TOLERANCE),
        share if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(Error::invalid("campaign.audience_tolerance", "it must be above 0 and at most 1")),
    }
}

fn measurement(window: Option<Duration>) -> Result<i64, Error> {
    let longest = LONGEST_MEASUREMENT.num_seconds();
    match window {
        None => Ok(USUAL_MEASUREMENT.num_seconds()),
        Some(window) if (1..=longest).contains(&window.seconds) => Ok(window.seconds),
        Some(_) => {
            let why = "it must be from one second to 366 days";
            Err(Error::invalid("campaign.measurement_window", why))
        }
    }
}

fn moment(time: Timestamp) -> Result<DateTime<Utc>, Error> {
    let nanos = u32::try_from(time.nanos).ok();
    // Postgres keeps microseconds.
    let micros = nanos.map(|nanos| nanos / 1_000 * 1_000);
    micros
        .and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos))
        .ok_or_else(|| Error::invalid("campaign.schedule_time", "it is not a moment"))
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default();
    Timestamp { seconds: time.timestamp(), nanos }
}

fn encoded(plan: Plan) -> proto::Campaign {
    let texts = |names: Vec<SegmentName>| names.iter().map(ToString::to_string).collect();
    let variants = plan.variants.into_iter().map(|variant| proto::CampaignVariant {
        arm: variant.arm.to_string(),
        template_version: variant.template_version.to_string(),
    });
    proto::Campaign {
        display_name: plan.display_name,
        audience: Some(Audience { include: texts(plan.include), exclude: texts(plan.exclude) }),
        report_segments: texts(plan.report_segments),
        variants: variants.collect(),
        experiment: plan.experiment.map(Into::into).unwrap_or_default(),
        sender: plan.sender.into(),
        schedule_time: plan.schedule_time.map(timestamp),
        promotion_policy: match plan.promotion_policy {
            PromotionPolicy::Ask => proto::PromotionPolicy::Ask,
            PromotionPolicy::SignificantWinner => proto::PromotionPolicy::SignificantWinner,
        }
        .into(),
        measurement_window: Some(Duration { seconds: plan.measurement_seconds, nanos: 0 }),
        audience_tolerance: plan.audience_tolerance,
        ..proto::Campaign::default()
    }
}

impl From<Campaign> for proto::Campaign {
    fn from(campaign: Campaign) -> Self {
        let approval = |id: &Option<_>| {
            id.as_ref().map(|id| campaign.approval_name(id).to_string()).unwrap_or_default()
        };
        Self {
            name: campaign.name.to_string(),
            state: campaign_state(campaign.state).into(),
            launch_approval: approval(&campaign.launch_approval),
            promotion_approval: approval(&campaign.promotion_approval),
            state_reason: campaign.state_reason,
            snapshot: campaign.snapshot.map(Into::into).unwrap_or_default(),
            broadcast: campaign.broadcast.map(Into::into).unwrap_or_default(),
            create_time: Some(timestamp(campaign.create_time)),
            update_time: Some(timestamp(campaign.update_time)),
            launch_time: campaign.launch_time.map(timestamp),
            measurement_end_time: campaign.measurement_end_time.map(timestamp),
            etag: campaign.revision.to_string(),
            ..encoded(campaign.plan)
        }
    }
}

pub(super) fn campaign_state(state: State) -> proto::campaign::State {
    use proto::campaign::State as Wire;
    match state {
        State::Draft => Wire::Draft,
        State::PendingApproval => Wire::PendingApproval,
        State::Approved => Wire::Approved,
        State::Scheduled => Wire::Scheduled,
        State::Testing => Wire::Testing,
        State::AwaitingDecision => Wire::AwaitingDecision,
        State::Promoting => Wire::Promoting,
        State::Sending => Wire::Sending,
        State::Measuring => Wire::Measuring,
        State::Complete => Wire::Complete,
        State::Paused => Wire::Paused,
        State::Cancelled => Wire::Cancelled,
        State::Failed => Wire::Failed,
    }
}

pub(super) fn approval_filter(state: proto::approval::State) -> Option<approval::State> {
    use proto::approval::State as Wire;
    match state {
        Wire::Unspecified => None,
        Wire::Pending => Some(approval::State::Pending),
        Wire::Approved => Some(approval::State::Approved),
        Wire::Rejected => Some(approval::State::Rejected),
        Wire::Void => Some(approval::State::Void),
        Wire::Expired => Some(approval::State::Expired),
    }
}

pub(super) fn without_samples(mut approval: Approval) -> proto::Approval {
    for variant in &mut approval.summary.variants {
        variant.samples.clear();
    }
    approval.into()
}

impl From<Approval> for proto::Approval {
    fn from(approval: Approval) -> Self {
        use proto::approval::State as Wire;
        let state = match approval.state {
            approval::State::Pending => Wire::Pending,
            approval::State::Approved => Wire::Approved,
            approval::State::Rejected => Wire::Rejected,
            approval::State::Void => Wire::Void,
            approval::State::Expired => Wire::Expired,
        };
        let action = match approval.action {
            Action::Launch => proto::approval::Action::Launch,
            Action::Promote(_) => proto::approval::Action::Promote,
        };
        Self {
            name: approval.name.to_string(),
            campaign: approval.campaign.to_string(),
            action: action.into(),
            arm: approval.action.arm().to_owned(),
            digest: approval.digest,
            summary: Some(approval.summary),
            state: state.into(),
            state_reason: approval.state_reason,
            proposer: approval.proposer,
            proposal_reason: approval.proposal_reason,
            decider: approval.decider,
            create_time: Some(timestamp(approval.create_time)),
            decide_time: approval.decide_time.map(timestamp),
            expire_time: Some(timestamp(approval.expire_time)),
        }
    }
}

impl From<Entry> for proto::AuditEntry {
    fn from(entry: Entry) -> Self {
        Self {
            sequence: entry.sequence,
            entry_time: Some(timestamp(entry.time)),
            subject: entry.subject,
            action: entry.action,
            resource: entry.resource,
            detail: entry.detail,
            hash: entry.hash,
        }
    }
}
