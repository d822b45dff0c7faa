//! What a campaign is, and what may be done with it when.

use chrono::{DateTime, TimeDelta, Utc};
use cursus_ids::{
    ApprovalId, ApprovalName, ArmId, BroadcastName, CampaignName, ExperimentName, SegmentName,
    SenderName, SnapshotName, TemplateVersionName,
};
use serde::{Deserialize, Serialize};

/// How many partitions the background work on campaigns is divided into.
pub(crate) const PARTITIONS: u16 = 8;
/// How much the audience may change after approval when the campaign does not say.
pub(crate) const USUAL_TOLERANCE: f64 = 0.2;
/// How long responses are awaited when the campaign does not say.
pub(crate) const USUAL_MEASUREMENT: TimeDelta = TimeDelta::days(14);

/// The arm of a campaign that compares nothing.
pub(crate) const ONLY_ARM: &str = "only";

/// What each arm reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Variant {
    pub(crate) arm: ArmId,
    pub(crate) template_version: TemplateVersionName,
}

/// What may happen without asking again once the launch is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PromotionPolicy {
    Ask,
    SignificantWinner,
}

/// What a person decides about a campaign; all of it is covered by the approval of its launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) display_name: String,
    pub(crate) include: Vec<SegmentName>,
    pub(crate) exclude: Vec<SegmentName>,
    pub(crate) report_segments: Vec<SegmentName>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) experiment: Option<ExperimentName>,
    pub(crate) sender: SenderName,
    pub(crate) schedule_time: Option<DateTime<Utc>>,
    pub(crate) promotion_policy: PromotionPolicy,
    pub(crate) measurement_seconds: i64,
    pub(crate) audience_tolerance: f64,
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Draft,
    PendingApproval,
    Approved,
    Scheduled,
    Testing,
    AwaitingDecision,
    Promoting,
    Sending,
    Measuring,
    Complete,
    Paused,
    Cancelled,
    Failed,
}

/// A campaign.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Campaign {
    pub(crate) name: CampaignName,
    pub(crate) plan: Plan,
    pub(crate) state: State,
    pub(crate) state_reason: String,
    /// Where it goes on once it is resumed.
    pub(crate) paused_state: Option<State>,
    pub(crate) launch_approval: Option<ApprovalId>,
    pub(crate) promotion_approval: Option<ApprovalId>,
    pub(crate) decided_arm: Option<ArmId>,
    pub(crate) snapshot: Option<SnapshotName>,
    /// Set once the launch is over.
    pub(crate) broadcast: Option<BroadcastName>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
    pub(crate) launch_time: Option<DateTime<Utc>>,
    pub(crate) measurement_end_time: Option<DateTime<Utc>>,
    pub(crate) revision: i64,
}

/// Why something cannot be done with a campaign now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the campaign was launched and cannot be changed: cancel it and create another one")]
    NotChangeable,
    #[error("the campaign is not a draft: approval is asked for, or given, or it was launched")]
    NotDraft,
    #[error("the campaign has no approval: request one, and have another person approve it")]
    ApprovalRequired,
    #[error("the approval is void: {0}; request another one")]
    ApprovalVoid(String),
    #[error(
        "the campaign is approved for {0}, and its time is part of what was approved: wait, or change it and ask again"
    )]
    ScheduledLater(DateTime<Utc>),
    #[error("the campaign was not launched yet")]
    NotLaunched,
    #[error("the campaign is not under way: only what sends, tests or measures can be paused")]
    NotPausable,
    #[error("the campaign is not paused")]
    NotPaused,
    #[error("the campaign has ended")]
    Ended,
    #[error("the campaign awaits no decision")]
    NotAwaitingDecision,
}

impl Plan {
    pub(crate) fn measurement_window(&self) -> TimeDelta {
        TimeDelta::seconds(self.measurement_seconds)
    }

