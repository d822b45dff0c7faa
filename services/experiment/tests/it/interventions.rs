//! Steps beside the plan, and that all of them are on record: deciding by hand, ending, extending, and the looks.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::audit_entry::Kind;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;
use tonic::Code::{FailedPrecondition, InvalidArgument};

use crate::world::{DAY, REQUEST_ID, SPRING, World, design, moment, noon, refused};

const GATE: Duration = Duration::from_hours(7);
const SETTLED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn any_arm_may_be_chosen_by_hand_and_is_never_called_significant() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    refused(service.override_decision("a", "x").await, FailedPrecondition, "NOT_CLOSED", "");
    service.visits(noon(), 500, [50, 150]).await;
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    let seen = service.looked(1).await;
    assert_eq!((seen.action(), seen.arm.as_str()), (Action::Promote, "b"));
    for reason in ["", "  \n", "a\0b", &"x".repeat(2_049)] {
        let outcome = service.override_decision("a", reason).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", "reason");
    }
    let outcome = service.override_decision("c", "we like it").await;
    refused(outcome, InvalidArgument, "INVALID_FIELD", "arm");
    let decided = service.override_decision("b", "the shop closes\ntonight").await.unwrap();
    let decision = decided.decision.clone().unwrap();
    assert_eq!(decided.state(), State::Decided);
    // Even where the data say the same, nobody looked at them.
    assert!(decision.manual && !decision.significant);
    assert_eq!((decision.arm.as_str(), decision.actor.as_str()), ("b", "grace"));
    assert_eq!(decision.reason, "the shop closes\ntonight");
    assert_eq!(decision.verdict.unwrap().action(), Action::Promote);
    // Said again it changes nothing, and what may have been sent stays.
    assert_eq!(service.override_decision("b", "again").await.unwrap(), decided);
    let outcome = service.override_decision("a", "the other one").await;
    refused(outcome, FailedPrecondition, "DECIDED", "");
    // Results recommend it as such, and whoever has nothing to send finds nothing to decide.
    let verdict = service.verdict().await;
    assert_eq!(verdict.action(), Action::PromoteNotSignificant);
    assert_eq!((verdict.reason_code.as_str(), verdict.arm.as_str()), ("OVERRIDDEN", "b"));
    assert!(verdict.r#final && verdict.reason_text.contains("the shop closes"));
    assert_eq!(service.decide("b").await.unwrap(), decided);
    assert_eq!(service.decide("").await.unwrap(), decided);
    assert_eq!(service.get().await.unwrap(), decided);
}

#[tokio::test]
async fn a_decision_for_the_arm_that_the_data_show_is_significant_and_another_is_not() {
    for (arm, significant) in [("b", true), ("a", false), ("", false)] {
        let world = World::new().await;
        let service = world.start().await;
        service.started(design()).await;
        service.visits(noon(), 500, [50, 150]).await;
        service.close().await.unwrap();
        world.ambient.advance(GATE);
        service.looked(1).await;
        let decision = service.decide(arm).await.unwrap().decision.unwrap();
        assert_eq!((decision.significant, decision.manual), (significant, false), "{arm}");
        assert_eq!(decision.actor, "orchestrator");
    }
}

#[tokio::test]
async fn that_no_arm_was_chosen_may_be_changed_by_hand() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.close().await.unwrap();
    service.decide("").await.unwrap();
    let decided = service.override_decision("a", "we like it").await.unwrap();
    let decision = decided.decision.unwrap();
    assert!(decision.manual && decision.arm == "a");
}

