//! Where each contact of a page goes in the ledger. Pure.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use chrono::{DateTime, Utc};
use cursus_ids::{ArmId, ContactId};

use crate::address::{Address, AddressHash, AddressHasher};
use crate::broadcast::{Broadcast, Draft};
use crate::message::{Key, State};
use crate::outcome::{About, Kind, Outcome, label_bits, labelled};
use crate::peers::{Assignment, Listing};
use crate::suppression::Reason;

/// A contact of the snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) contact: cursus_ids::ContactName,
    /// Set if there is an address that can be written to.
    pub(crate) hash: Option<AddressHash>,
    key: Key,
    address: Option<Address>,
    has_text: bool,
    labels: i64,
}

/// What is known about the addresses of a page.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) suppressed: HashMap<AddressHash, Reason>,
    /// Already in the ledger, for another contact.
    pub(crate) known: HashSet<AddressHash>,
}

/// A row to add to the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) contact: ContactId,
    pub(crate) place: Place,
    /// Unset if nobody could be written to in the first place.
    pub(crate) hash: Option<AddressHash>,
    pub(crate) labels: i64,
    address: Option<Address>,
}

/// Where a contact goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Suppressed(&'static str),
    Holdout,
    Held,
    Queued(ArmId),
    /// The experiment knows an arm that nothing was approved for.
    NoVariant(ArmId),
}

impl Member {
    pub(crate) fn new(listing: Listing, draft: &Draft, hasher: &AddressHasher) -> Self {
        let address = Address::parse(&listing.email);
        Self {
            key: Key::new(&draft.name, &listing.contact.id),
            hash: address.as_ref().map(|it| hasher.hash(&draft.name.workspace, it)),
            contact: listing.contact,
            address,
            has_text: !listing.email.trim().is_empty(),
            labels: label_bits(&listing.labels),
        }
    }
}

impl Place {
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Suppressed(_) => State::Suppressed,
            Self::Holdout => State::Holdout,
            Self::Held => State::Held,
            Self::Queued(_) => State::Queued,
            Self::NoVariant(_) => State::Failed,
        }
    }

    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Suppressed(reason) => reason,
            Self::NoVariant(_) => "NO_VARIANT",
            _ => "",
        }
    }

    pub(crate) fn arm(&self) -> &str {
        match self {
            Self::Queued(arm) | Self::NoVariant(arm) => arm.as_ref(),
            _ => "",
        }
    }
}

impl Row {
    /// Only for those who may yet be written to.
    pub(crate) fn kept_address(&self) -> Option<&str> {
        let is_kept = !self.place.state().is_final();
        self.address.as_ref().filter(|_| is_kept).map(Address::as_str)
    }
}

/// Places every member. `assignments` are those of the members with an address, in order.
///
/// Whoever may not be written to is suppressed before the groups are looked at, so that the arms and the holdout are made
/// of the same kind of people.
pub(crate) fn plan(
    members: Vec<Member>,
    assignments: Vec<Assignment>,
    known: Known,
    draft: &Draft,
) -> anyhow::Result<Vec<Row>> {
    let Known { suppressed, known: mut taken } = known;
    let mut assignments = assignments.into_iter();
    let mut rows = Vec::with_capacity(members.len());
    for member in members {
        let place = match member.hash {
            None if member.has_text => Place::Suppressed("INVALID_ADDRESS"),
            None => Place::Suppressed("NO_ADDRESS"),
            Some(hash) => {
                let assignment = assignments.next().context("there are too few assignments")?;
                match suppressed.get(&hash) {
                    Some(reason) => Place::Suppressed(reason.as_str()),
                    None if !taken.insert(hash) => Place::Suppressed("DUPLICATE_ADDRESS"),
                    None => assigned(assignment, draft),
                }
            }
        };
        let is_reachable = !matches!(place, Place::Suppressed(_));
        rows.push(Row {
            key: member.key,
            contact: member.contact.id,
            place,
            hash: member.hash.filter(|_| is_reachable),
            labels: member.labels,
            address: member.address,
        });
    }
    Ok(rows)
}

/// What the page makes known: who is held out, and who was failed at once.
pub(crate) fn facts(
    rows: &[Row],
    broadcast: &Broadcast,
    labels: &[String],
    proxied: &HashSet<String>,
    now: DateTime<Utc>,
) -> Vec<Outcome> {
    let kind = |place: &Place| match place {
        Place::Holdout => Some(Kind::HeldOut),
        Place::NoVariant(_) => Some(Kind::Failed { reason: place.reason().to_owned() }),
        _ => None,
    };
    let fact = |row: &Row| {
        let about = About {
            broadcast: broadcast.draft.name.clone(),
            key: row.key,
            contact_id: row.contact.to_string(),
            experiment: broadcast.draft.experiment.to_string(),
            arm: row.place.arm().to_owned(),
            released: false,
            segments: labelled(labels, row.labels),
            privacy_proxy: proxied.contains(row.contact.as_ref()),
        };
        Some(Outcome { kind: kind(&row.place)?, time: now, about })
    };
    rows.iter().filter_map(fact).collect()
}

