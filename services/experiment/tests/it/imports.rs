//! Importing assignments from elsewhere.

use cursus_api::experiment as proto;
use cursus_api::experiment::assignment::Group;
use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};
use tonic::Status;

use crate::world::{Replica, SPRING, World, contact, design, refused};

fn assignment(id: &str, group: Group, arm: &str) -> proto::Assignment {
    proto::Assignment {
        unit: contact(id),
        group: group.into(),
        arm: arm.to_owned(),
        ..proto::Assignment::default()
    }
}

fn part(assignments: Vec<proto::Assignment>) -> proto::ImportAssignmentsRequest {
    proto::ImportAssignmentsRequest { experiment: SPRING.to_owned(), assignments }
}

async fn import(
    service: &Replica,
    parts: Vec<proto::ImportAssignmentsRequest>,
) -> Result<i64, Status> {
    let parts = tokio_stream::iter(parts);
    let answer = service.client("ada").import_assignments(parts).await?;
    Ok(answer.into_inner().assignment_count)
}

#[tokio::test]
async fn imported_assignments_override_the_hash_and_a_units_last_word_wins() {
    let world = World::new().await;
    let service = world.start().await;
    let drafted = service.create("spring", design()).await.unwrap();
    let parts = vec![
        part(vec![
            assignment("ana", Group::Test, "a"),
            assignment("ben", Group::Holdout, ""),
            assignment("ana", Group::Test, "b"),
        ]),
        part(vec![assignment("ben", Group::Remainder, ""), assignment("cat", Group::Holdout, "")]),
    ];
    assert_eq!(import(&service, parts).await.unwrap(), 3);
    let imported = service.get().await.unwrap();
    assert_eq!(imported.imported_assignment_count, 3);
    assert_ne!(imported.design_digest, drafted.design_digest);
    refused(service.launch(&drafted).await, FailedPrecondition, "DIGEST_MISMATCH", "");
    service.launch(&imported).await.unwrap();

    let ids = ["ana", "ben", "cat", "dan"].map(str::to_owned);
    let assigned = service.assign(&ids).await.unwrap();
    let told: Vec<_> =
        assigned[..3].iter().map(|it| (it.group(), it.arm.as_str(), it.imported)).collect();
    let expected =
        [(Group::Test, "b", true), (Group::Remainder, "", true), (Group::Holdout, "", true)];
    assert_eq!(told, expected);
    assert_eq!((assigned[3].group(), assigned[3].imported), (Group::Test, false));
}

#[tokio::test]
async fn the_digest_depends_on_what_was_imported_and_not_on_its_order() {
    let world = World::new().await;
    let service = world.start().await;
    let digest = async |id: &str, parts: Vec<Vec<proto::Assignment>>| {
        let name = service.create(id, design()).await.unwrap().name;
        let part =
            |assignments| proto::ImportAssignmentsRequest { experiment: name.clone(), assignments };
        import(&service, parts.into_iter().map(part).collect()).await.unwrap();
        let request = proto::GetExperimentRequest { name };
        let read = service.client("edith").get_experiment(request).await.unwrap();
        read.into_inner().design_digest
    };
    let (ana, ben) = (assignment("ana", Group::Test, "a"), assignment("ben", Group::Holdout, ""));
    let first = digest("first", vec![vec![ana.clone(), ben.clone()]]).await;
    let second = digest("second", vec![vec![ben.clone()], vec![ana.clone()]]).await;
    assert_eq!(first, second);
    let other = digest("other", vec![vec![assignment("ana", Group::Test, "b"), ben]]).await;
    assert_ne!(first, other);
}

#[tokio::test]
async fn a_part_with_a_fault_is_refused_whole_and_those_before_it_stay() {
    let world = World::new().await;
    let service = world.start().await;
    service.create("spring", design()).await.unwrap();
    let faults = [
        (assignment("ana", Group::Unspecified, ""), "group"),
        (assignment("ana", Group::Test, "c"), "arm"),
        (assignment("ana", Group::Test, ""), "arm"),
        (assignment("ana", Group::Holdout, "a"), "arm"),
        (assignment("a b", Group::Holdout, ""), "unit"),
        (
            proto::Assignment {
                unit: "workspaces/elsewhere/contacts/ana".to_owned(),
                ..assignment("", Group::Holdout, "")
            },
            "unit",
        ),
    ];
    for (fault, field) in faults {
        let good = assignment("zoe", Group::Holdout, "");
        let parts = vec![part(vec![good.clone()]), part(vec![good, fault])];
        let field = format!("assignments[1].{field}");
        refused(import(&service, parts).await, InvalidArgument, "INVALID_FIELD", &field);
    }
    assert_eq!(service.get().await.unwrap().imported_assignment_count, 1);
    let many = (0..5_001).map(|number| assignment(&format!("c{number}"), Group::Holdout, ""));
    let outcome = import(&service, vec![part(many.collect())]).await;
    refused(outcome, InvalidArgument, "INVALID_FIELD", "assignments");
    // An import that broke off can be approved as it stands.
    let read = service.get().await.unwrap();
    service.launch(&read).await.unwrap();
}

#[tokio::test]
async fn an_import_is_for_one_experiment_that_is_a_draft() {
    let world = World::new().await;
    let service = world.start().await;
    let good = || part(vec![assignment("ana", Group::Holdout, "")]);
    refused(import(&service, Vec::new()).await, InvalidArgument, "INVALID_FIELD", "experiment");
    refused(import(&service, vec![good()]).await, NotFound, "NOT_FOUND", "");
    let drafted = service.create("spring", design()).await.unwrap();
    service.create("summer", design()).await.unwrap();
    let other = "workspaces/acme/experiments/summer".to_owned();
    let mixed = vec![good(), proto::ImportAssignmentsRequest { experiment: other, ..good() }];
    refused(import(&service, mixed).await, InvalidArgument, "INVALID_FIELD", "experiment");
    let read = service.get().await.unwrap();
    assert_ne!(read.design_digest, drafted.design_digest);
    service.launch(&read).await.unwrap();
    refused(import(&service, vec![good()]).await, FailedPrecondition, "NOT_DRAFT", "");
    assert_eq!(service.get().await.unwrap().design_digest, read.design_digest);
}
