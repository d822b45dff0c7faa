//! Who entered and left, when and why: listed, watched, and since when somebody is in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use proto::transition::{Cause, Direction};
use tonic::Code;

use crate::rules::{did, has, is};
use crate::world::{Replica, World, id_of, moment, noon, refused, text, until};

/// One transition, shortly: contact, segment, revision, direction, cause.
type Told = (String, String, i64, Direction, Cause);

fn told(transition: &proto::Transition) -> Told {
    (
        id_of(&transition.contact),
        id_of(&transition.segment),
        transition.revision,
        transition.direction(),
        transition.cause(),
    )
}

fn expected(contact: &str, segment: &str, direction: Direction, cause: Cause) -> Told {
    (contact.to_owned(), segment.to_owned(), 1, direction, cause)
}

impl Replica {
    pub(crate) async fn history(&self, parent: &str) -> Vec<proto::Transition> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let parent = parent.to_owned();
            let request = proto::ListTransitionsRequest { parent, page_size: 0, page_token };
            let page = self.client().list_transitions(request).await.unwrap().into_inner();
            found.extend(page.transitions);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return found;
            }
        }
    }

    /// Waits for so many transitions of a contact, and tells them, the earliest first.
    async fn history_of(&self, contact: &str, count: usize) -> Vec<proto::Transition> {
        until("the history is complete", async || {
            let mut found = self.history(&self.contact_name(contact)).await;
            found.reverse();
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// Follows until so many transitions were told: those, and the cursors of the runs.
    pub(crate) async fn watched(
        &self,
        parent: &str,
        cursor: &str,
        count: usize,
    ) -> Vec<proto::WatchTransitionsResponse> {
        let request =
            proto::WatchTransitionsRequest { parent: parent.to_owned(), cursor: cursor.to_owned() };
        let mut client = self.client_of("delivery");
        let mut stream = client.watch_transitions(request).await.unwrap().into_inner();
        let mut runs: Vec<proto::WatchTransitionsResponse> = Vec::new();
        while runs.iter().map(|run| run.transitions.len()).sum::<usize>() < count {
            runs.push(stream.message().await.unwrap().unwrap());
        }
        runs
    }

    async fn stays(&self, contact: &str) -> Vec<(String, i64, Option<prost_types::Timestamp>)> {
        let request = proto::ListContactSegmentsRequest {
            parent: self.contact_name(contact),
            page_size: 0,
            page_token: String::new(),
        };
        let page = self.client().list_contact_segments(request).await.unwrap().into_inner();
        page.segments
            .into_iter()
            .map(|stay| (id_of(&stay.segment), stay.revision, stay.enter_time))
            .collect()
    }

    pub(crate) async fn update_rule(&self, segment: &str, rule: proto::Rule) {
        let request = proto::UpdateSegmentRequest {
            segment: Some(proto::Segment {
                name: self.segment_name(segment),
                rule: Some(rule),
                ..proto::Segment::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["rule".to_owned()] }),
            request_id: String::new(),
        };
        self.client().update_segment(request).await.unwrap();
        self.ready(segment).await;
    }
}

async fn with_plans(world: &World, plans: &[(&str, &str)]) -> Replica {
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text)]).await;
    let contacts =
        plans.iter().map(|(id, plan)| replica.contact(id, &[("plan", text(plan))])).collect();
    replica.write(contacts).await.unwrap();
    replica
}

#[tokio::test]
async fn a_contact_enters_and_leaves_and_each_time_it_is_said_why() {
    let world = World::new().await;
    let replica = with_plans(&world, &[("ana", "pro"), ("bob", "free")]).await;
    replica.ready_segment("pros", is("plan", text("pro"))).await;
    replica.ready_segment("active", did("login", Some(1), 1)).await;
    replica.record(vec![replica.event("1", "ana", "login", noon())]).await.unwrap();
    replica.history_of("ana", 2).await;
    replica.write(vec![replica.contact("ana", &[("plan", text("free"))])]).await.unwrap();
    replica.history_of("ana", 3).await;
    world.ambient.advance(Duration::from_hours(25));
    let history = replica.history_of("ana", 4).await;
    let said: Vec<Told> = history.iter().map(told).collect();
    let expected = [
        expected("ana", "pros", Direction::Entered, Cause::RuleChanged),
        expected("ana", "active", Direction::Entered, Cause::Event),
        expected("ana", "pros", Direction::Left, Cause::Attribute),
        expected("ana", "active", Direction::Left, Cause::Time),
    ];
    assert_eq!(said, expected);
    assert_eq!(history[3].transition_time, Some(moment(noon() + TimeDelta::hours(24))));
    assert_eq!(history[3].record_time, Some(moment(noon() + TimeDelta::hours(25))));
    assert!(replica.history(&replica.contact_name("bob")).await.is_empty());
}