    /// Whether its time has come.
    pub(crate) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.schedule_time.is_none_or(|time| time <= now)
    }

    /// Each segment with how it is used.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (&SegmentName, &'static str)> {
        let include = self.include.iter().map(|segment| (segment, "include"));
        let exclude = self.exclude.iter().map(|segment| (segment, "exclude"));
        let report = self.report_segments.iter().map(|segment| (segment, "report"));
        include.chain(exclude).chain(report)
    }
}

impl Campaign {
    /// The experiment that measures it: its own when it names none.
    pub(crate) fn experiment(&self) -> ExperimentName {
        self.plan.experiment.clone().unwrap_or_else(|| self.own_experiment())
    }

    /// Campaigns and experiments have ids of the same form, and a campaign makes at most one.
    fn own_experiment(&self) -> ExperimentName {
        let id =
            self.name.id.to_string().parse().expect("a campaign's id is an experiment's id, too");
        ExperimentName::new(self.name.workspace.clone(), id)
    }

    /// The broadcast it becomes.
    pub(crate) fn own_broadcast(&self) -> BroadcastName {
        let id =
            self.name.id.to_string().parse().expect("a campaign's id is a broadcast's id, too");
        BroadcastName::new(self.name.workspace.clone(), id)
    }

    pub(crate) fn approval_name(&self, id: &ApprovalId) -> ApprovalName {
        ApprovalName::new(self.name.workspace.clone(), id.clone())
    }

    pub(crate) fn may_change(&self) -> Result<(), Refusal> {
        match self.state {
            State::Draft | State::PendingApproval | State::Approved | State::Scheduled => Ok(()),
            _ => Err(Refusal::NotChangeable),
        }
    }

    pub(crate) fn may_propose_launch(&self) -> Result<(), Refusal> {
        if self.state == State::Draft { Ok(()) } else { Err(Refusal::NotDraft) }
    }

    pub(crate) fn may_propose_promotion(&self) -> Result<(), Refusal> {
        if self.state == State::AwaitingDecision {
            Ok(())
        } else {
            Err(Refusal::NotAwaitingDecision)
        }
    }

    /// What became of the approval is only known to the caller: `void` says why it no longer holds.
    pub(crate) fn may_launch(
        &self,
        now: DateTime<Utc>,
        void: Option<String>,
    ) -> Result<(), Refusal> {
        match self.state {
            State::Draft | State::PendingApproval => {
                Err(void.map_or(Refusal::ApprovalRequired, Refusal::ApprovalVoid))
            }
            State::Approved | State::Scheduled => match self.plan.schedule_time {
                Some(time) if time > now => Err(Refusal::ScheduledLater(time)),
                _ => Ok(()),
            },
            State::Cancelled | State::Failed | State::Complete => Err(Refusal::Ended),
            _ => Ok(()),
        }
    }

    pub(crate) fn may_pause(&self) -> Result<(), Refusal> {
        match self.state {
            State::Scheduled
            | State::Testing
            | State::AwaitingDecision
            | State::Promoting
            | State::Sending
            | State::Measuring
            | State::Paused => Ok(()),
            State::Complete | State::Cancelled | State::Failed => Err(Refusal::Ended),
            State::Draft | State::PendingApproval | State::Approved => Err(Refusal::NotPausable),
        }
    }

    /// Where it goes on.
    pub(crate) fn resumed(&self) -> Result<State, Refusal> {
        self.paused_state.ok_or(match self.state {
            State::Complete | State::Cancelled | State::Failed => Refusal::Ended,
            _ => Refusal::NotPaused,
        })
    }

    pub(crate) fn may_cancel(&self) -> Result<(), Refusal> {
        match self.state {
            State::Complete | State::Failed => Err(Refusal::Ended),
            _ => Ok(()),
        }
    }
}

