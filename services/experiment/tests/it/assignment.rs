//! Starting, and who gets which arm from then on.

use cursus_api::experiment as proto;
use cursus_api::experiment::assignment::Group;
use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};

use crate::world::{DAY, REQUEST_ID, SPRING, World, arm, design, refused};

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number}")).collect()
}

#[tokio::test]
async fn shares_and_weights_are_as_designed() {
    let world = World::new().await;
    let service = world.start().await;
    let divided = proto::Design {
        arms: vec![arm("a", 1.0), arm("b", 3.0)],
        holdout_share: 0.2,
        test_share: 0.5,
        ..design()
    };
    service.started(divided).await;
    let mut assigned = Vec::new();
    for part in ids(20_000).chunks(5_000) {
        assigned.extend(service.assign(part).await.unwrap());
    }
    let expected = [
        (Group::Holdout, "", 0.2),
        (Group::Remainder, "", 0.4),
        (Group::Test, "a", 0.1),
        (Group::Test, "b", 0.3),
    ];
    for (group, arm, expected) in expected {
        let count = assigned.iter().filter(|it| it.group() == group && it.arm == arm).count();
        let share = f64::from(u32::try_from(count).unwrap()) / 20_000.0;
        // Five standard errors; and as the hash is what it is, this can never fail by chance.
        assert!((share - expected).abs() < 0.018, "{group:?} {arm}: {share}");
    }
}

#[tokio::test]
async fn a_unit_keeps_its_place_on_every_replica_and_after_a_restart() {
    let world = World::new().await;
    let (first, second) = (world.start().await, world.start().await);
    let halved = proto::Design { holdout_share: 0.3, test_share: 0.5, ..design() };
    first.started(halved).await;
    let assigned = first.assign(&ids(500)).await.unwrap();
    let units: Vec<&str> = assigned.iter().map(|it| it.unit.rsplit('/').next().unwrap()).collect();
    assert_eq!(units, ids(500), "in the order asked for");
    assert_eq!(second.assign(&ids(500)).await.unwrap(), assigned);
    first.stop().await;
    second.kill();
    world.ambient.advance(300 * DAY);
    let third = world.start().await;
    let mut backwards = ids(500);
    backwards.reverse();
    let mut again = third.assign(&backwards).await.unwrap();
    again.reverse();
    assert_eq!(again, assigned);
}

#[tokio::test]
async fn nobody_is_assigned_before_the_start_nor_too_many_at_once() {
    let world = World::new().await;
    let service = world.start().await;
    refused(service.assign(&ids(1)).await, NotFound, "NOT_FOUND", "");
    let drafted = service.create("spring", design()).await.unwrap();
    refused(service.assign(&ids(1)).await, FailedPrecondition, "NOT_STARTED", "");
    service.launch(&drafted).await.unwrap();
    assert_eq!(service.assign(&[]).await.unwrap(), []);
    refused(service.assign(&ids(5_001)).await, InvalidArgument, "INVALID_FIELD", "units");
    let elsewhere = "workspaces/elsewhere/contacts/ana".to_owned();
    for unit in ["ana".to_owned(), String::new(), elsewhere] {
        let experiment = SPRING.to_owned();
        let units = vec!["workspaces/acme/contacts/ben".to_owned(), unit];
        let request = proto::AssignUnitsRequest { experiment, units, explain: false };
        let outcome = service.client("orchestrator").assign_units(request).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", "units[1]");
    }
}

#[tokio::test]
async fn only_the_design_that_was_approved_starts_and_it_starts_once() {
    let world = World::new().await;
    let service = world.start().await;
    let drafted = service.create("spring", design()).await.unwrap();
    let start = async |design_digest: Vec<u8>, request_id: &str| {
        let request = proto::StartExperimentRequest {
            name: SPRING.to_owned(),
            design_digest,
            request_id: request_id.to_owned(),
        };
        let answer = service.client("orchestrator").start_experiment(request).await?;
        Ok(answer.into_inner())
    };
    for digest in [Vec::new(), vec![0; 32]] {
        let outcome = start(digest, REQUEST_ID).await;
        refused::<proto::Experiment>(outcome, FailedPrecondition, "DIGEST_MISMATCH", "");
    }
    assert_eq!(service.get().await.unwrap().state(), proto::experiment::State::Draft);
    let started = start(drafted.design_digest.clone(), REQUEST_ID).await.unwrap();
    assert_eq!(started.state(), proto::experiment::State::Running);
    assert!(started.start_time.is_some());
    world.ambient.advance(DAY);
    assert_eq!(start(drafted.design_digest.clone(), REQUEST_ID).await.unwrap(), started);
    // Without the id it is asked again, and has started all the same.
    assert_eq!(start(drafted.design_digest.clone(), "").await.unwrap(), started);
    refused(start(vec![1; 32], REQUEST_ID).await, AlreadyExists, "REQUEST_ID_REUSED", "");
    refused(start(vec![1; 32], "").await, FailedPrecondition, "DIGEST_MISMATCH", "");
}