#[tokio::test]
async fn a_contact_that_is_new_enters_because_it_is_new() {
    let world = World::new().await;
    let replica = with_plans(&world, &[]).await;
    replica.ready_segment("pros", is("plan", text("pro"))).await;
    replica.write(vec![replica.contact("ana", &[("plan", text("pro"))])]).await.unwrap();
    replica.history_of("ana", 1).await;
    replica.write(vec![replica.contact("bob", &[("plan", text("pro"))])]).await.unwrap();
    let history = replica.history_of("bob", 1).await;
    let entered = |id| expected(id, "pros", Direction::Entered, Cause::ContactCreated);
    assert_eq!(told(&history[0]), entered("bob"));
    assert_eq!(told(&replica.history_of("ana", 1).await[0]), entered("ana"));
}

#[tokio::test]
async fn what_happened_while_nobody_worked_is_told_at_the_moments_at_which_it_happened() {
    let world = World::new().await;
    let replica = with_plans(&world, &[("ana", "pro")]).await;
    replica.ready_segment("active", did("login", Some(1), 1)).await;
    // One login now and one that was announced for in three days: in, out, in, out.
    let later = noon() + TimeDelta::days(3);
    replica
        .record(vec![
            replica.event("1", "ana", "login", noon()),
            replica.event("2", "ana", "login", later),
        ])
        .await
        .unwrap();
    replica.history_of("ana", 1).await;
    replica.kill();
    world.ambient.advance(Duration::from_hours(24 * 10));
    let replica = world.start().await;
    let history = replica.history_of("ana", 4).await;
    let moments: Vec<_> = history.iter().map(|it| it.transition_time.unwrap()).collect();
    let day = |days| moment(noon() + TimeDelta::days(days));
    assert_eq!(moments[1..], [day(1), day(3), day(4)]);
    let directions: Vec<_> = history.iter().map(proto::Transition::direction).collect();
    let (entered, left) = (Direction::Entered, Direction::Left);
    assert_eq!(directions, [entered, left, entered, left]);
    assert!(history[1..].iter().all(|it| it.cause() == Cause::Time));
}

#[tokio::test]
async fn a_changed_rule_tells_the_difference_and_deleting_a_segment_that_everybody_leaves() {
    let world = World::new().await;
    let plans = [("ana", "pro"), ("bob", "free"), ("cleo", "pro"), ("dan", "team")];
    let replica = with_plans(&world, &plans).await;
    replica.ready_segment("some", is("plan", text("pro"))).await;
    let segment = replica.segment_name("some");
    assert_eq!(replica.history(&segment).await.len(), 2);
    let everybody = crate::rules::any(vec![is("plan", text("free")), is("plan", text("pro"))]);
    replica.update_rule("some", everybody).await;
    let history = replica.history(&segment).await;
    let latest = ("bob".to_owned(), "some".to_owned(), 2, Direction::Entered, Cause::RuleChanged);
    assert_eq!((history.len(), told(&history[0])), (3, latest));
    replica.update_rule("some", is("plan", text("team"))).await;
    let history = replica.history(&segment).await;
    assert_eq!(history.len(), 7);
    let entered: Vec<_> = history[..4]
        .iter()
        .filter(|it| it.direction() == Direction::Entered)
        .map(|it| id_of(&it.contact))
        .collect();
    assert_eq!(entered, ["dan"]);
    let delete = proto::DeleteSegmentRequest { name: segment.clone(), request_id: String::new() };
    replica.client().delete_segment(delete).await.unwrap();
    let history = replica.history(&segment).await;
    let left = ("dan".to_owned(), "some".to_owned(), 3, Direction::Left, Cause::RuleChanged);
    assert_eq!((history.len(), told(&history[0])), (8, left));
    // It goes on with the next revision.
    replica.ready_segment("some", is("plan", text("team"))).await;
    let history = replica.history(&segment).await;
    assert_eq!((history.len(), history[0].revision), (9, 4));
}

