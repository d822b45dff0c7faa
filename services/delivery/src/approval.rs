//! Whether an approval allows what is about to be done. Pure: what the orchestrator said comes in, a verdict goes out.

use cursus_ids::{ArmId, CampaignName};

use crate::broadcast::{Broadcast, Draft, Variant};
use crate::sender::Sender;

/// What the orchestrator said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approval {
    pub(crate) is_approved: bool,
    pub(crate) action: Action,
    pub(crate) campaign: CampaignName,
    pub(crate) digest: Vec<u8>,
    pub(crate) variants: Vec<Variant>,
    /// Who it is from, as recipients see it.
    pub(crate) sender: String,
    /// A significant winner may be sent without asking again.
    pub(crate) promotes_winner: bool,
}

/// What an approval allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Launch,
    Promote(ArmId),
}

/// Why it is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this asks for an approval: have one approved with the orchestrator and name it here")]
    Required,
    #[error("the approval does not cover this: its {0} differs")]
    Mismatch(&'static str),
}

impl Approval {
    /// Whether the broadcast is exactly what was approved.
    pub(crate) fn allows_launch(&self, draft: &Draft, sender: &Sender) -> Result<(), Refusal> {
        if !self.is_approved {
            return Err(Refusal::Required);
        }
        let listed = |variant: &Variant| self.variants.contains(variant);
        let checks = [
            ("action", self.action == Action::Launch),
            ("digest", self.digest == draft.approval_digest),
            ("sender", self.sender.trim() == sender.shown()),
            ("variants", draft.variants.iter().all(listed)),
        ];
        first_mismatch(&checks)
    }

    /// Whether the remainder may be given the arm.
    pub(crate) fn allows_release(&self, broadcast: &Broadcast, arm: &ArmId) -> Result<(), Refusal> {
        if !self.is_approved {
            return Err(Refusal::Required);
        }
        let checks = [
            ("action", matches!(self.action, Action::Promote(_))),
            ("campaign", self.campaign == broadcast.campaign),
            ("arm", self.action == Action::Promote(arm.clone())),
        ];
        first_mismatch(&checks)
    }
}

fn first_mismatch(checks: &[(&'static str, bool)]) -> Result<(), Refusal> {
    match checks.iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(Refusal::Mismatch(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::address::Address;

    fn variant(arm: &str, version: u32) -> Variant {
        let version = format!("workspaces/acme/templates/t/versions/{version}");
        Variant { arm: arm.parse().unwrap(), template_version: version.parse().unwrap() }
    }

    fn draft() -> Draft {
        Draft {
            name: "workspaces/acme/broadcasts/spring".parse().unwrap(),
            snapshot: "workspaces/acme/snapshots/s".parse().unwrap(),
            sender: "news".parse().unwrap(),
            experiment: "workspaces/acme/experiments/e".parse().unwrap(),
            variants: vec![variant("a", 1), variant("b", 2)],
            approval: "workspaces/acme/approvals/a".parse().unwrap(),
            approval_digest: vec![7; 32],
        }
    }

    fn sender() -> Sender {
        Sender {
            name: "workspaces/acme/senders/news".parse().unwrap(),
            display_name: cursus_mail::HeaderText::new("Acme").unwrap(),
            address: Address::parse("news@acme.example").unwrap(),
            reply_to: None,
            create_time: DateTime::UNIX_EPOCH,
        }
    }

    fn approval() -> Approval {
        Approval {
            is_approved: true,
            action: Action::Launch,
            campaign: "workspaces/acme/campaigns/c".parse().unwrap(),
            digest: vec![7; 32],
            variants: vec![variant("a", 1), variant("b", 2), variant("c", 3)],
            sender: "Acme <news@acme.example>".to_owned(),
            promotes_winner: false,
        }
    }

    fn check(approval: &Approval, expected: &Result<(), Refusal>) {
        assert_eq!(&approval.allows_launch(&draft(), &sender()), expected, "{approval:?}");
    }

    #[test]
    fn a_launch_is_allowed_when_everything_is_what_was_approved() {
        check(&approval(), &Ok(()));
    }

    #[test]
    fn a_launch_is_refused_when_anything_differs() {
        let arm = "a".parse().unwrap();
        check(&Approval { is_approved: false, ..approval() }, &Err(Refusal::Required));
        for (approval, what) in [
            (Approval { action: Action::Promote(arm), ..approval() }, "action"),
            (Approval { digest: vec![8; 32], ..approval() }, "digest"),
            (Approval { sender: "Evil <evil@example.com>".to_owned(), ..approval() }, "sender"),
            (
                Approval { variants: vec![variant("a", 1), variant("b", 3)], ..approval() },
                "variants",
            ),
        ] {
            check(&approval, &Err(Refusal::Mismatch(what)));
        }
    }
}
