//! Experiments that share a layer never share a unit, those of a period leave the same units alone, and every place is
//! explained.

use std::collections::BTreeSet;

use cursus_api::experiment as proto;
use cursus_api::experiment::assignment::Group;
use cursus_api::experiment::draw::Question;
use tonic::Code::FailedPrecondition;
use tonic::Status;

use crate::world::{Replica, World, contact, design, refused};

fn layered(share: f64) -> proto::Design {
    proto::Design { layer: "subjects".to_owned(), layer_share: share, ..design() }
}

async fn begin(
    service: &Replica,
    id: &str,
    design: proto::Design,
) -> Result<proto::Experiment, Status> {
    let drafted = service.create(id, design).await?;
    service.launch(&drafted).await
}

async fn assign(service: &Replica, id: &str, explain: bool) -> Vec<proto::Assignment> {
    let request = proto::AssignUnitsRequest {
        experiment: format!("workspaces/acme/experiments/{id}"),
        units: (0..2_000).map(|number| contact(&format!("c{number}"))).collect(),
        explain,
    };
    let answer = service.client("orchestrator").assign_units(request).await.unwrap();
    answer.into_inner().assignments
}

/// Who is in a group.
fn of(assignments: &[proto::Assignment], group: Group) -> BTreeSet<String> {
    let is_of = |it: &&proto::Assignment| it.group() == group;
    assignments.iter().filter(is_of).map(|it| it.unit.clone()).collect()
}

#[tokio::test]
async fn nobody_is_in_two_tests_of_a_layer_and_what_is_over_makes_room() {
    let world = World::new().await;
    let service = world.start().await;
    let spring = begin(&service, "spring", layered(0.5)).await.unwrap();
    assert_eq!(spring.layer_buckets, [proto::BucketRange { first: 0, last: 4_999 }]);
    begin(&service, "summer", layered(0.3)).await.unwrap();
    let (one, two) =
        (assign(&service, "spring", false).await, assign(&service, "summer", false).await);
    let (tested, others) = (of(&one, Group::Test), of(&two, Group::Test));
    assert!(tested.is_disjoint(&others));
    // Five standard errors; and as the hash is what it is, this can never fail by chance.
    assert!(tested.len().abs_diff(1_000) < 112 && others.len().abs_diff(600) < 103);
    assert_eq!(of(&one, Group::Remainder).len(), 2_000 - tested.len());
    let drafted = service.create("autumn", layered(0.3)).await.unwrap();
    refused(service.launch(&drafted).await, FailedPrecondition, "LAYER_FULL", "");
    // Another layer is another world.
    let elsewhere = proto::Design { layer: "times".to_owned(), ..layered(1.0) };
    begin(&service, "elsewhere", elsewhere).await.unwrap();
    service.end("enough").await.unwrap();
    let autumn = service.launch(&drafted).await.unwrap();
    assert_eq!(autumn.layer_buckets, [proto::BucketRange { first: 0, last: 2_999 }]);
    // What was assigned stays so.
    assert_eq!(assign(&service, "spring", false).await, one);
}

#[tokio::test]
async fn of_two_that_start_at_once_one_finds_the_layer_full() {
    let world = World::new().await;
    let (first, second) = (world.start().await, world.start().await);
    let spring = first.create("spring", layered(0.7)).await.unwrap();
    let summer = first.create("summer", layered(0.7)).await.unwrap();
    let (one, two) = tokio::join!(first.launch(&spring), second.launch(&summer));
    let outcomes = [one, two];
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1);
    let refusal = outcomes.into_iter().find(Result::is_err).unwrap();
    refused(refusal, FailedPrecondition, "LAYER_FULL", "");
}

#[tokio::test]
async fn experiments_of_a_period_leave_the_same_units_alone() {
    let world = World::new().await;
    let service = world.start().await;
    let held = |share| proto::Design {
        holdout_share: share,
        holdout_period: "2026-q4".to_owned(),
        ..design()
    };
    begin(&service, "spring", held(0.1)).await.unwrap();
    begin(&service, "summer", held(0.2)).await.unwrap();
    let alone = proto::Design { holdout_share: 0.1, ..design() };
    begin(&service, "apart", alone).await.unwrap();
    let out = async |id| of(&assign(&service, id, false).await, Group::Holdout);
    let (spring, summer, apart) = (out("spring").await, out("summer").await, out("apart").await);
    assert!(spring.is_subset(&summer) && summer.len() > spring.len());
    assert!(spring.intersection(&apart).count() < spring.len() / 2);
}

#[tokio::test]
async fn every_place_is_explained_by_what_was_drawn() {
    let world = World::new().await;
    let service = world.start().await;
    let divided = proto::Design { holdout_share: 0.2, test_share: 0.5, ..layered(0.5) };
    begin(&service, "spring", divided).await.unwrap();
    let plain = assign(&service, "spring", false).await;
    assert!(plain.iter().all(|it| it.explanation.is_none()));
    let mut seen = BTreeSet::new();
    for (explained, plain) in assign(&service, "spring", true).await.into_iter().zip(plain) {
        let explanation = explained.explanation.clone().unwrap();
        let last = explanation.draws.last().unwrap();
        let is_below = last.limit.is_some_and(|limit| last.position < limit);
        let group = match last.question() {
            Question::Holdout => Group::Holdout,
            Question::Arm => Group::Test,
            _ => Group::Remainder,
        };
        assert_eq!((explained.group(), is_below), (group, group == Group::Holdout));
        assert!(!explanation.text.is_empty() && !last.salt.is_empty());
        seen.insert(explanation.text);
        assert_eq!(proto::Assignment { explanation: None, ..explained }, plain);
    }
    assert_eq!(seen.len(), 4, "held out, tested, not tested, not the experiment's: {seen:?}");
}