#[tokio::test]
async fn what_was_stopped_is_looked_at_and_decided_no_more() {
    let world = World::new().await;
    let service = world.start().await;
    let drafted = service.create("spring", design()).await.unwrap();
    refused(service.end("enough").await, FailedPrecondition, "NOT_STARTED", "");
    service.launch(&drafted).await.unwrap();
    service.visits(noon(), 500, [50, 150]).await;
    let ids = ["ana".to_owned(), "ben".to_owned()];
    let assigned = service.assign(&ids).await.unwrap();
    service.close().await.unwrap();
    refused(service.end("").await, InvalidArgument, "INVALID_FIELD", "reason");
    let stopped = service.end("the offer was wrong").await.unwrap();
    assert_eq!(stopped.state(), State::Stopped);
    let stop = stopped.stop.clone().unwrap();
    assert_eq!((stop.reason.as_str(), stop.actor.as_str()), ("the offer was wrong", "ada"));
    assert!(stopped.decision.is_none());
    world.ambient.advance(DAY + SETTLED);
    world.monitored().await;
    assert_eq!(world.looks().await, 0);
    assert_eq!(service.end("again").await.unwrap(), stopped);
    refused(service.decide("b").await, FailedPrecondition, "STOPPED", "");
    assert_eq!(service.decide("").await.unwrap(), stopped, "there is nothing to send");
    refused(service.override_decision("b", "x").await, FailedPrecondition, "STOPPED", "");
    let outcome = service.extend(noon() + TimeDelta::days(3)).await;
    refused(outcome, FailedPrecondition, "STOPPED", "");
    let verdict = service.verdict().await;
    assert_eq!((verdict.action(), verdict.reason_code.as_str()), (Action::Hold, "STOPPED"));
    assert!(verdict.r#final && verdict.reason_text.contains("the offer was wrong"));
    // Who was assigned stays so, and what comes in is still counted.
    assert_eq!(service.assign(&ids).await.unwrap(), assigned);
    assert_eq!(service.counted("b", 0).await.event_unit_count, 150);
}

#[tokio::test]
async fn a_deadline_moves_only_forward_and_only_while_error_is_left() {
    let world = World::new().await;
    let service = world.start().await;
    let later = noon() + TimeDelta::days(3);
    let drafted = service.create("spring", design()).await.unwrap();
    refused(service.extend(later).await, FailedPrecondition, "NOT_STARTED", "");
    service.launch(&drafted).await.unwrap();
    refused(service.extend(later).await, FailedPrecondition, "NOT_CLOSED", "");
    service.visits(noon(), 500, [50, 50]).await;
    service.close().await.unwrap();
    for deadline in [noon() + TimeDelta::days(1), noon(), noon() + TimeDelta::days(367)] {
        let outcome = service.extend(deadline).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", "deadline");
    }
    world.ambient.advance(GATE);
    let before = service.looked(1).await;
    let extended = service.extend(later).await.unwrap();
    assert_eq!(extended.deadline, Some(moment(later)));
    // At what would have been the deadline there is no final look.
    world.ambient.advance(DAY);
    world.monitored().await;
    assert_eq!(service.get().await.unwrap().state(), State::Maturing);
    assert!(service.verdict().await.look_count >= before.look_count);
    world.ambient.advance(DAY * 2 + SETTLED);
    service.reaches(State::Decidable).await;
    assert!(service.verdict().await.r#final);
    let outcome = service.extend(later + TimeDelta::days(1)).await;
    refused(outcome, FailedPrecondition, "ALPHA_SPENT", "");
    service.decide("").await.unwrap();
    let outcome = service.extend(later + TimeDelta::days(1)).await;
    refused(outcome, FailedPrecondition, "DECIDED", "");
}

#[tokio::test]
async fn a_repeated_step_gets_the_first_answer_and_is_on_record_once() {
    let world = World::new().await;
    let (first, second) = (world.start().await, world.start().await);
    first.started(design()).await;
    first.close().await.unwrap();
    let request = proto::OverrideDecisionRequest {
        name: SPRING.to_owned(),
        arm: "a".to_owned(),
        reason: "we like it".to_owned(),
        request_id: REQUEST_ID.to_owned(),
    };
    let decided = first.client("grace").override_decision(request.clone()).await.unwrap();
    world.ambient.advance(DAY);
    let again = second.client("grace").override_decision(request).await.unwrap();
    assert_eq!(again.into_inner(), decided.into_inner());
    let audit = first.audit().await;
    assert_eq!(audit.iter().filter(|it| it.kind() == Kind::Overridden).count(), 1);
}

#[tokio::test]
async fn everything_that_was_done_is_on_record_with_who_and_when_and_never_changed() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 52]).await;
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    service.looked(1).await;
    service.extend(noon() + TimeDelta::days(2)).await.unwrap();
    service.override_decision("a", "we like it").await.unwrap();
    let audit = service.audit().await;
    let told: Vec<_> = audit.iter().map(|it| (it.number, it.kind(), it.actor.as_str())).collect();
    let expected = [
        (1, Kind::Created, "ada"),
        (2, Kind::Started, "orchestrator"),
        (3, Kind::ExposureClosed, "orchestrator"),
        (4, Kind::LookTaken, "monitor"),
        (5, Kind::Extended, "grace"),
        (6, Kind::Overridden, "grace"),
    ];
    assert_eq!(told, expected);
    assert_eq!(audit[2].deadline, Some(moment(noon() + TimeDelta::days(1))));
    assert_eq!((audit[3].look_number, audit[3].action()), (1, Action::Continue));
    assert_eq!(audit[3].reason, "NOT_SIGNIFICANT_YET");
    assert_eq!(audit[4].reason, "a holiday");
    assert_eq!((audit[5].arm.as_str(), audit[5].reason.as_str()), ("a", "we like it"));
    let late = noon() + TimeDelta::from_std(GATE).unwrap();
    assert_eq!(audit[5].entry_time, Some(moment(late)));
    for change in ["update audit set actor = 'nobody'", "delete from audit", "delete from looks"] {
        let outcome = sqlx::query(change).execute(&world.database.pool).await;
        assert!(outcome.unwrap_err().to_string().contains("never changed"), "{change}");
    }
}