impl State {
    pub(crate) const ALL: [(State, &'static str); 13] = [
        (State::Draft, "DRAFT"),
        (State::PendingApproval, "PENDING_APPROVAL"),
        (State::Approved, "APPROVED"),
        (State::Scheduled, "SCHEDULED"),
        (State::Testing, "TESTING"),
        (State::AwaitingDecision, "AWAITING_DECISION"),
        (State::Promoting, "PROMOTING"),
        (State::Sending, "SENDING"),
        (State::Measuring, "MEASURING"),
        (State::Complete, "COMPLETE"),
        (State::Paused, "PAUSED"),
        (State::Cancelled, "CANCELLED"),
        (State::Failed, "FAILED"),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, text)| text)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(state, _)| *state)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn campaign(state: State) -> Campaign {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        Campaign {
            name: "workspaces/acme/campaigns/spring".parse().unwrap(),
            plan: Plan {
                display_name: "Spring".to_owned(),
                include: vec!["workspaces/acme/segments/all".parse().unwrap()],
                exclude: Vec::new(),
                report_segments: Vec::new(),
                variants: vec![Variant {
                    arm: "only".parse().unwrap(),
                    template_version: "workspaces/acme/templates/t/versions/1".parse().unwrap(),
                }],
                experiment: None,
                sender: "workspaces/acme/senders/news".parse().unwrap(),
                schedule_time: None,
                promotion_policy: PromotionPolicy::Ask,
                measurement_seconds: 60,
                audience_tolerance: 0.2,
            },
            state,
            state_reason: String::new(),
            paused_state: (state == State::Paused).then_some(State::Sending),
            launch_approval: None,
            promotion_approval: None,
            decided_arm: None,
            snapshot: None,
            broadcast: None,
            create_time: now,
            update_time: now,
            launch_time: None,
            measurement_end_time: None,
            revision: 1,
        }
    }

    #[test]
    fn what_may_be_done_when() {
        use State::{
            Approved, AwaitingDecision, Cancelled, Complete, Draft, Failed, Measuring, Paused,
            PendingApproval, Promoting, Scheduled, Sending, Testing,
        };
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        // change, propose a launch, launch, pause, resume, cancel
        let table = [
            (Draft, "cp---x"),
            (PendingApproval, "c----x"),
            (Approved, "c-l--x"),
            (Scheduled, "c-lp-x"),
            (Testing, "--lp-x"),
            (AwaitingDecision, "--lp-x"),
            (Promoting, "--lp-x"),
            (Sending, "--lp-x"),
            (Measuring, "--lp-x"),
            (Complete, "------"),
            (Paused, "--lprx"),
            (Cancelled, "-----x"),
            (Failed, "------"),
        ];
        for (state, expected) in table {
            let campaign = campaign(state);
            let may = [
                ('c', campaign.may_change().is_ok()),
                ('p', campaign.may_propose_launch().is_ok()),
                ('l', campaign.may_launch(now, None).is_ok()),
                ('p', campaign.may_pause().is_ok()),
                ('r', campaign.resumed().is_ok()),
                ('x', campaign.may_cancel().is_ok()),
            ];
            let found: String =
                may.iter().map(|(letter, may)| if *may { *letter } else { '-' }).collect();
            assert_eq!(found, expected, "{state:?}");
        }
    }

    #[test]
    fn a_campaign_scheduled_for_later_is_not_launched_now() {
        let mut campaign = campaign(State::Scheduled);
        let now = campaign.create_time;
        campaign.plan.schedule_time = Some(now + TimeDelta::hours(1));
        assert_eq!(
            campaign.may_launch(now, None),
            Err(Refusal::ScheduledLater(now + TimeDelta::hours(1)))
        );
        assert_eq!(campaign.may_launch(now + TimeDelta::hours(1), None), Ok(()));
    }

    #[test]
    fn every_state_is_kept_under_its_own_name() {
        for (state, text) in State::ALL {
            assert_eq!((State::parse(text), state.as_str()), (Some(state), text));
        }
    }
}
