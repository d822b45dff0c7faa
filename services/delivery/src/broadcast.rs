//! One mailing to an audience: what it is, where everyone in it is, and what may be done with it when. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_ids::{ApprovalName, ArmId, BroadcastName, ExperimentName, SenderId, SnapshotName};
use cursus_ids::{CampaignName, TemplateVersionName};
use sha2::{Digest, Sha256};

use crate::message;

/// How many parts the planning is divided into.
pub(crate) const PARTITIONS: u16 = 4;

/// What was asked for, well formed and nothing more.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: BroadcastName,
    pub(crate) snapshot: SnapshotName,
    pub(crate) sender: SenderId,
    pub(crate) experiment: ExperimentName,
    pub(crate) variants: Vec<Variant>,
    pub(crate) approval: ApprovalName,
    pub(crate) approval_digest: Vec<u8>,
}

/// One arm's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) arm: ArmId,
    pub(crate) template_version: TemplateVersionName,
}

/// What the peers said about a draft: all that is needed to send it.
#[derive(Clone, Debug)]
pub(crate) struct Particulars {
    pub(crate) campaign: CampaignName,
    pub(crate) may_release: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) audience_count: i64,
    /// Those of each variant, in order.
    pub(crate) links: Vec<Vec<String>>,
}

/// What somebody asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Open,
    Paused,
    Cancelled,
}

/// A broadcast as stored.
#[derive(Clone, Debug)]
pub(crate) struct Broadcast {
    pub(crate) draft: Draft,
    pub(crate) campaign: CampaignName,
    pub(crate) may_release: bool,
    pub(crate) status: Status,
    pub(crate) audience_count: i64,
    pub(crate) plan_time: Option<DateTime<Utc>>,
    pub(crate) released_arm: Option<ArmId>,
    pub(crate) idle_time: Option<DateTime<Utc>>,
    pub(crate) create_time: DateTime<Utc>,
}

/// How many rows of its ledger are in which state, by reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<(&'static str, String), i64>);

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Planning,
    Sending,
    Paused,
    Holding,
    Complete,
    Cancelled,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Paused, Self::Cancelled].into_iter().find(|it| it.as_str() == text)
    }
}

impl Counts {
    pub(crate) fn add(&mut self, state: message::State, reason: &str, count: i64) {
        *self.0.entry((state.as_str(), reason.to_owned())).or_default() += count;
    }

    pub(crate) fn of(&self, state: message::State) -> i64 {
        self.by_reason(state).map(|(_, count)| count).sum()
    }

    /// The reasons that apply to anybody, with how many they apply to.
    pub(crate) fn by_reason(&self, state: message::State) -> impl Iterator<Item = (&str, i64)> {
        self.0
            .iter()
            .filter(move |((of, _), count)| *of == state.as_str() && **count != 0)
            .map(|((_, reason), count)| (reason.as_str(), *count))
    }

    pub(crate) fn waiting(&self) -> i64 {
        message::State::ALL.into_iter().filter(|state| state.is_waiting()).map(|s| self.of(s)).sum()
    }

    pub(crate) fn total(&self) -> i64 {
        self.0.values().sum()
    }
}

impl Broadcast {
    /// Everyone is in the ledger, or never will be.
    pub(crate) fn is_planned(&self) -> bool {
        self.plan_time.is_some()
    }

    pub(crate) fn state(&self, counts: &Counts) -> State {
        let held = counts.of(message::State::Held);
        let is_idle = self.is_planned() && counts.waiting() == 0;
        match self.status {
            Status::Cancelled => State::Cancelled,
            _ if is_idle && held == 0 => State::Complete,
            Status::Paused => State::Paused,
            Status::Open if !self.is_planned() => State::Planning,
            Status::Open if is_idle && self.released_arm.is_none() => State::Holding,
            Status::Open => State::Sending,
        }
    }

    /// Whether all that was allowed so far has been handed over.
    pub(crate) fn is_idle(&self, counts: &Counts) -> bool {
        let releasing = self.released_arm.is_some() && counts.of(message::State::Held) > 0;
        self.status != Status::Cancelled && self.is_planned() && counts.waiting() == 0 && !releasing
    }

    /// Whether nothing of it can change any more.
    pub(crate) fn is_closed(&self, counts: &Counts) -> bool {
        let settled = counts.waiting() == 0 && counts.of(message::State::Held) == 0;
        settled && (self.status == Status::Cancelled || self.is_planned())
    }
}

