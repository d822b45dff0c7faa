//! A person's permission for exactly one thing, and how it becomes void.

use chrono::{DateTime, Utc};
use cursus_api::orchestrator::ApprovalSummary;
use cursus_ids::{ApprovalName, ArmId, CampaignName};
use sha2::{Digest, Sha256};

/// What an approval allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Launch,
    Promote(ArmId),
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Approved,
    Rejected,
    Void,
    Expired,
}

/// An approval. Its summary is the document that the approver reads, kept as it was; that is why it has the form
/// of the API.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    pub(crate) name: ApprovalName,
    pub(crate) campaign: CampaignName,
    pub(crate) action: Action,
    pub(crate) digest: Vec<u8>,
    pub(crate) summary: ApprovalSummary,
    pub(crate) state: State,
    pub(crate) state_reason: String,
    pub(crate) proposer: String,
    pub(crate) proposal_reason: String,
    pub(crate) decider: String,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) decide_time: Option<DateTime<Utc>>,
    pub(crate) expire_time: DateTime<Utc>,
}

/// Why an approval cannot be decided so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("who asks for an approval cannot give it: another person must")]
    SelfApproval,
    #[error(
        "the digest is not that of the approval: read it again and send the digest of what you read"
    )]
    DigestMismatch,
    #[error("the approval was decided already, or is void")]
    NotPending,
    #[error("the approval expired: request another one")]
    Expired,
}

impl Action {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Launch => "LAUNCH",
            Self::Promote(_) => "PROMOTE",
        }
    }

    pub(crate) fn arm(&self) -> &str {
        match self {
            Self::Launch => "",
            Self::Promote(arm) => arm.as_ref(),
        }
    }
}

impl State {
    pub(crate) const ALL: [(State, &'static str); 5] = [
        (State::Pending, "PENDING"),
        (State::Approved, "APPROVED"),
        (State::Rejected, "REJECTED"),
        (State::Void, "VOID"),
        (State::Expired, "EXPIRED"),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, text)| text)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(state, _)| *state)
    }
}

impl Approval {
    /// Whether somebody who read what has this digest may allow it now.
    pub(crate) fn may_approve(
        &self,
        decider: &str,
        digest: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        if decider == self.proposer {
            return Err(Refusal::SelfApproval);
        }
        if self.state != State::Pending {
            return Err(Refusal::NotPending);
        }
        if self.is_late(now) {
            return Err(Refusal::Expired);
        }
        if digest != self.digest {
            return Err(Refusal::DigestMismatch);
        }
        Ok(())
    }

    pub(crate) fn is_late(&self, now: DateTime<Utc>) -> bool {
        now >= self.expire_time
    }
}

/// SHA-256 over what is allowed and everything that was shown. `encoded` is the summary without its samples, which
/// follow from the rest.
pub(crate) fn digest(campaign: &CampaignName, action: &Action, encoded: &[u8]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    for part in ["cursus approval 1", &campaign.to_string(), action.as_str(), action.arm()]
        .map(str::as_bytes)
    {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(encoded);
    hasher.finalize().to_vec()
}

/// How the audience may shrink and grow, rounded outward.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "an audience is far smaller than 2^53"
)]
pub(crate) fn band(count: i64, tolerance: f64) -> (i64, i64) {
    let count = count as f64;
    ((count * (1.0 - tolerance)).floor() as i64, (count * (1.0 + tolerance)).ceil() as i64)
}

/// What is no longer as it was when it was approved, in a sentence for people.
pub(crate) fn drift(approved: &ApprovalSummary, present: &ApprovalSummary) -> Option<String> {
    let segments = approved.segments.iter().zip(&present.segments);
    for (then, now) in segments {
        if (&then.segment, then.revision) != (&now.segment, now.revision) {
            return Some(format!(
                "segment `{}` changed from revision {} to {}",
                then.segment, then.revision, now.revision
            ));
        }
    }
    let variants = approved.variants.iter().zip(&present.variants);
    for (then, now) in variants {
        if (&then.template_version, &then.template_digest)
            != (&now.template_version, &now.template_digest)
        {
            return Some(format!("the template of arm `{}` changed", then.arm));
        }
    }
    if approved.design_digest != present.design_digest {
        return Some("the experiment changed".to_owned());
    }
    if approved.sender != present.sender {
        return Some("the sender changed".to_owned());
    }
    if (approved.segments.len(), approved.variants.len())
        != (present.segments.len(), present.variants.len())
    {
        return Some("the campaign changed".to_owned());
    }
    audience_drift(approved, present.audience_count)
}