fn assigned(assignment: Assignment, draft: &Draft) -> Place {
    match assignment {
        Assignment::Holdout => Place::Holdout,
        Assignment::Remainder => Place::Held,
        Assignment::Test(arm) if draft.variants.iter().any(|it| it.arm == arm) => {
            Place::Queued(arm)
        }
        Assignment::Test(arm) => Place::NoVariant(arm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::Variant;

    fn draft() -> Draft {
        let template_version = "workspaces/acme/templates/t/versions/1".parse().unwrap();
        Draft {
            name: "workspaces/acme/broadcasts/spring".parse().unwrap(),
            snapshot: "workspaces/acme/snapshots/s".parse().unwrap(),
            sender: "news".parse().unwrap(),
            experiment: "workspaces/acme/experiments/e".parse().unwrap(),
            variants: vec![Variant { arm: "a".parse().unwrap(), template_version }],
            approval: "workspaces/acme/approvals/a".parse().unwrap(),
            approval_digest: Vec::new(),
        }
    }

    fn member(contact: &str, email: &str) -> Member {
        let contact = format!("workspaces/acme/contacts/{contact}").parse().unwrap();
        let listing = Listing { contact, email: email.to_owned(), labels: vec![1] };
        Member::new(listing, &draft(), &AddressHasher::new(b"secret"))
    }

    fn places(members: Vec<Member>, assignments: Vec<Assignment>, known: Known) -> Vec<Place> {
        let rows = plan(members, assignments, known, &draft()).unwrap();
        rows.into_iter().map(|row| row.place).collect()
    }

    fn arm(arm: &str) -> ArmId {
        arm.parse().unwrap()
    }

    #[test]
    fn everyone_has_a_place_and_assignments_go_to_those_with_an_address() {
        let members = vec![
            member("none", ""),
            member("ada", "ada@example.com"),
            member("bad", "not an address"),
            member("bob", "bob@example.com"),
            member("eve", "eve@example.com"),
            member("joe", "joe@example.com"),
        ];
        let assignments = vec![
            Assignment::Test(arm("a")),
            Assignment::Holdout,
            Assignment::Remainder,
            Assignment::Test(arm("z")),
        ];
        let expected = vec![
            Place::Suppressed("NO_ADDRESS"),
            Place::Queued(arm("a")),
            Place::Suppressed("INVALID_ADDRESS"),
            Place::Holdout,
            Place::Held,
            Place::NoVariant(arm("z")),
        ];
        assert_eq!(places(members, assignments, Known::default()), expected);
    }

    #[test]
    fn one_mailbox_gets_one_message_within_a_page_and_between_pages() {
        let members = vec![
            member("ada", "ada@example.com"),
            member("ada2", "ADA@example.com"),
            member("bob", "bob@example.com"),
        ];
        let known = HashSet::from([members[2].hash.unwrap()]);
        let assignments = vec![Assignment::Remainder; 3];
        let duplicate = Place::Suppressed("DUPLICATE_ADDRESS");
        let expected = vec![Place::Held, duplicate.clone(), duplicate];
        assert_eq!(places(members, assignments, Known { known, ..Known::default() }), expected);
    }

    #[test]
    fn suppression_comes_before_the_holdout() {
        let ada = member("ada", "ada@example.com");
        let suppressed = HashMap::from([(ada.hash.unwrap(), Reason::Complaint)]);
        let places =
            places(vec![ada], vec![Assignment::Holdout], Known { suppressed, ..Known::default() });
        assert_eq!(places, [Place::Suppressed("COMPLAINT")]);
    }

    #[test]
    fn an_address_is_kept_only_for_those_who_may_yet_be_written_to() {
        let members = ["held", "out"].map(|it| member(it, &format!("{it}@example.com"))).to_vec();
        let assignments = vec![Assignment::Remainder, Assignment::Holdout];
        let rows = plan(members, assignments, Known::default(), &draft()).unwrap();
        assert_eq!(rows[0].kept_address(), Some("held@example.com"));
        assert_eq!(rows[1].kept_address(), None);
        assert!(rows[1].hash.is_some(), "a held-out mailbox still counts as in the ledger");
    }

    #[test]
    fn too_few_assignments_are_an_error_and_not_a_guess() {
        let members = vec![member("ada", "ada@example.com")];
        assert!(plan(members, Vec::new(), Known::default(), &draft()).is_err());
    }
}