/// Which part of the planning a broadcast belongs to.
pub(crate) fn partition(name: &BroadcastName) -> i16 {
    i16::from(digest(name)[0]) % PARTITIONS.cast_signed()
}

/// The advisory lock that whoever pauses, cancels or releases a broadcast holds alone, and whoever leases or sends its
/// messages shares: after the former commits, the latter see it.
pub(crate) fn gate(name: &BroadcastName) -> i64 {
    i64::from_be_bytes(std::array::from_fn(|n| digest(name)[n + 8]))
}

fn digest(name: &BroadcastName) -> [u8; 32] {
    Sha256::new().chain_update(b"cursus gate\0").chain_update(name.to_string()).finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn broadcast(status: Status, planned: bool, released: bool) -> Broadcast {
        let draft = Draft {
            name: "workspaces/acme/broadcasts/spring".parse().unwrap(),
            snapshot: "workspaces/acme/snapshots/s".parse().unwrap(),
            sender: "news".parse().unwrap(),
            experiment: "workspaces/acme/experiments/e".parse().unwrap(),
            variants: Vec::new(),
            approval: "workspaces/acme/approvals/a".parse().unwrap(),
            approval_digest: Vec::new(),
        };
        Broadcast {
            draft,
            campaign: "workspaces/acme/campaigns/c".parse().unwrap(),
            may_release: false,
            status,
            audience_count: 10,
            plan_time: planned.then_some(DateTime::UNIX_EPOCH),
            released_arm: released.then(|| "a".parse().unwrap()),
            idle_time: None,
            create_time: DateTime::UNIX_EPOCH,
        }
    }

    fn counts(of: &[(message::State, i64)]) -> Counts {
        let mut counts = Counts::default();
        for (state, count) in of {
            counts.add(*state, "", *count);
        }
        counts
    }

    #[test]
    fn its_state_follows_from_what_was_asked_and_where_everyone_is() {
        use message::State::{Accepted, Committing, Held, Queued};
        for (status, planned, released, rows, expected) in [
            (Status::Open, false, false, counts(&[]), State::Planning),
            (Status::Open, true, false, counts(&[(Queued, 1), (Held, 1)]), State::Sending),
            (Status::Open, true, false, counts(&[(Committing, 1)]), State::Sending),
            (Status::Open, true, false, counts(&[(Accepted, 1), (Held, 1)]), State::Holding),
            (Status::Open, true, true, counts(&[(Accepted, 1), (Held, 1)]), State::Sending),
            (Status::Open, true, false, counts(&[(Accepted, 2)]), State::Complete),
            (Status::Open, true, false, counts(&[]), State::Complete),
            (Status::Paused, false, false, counts(&[]), State::Paused),
            (Status::Paused, true, false, counts(&[(Queued, 1)]), State::Paused),
            (Status::Paused, true, false, counts(&[(Accepted, 1)]), State::Complete),
            (Status::Cancelled, true, false, counts(&[(Accepted, 1)]), State::Cancelled),
        ] {
            assert_eq!(broadcast(status, planned, released).state(&rows), expected, "{rows:?}");
        }
    }

    #[test]
    fn counts_are_kept_by_reason() {
        let mut counts = counts(&[(message::State::Accepted, 2)]);
        counts.add(message::State::Failed, "POLICY", 3);
        counts.add(message::State::Failed, "HARD_BOUNCE", 1);
        counts.add(message::State::Failed, "POLICY", -3);
        assert_eq!(counts.of(message::State::Failed), 1);
        let reasons: Vec<_> = counts.by_reason(message::State::Failed).collect();
        assert_eq!(reasons, [("HARD_BOUNCE", 1)]);
        assert_eq!(counts.total(), 3);
    }

    proptest! {
        #[test]
        fn nothing_is_closed_while_a_row_can_change(rows in prop::collection::vec((0..10_usize, 0..3_i64), 0..8), planned: bool, cancelled: bool, released: bool) {
            let rows: Vec<_> = rows.into_iter().map(|(n, count)| (message::State::ALL[n], count)).collect();
            let open = rows.iter().any(|(state, count)| !state.is_final() && *count > 0);
            let status = if cancelled { Status::Cancelled } else { Status::Open };
            let broadcast = broadcast(status, planned, released);
            let counts = counts(&rows);
            prop_assert!(!(open && broadcast.is_closed(&counts)));
            // What is complete is idle, too: nobody waits for ever for the moment when it was over.
            if broadcast.state(&counts) == State::Complete {
                prop_assert!(broadcast.is_idle(&counts) && broadcast.is_closed(&counts));
            }
        }
    }
}