/// Whether the audience left its band.
pub(crate) fn audience_drift(approved: &ApprovalSummary, count: i64) -> Option<String> {
    let (least, most) = (approved.audience_min_count, approved.audience_max_count);
    (!(least..=most).contains(&count)).then(|| {
        format!("the audience has {count} contacts, and was approved for {least} to {most}")
    })
}

#[cfg(test)]
mod tests {
    use cursus_api::orchestrator::{SegmentSummary, VariantSummary};

    use super::*;

    fn approval() -> Approval {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        Approval {
            name: "workspaces/acme/approvals/a".parse().unwrap(),
            campaign: "workspaces/acme/campaigns/c".parse().unwrap(),
            action: Action::Launch,
            digest: vec![7; 32],
            summary: ApprovalSummary::default(),
            state: State::Pending,
            state_reason: String::new(),
            proposer: "ada".to_owned(),
            proposal_reason: String::new(),
            decider: String::new(),
            create_time: now,
            decide_time: None,
            expire_time: now + chrono::TimeDelta::hours(1),
        }
    }

    #[test]
    fn another_person_in_time_with_the_digest_that_was_read_may_approve() {
        let approval = approval();
        let (now, late) = (approval.create_time, approval.expire_time);
        assert_eq!(approval.may_approve("grace", &[7; 32], now), Ok(()));
        assert_eq!(approval.may_approve("ada", &[7; 32], now), Err(Refusal::SelfApproval));
        assert_eq!(approval.may_approve("grace", &[8; 32], now), Err(Refusal::DigestMismatch));
        assert_eq!(approval.may_approve("grace", &[7; 32], late), Err(Refusal::Expired));
        let decided = Approval { state: State::Rejected, ..approval };
        assert_eq!(decided.may_approve("grace", &[7; 32], now), Err(Refusal::NotPending));
    }

    #[test]
    fn the_band_is_rounded_outward() {
        assert_eq!(band(1_000, 0.2), (800, 1_200));
        assert_eq!(band(7, 0.2), (5, 9));
        assert_eq!(band(0, 0.2), (0, 0));
    }

    #[test]
    fn every_part_of_what_is_allowed_is_in_the_digest() {
        let campaign = |id| format!("workspaces/acme/campaigns/{id}").parse().unwrap();
        let promote = |arm: &str| Action::Promote(arm.parse().unwrap());
        let digests = [
            digest(&campaign("a"), &Action::Launch, b"x"),
            digest(&campaign("b"), &Action::Launch, b"x"),
            digest(&campaign("a"), &Action::Launch, b"y"),
            digest(&campaign("a"), &promote("x"), b"x"),
            digest(&campaign("a"), &promote("y"), b"x"),
        ];
        let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }

    #[test]
    fn drift_names_what_changed() {
        let approved = ApprovalSummary {
            audience_count: 100,
            audience_min_count: 80,
            audience_max_count: 120,
            segments: vec![SegmentSummary {
                segment: "s".to_owned(),
                revision: 1,
                ..SegmentSummary::default()
            }],
            variants: vec![VariantSummary {
                arm: "a".to_owned(),
                template_digest: vec![1],
                ..VariantSummary::default()
            }],
            design_digest: vec![1],
            sender: "news".to_owned(),
            ..ApprovalSummary::default()
        };
        let changed = |change: fn(&mut ApprovalSummary)| {
            let mut present = approved.clone();
            change(&mut present);
            drift(&approved, &present)
        };
        assert_eq!(changed(|_| ()), None);
        assert_eq!(changed(|it| it.audience_count = 120), None);
        assert!(changed(|it| it.audience_count = 121).unwrap().contains("80 to 120"));
        assert!(changed(|it| it.segments[0].revision = 2).unwrap().contains("revision 1 to 2"));
        assert!(changed(|it| it.variants[0].template_digest[0] = 2).unwrap().contains("arm `a`"));
        assert!(changed(|it| it.design_digest[0] = 2).is_some());
        assert!(changed(|it| it.sender.clear()).is_some());
        assert!(changed(|it| it.segments.clear()).is_some());
    }
}