#[tokio::test]
async fn looks_and_entries_are_listed_page_by_page() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 150]).await;
    service.close().await.unwrap();
    world.ambient.advance(GATE);
    service.looked(1).await;
    world.ambient.advance(DAY);
    service.reaches(State::Decidable).await;
    let looks = service.listed_looks().await;
    assert_eq!(looks.len(), 2);
    let first = &looks[0];
    let counts: Vec<_> = first
        .counts
        .iter()
        .map(|it| (it.arm.as_str(), it.unit_count, it.event_unit_count))
        .collect();
    assert_eq!(counts, [("a", 500, 50), ("b", 500, 150)]);
    assert!(first.counts[0].statistic > 5.0 && first.counts[1].statistic.abs() <= 0.0);
    let verdict = first.verdict.as_ref().unwrap();
    assert!(verdict.boundary.unwrap() > 1.9 && verdict.action() == Action::Promote);
    assert_eq!(looks[1].verdict, Some(service.verdict().await));

    let page = async |page_size: i32, page_token: String| {
        let request = proto::ListLooksRequest { parent: SPRING.to_owned(), page_size, page_token };
        Ok(service.client("edith").list_looks(request).await?.into_inner())
    };
    let one: proto::ListLooksResponse = page(1, String::new()).await.unwrap();
    assert_eq!(one.looks, looks[..1]);
    let two = page(1, one.next_page_token).await.unwrap();
    assert_eq!((two.looks, two.next_page_token), (looks[1..].to_vec(), String::new()));
    refused(page(-1, String::new()).await, InvalidArgument, "INVALID_FIELD", "page_size");
    refused(page(1, "eHg".to_owned()).await, InvalidArgument, "INVALID_FIELD", "page_token");
    let entries = async |page_size: i32, page_token: String| {
        let parent = SPRING.to_owned();
        let request = proto::ListAuditEntriesRequest { parent, page_size, page_token };
        service.client("edith").list_audit_entries(request).await.unwrap().into_inner()
    };
    let mut numbers = Vec::new();
    let mut token = String::new();
    loop {
        let answer = entries(2, token).await;
        numbers.extend(answer.entries.iter().map(|it| it.number));
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}