#[tokio::test]
async fn transitions_of_many_are_paged_and_watched_in_runs_without_a_gap() {
    const COUNT: usize = 2_600;
    let world = World::new().await;
    let replica = with_plans(&world, &[]).await;
    let contacts = (0..COUNT).map(|n| replica.contact(&format!("c{n}"), &[])).collect();
    replica.import(contacts).await;
    replica.ready_segment("all", has("email")).await;
    let listed = replica.history(&replica.segment_name("all")).await;
    assert_eq!(distinct(&listed), COUNT);
    assert_eq!(listed.len(), COUNT);
    let one = replica.history_of("c2599", 1).await;
    assert_eq!(one.len(), 1);
    let since = replica.stays("c7").await;
    assert_eq!(since, [("all".to_owned(), 1, one[0].transition_time)]);

    let runs = replica.watched(&world.parent(), "", COUNT).await;
    assert!(runs.iter().all(|run| run.transitions.len() <= 1_000));
    let whole: Vec<proto::Transition> =
        runs.iter().flat_map(|run| run.transitions.clone()).collect();
    assert_eq!((distinct(&whole), whole.len()), (COUNT, COUNT));
    // Whoever goes on from any of the cursors gets exactly the rest.
    let mut seen = 0;
    for run in &runs[..runs.len() - 1] {
        seen += run.transitions.len();
        let rest = replica.watched("workspaces/-", &run.cursor, COUNT - seen).await;
        let rest: Vec<_> = rest.into_iter().flat_map(|run| run.transitions).collect();
        assert_eq!(rest[..], whole[seen..]);
    }
}

fn distinct(transitions: &[proto::Transition]) -> usize {
    transitions.iter().map(|it| &it.contact).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test]
async fn a_contact_is_in_segments_since_it_entered_them() {
    let world = World::new().await;
    let replica = with_plans(&world, &[("ana", "pro"), ("bob", "free")]).await;
    replica.ready_segment("pros", is("plan", text("pro"))).await;
    replica.ready_segment("active", did("login", Some(1), 1)).await;
    replica.ready_segment("all", has("email")).await;
    world.ambient.advance(Duration::from_mins(10));
    let later = world.ambient.now();
    replica.record(vec![replica.event("1", "ana", "login", later)]).await.unwrap();
    replica.history_of("ana", 3).await;
    let at = |time: DateTime<Utc>| Some(moment(time));
    let stays = until("the index follows", async || {
        let stays = replica.stays("ana").await;
        (stays.len() == 3).then_some(stays)
    })
    .await;
    let names: Vec<&str> = stays.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["active", "all", "pros"]);
    let times: Vec<_> = stays.into_iter().map(|(.., time)| time).collect();
    assert_eq!(times, [at(later), at(noon()), at(noon())]);
    assert_eq!(replica.stays("bob").await.len(), 1);
    let request = proto::CheckSegmentsRequest {
        contact: replica.contact_name("ana"),
        segments: ["pros", "all", "active"].map(|id| replica.segment_name(id)).to_vec(),
    };
    let checked = replica.client_of("edith").check_segments(request.clone()).await.unwrap();
    let checked = checked.into_inner();
    assert_eq!((checked.members, checked.revisions), (vec![true; 3], vec![1; 3]));
    let bob = proto::CheckSegmentsRequest { contact: replica.contact_name("bob"), ..request };
    let checked = replica.client().check_segments(bob).await.unwrap().into_inner();
    assert_eq!(checked.members, [false, true, false]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_a_reason() {
    let world = World::new().await;
    let replica = with_plans(&world, &[("ana", "pro")]).await;
    let list = async |parent: &str, page_token: &str| {
        let request = proto::ListTransitionsRequest {
            parent: parent.to_owned(),
            page_size: 0,
            page_token: page_token.to_owned(),
        };
        replica.client().list_transitions(request).await
    };
    refused(list("nobody", "").await, Code::InvalidArgument, "INVALID_FIELD", "parent");
    let none = replica.segment_name("none");
    refused(list(&none, "").await, Code::NotFound, "NO_SUCH_SEGMENT", "");
    let nobody = replica.contact_name("nobody");
    refused(list(&nobody, "").await, Code::NotFound, "NO_SUCH_CONTACT", "");
    let elsewhere = "workspaces/elsewhere/contacts/ana";
    refused(list(elsewhere, "").await, Code::PermissionDenied, "NOT_IN_WORKSPACE", "");
    let ana = replica.contact_name("ana");
    refused(list(&ana, "x").await, Code::InvalidArgument, "INVALID_FIELD", "page_token");

    let watch = |cursor: &str| proto::WatchTransitionsRequest {
        parent: world.parent(),
        cursor: cursor.to_owned(),
    };
    let outcome = replica.client().watch_transitions(watch("")).await.map(|_| ());
    refused(outcome, Code::PermissionDenied, "ROLE_REQUIRED", "");
    let outcome = replica.client_of("delivery").watch_transitions(watch("x+1")).await.map(|_| ());
    refused(outcome, Code::InvalidArgument, "MALFORMED_CURSOR", "");

    let check = proto::CheckSegmentsRequest {
        contact: ana.clone(),
        segments: vec![replica.segment_name("none")],
    };
    let outcome = replica.client().check_segments(check).await;
    refused(outcome, Code::NotFound, "NO_SUCH_SEGMENT", "");
}
