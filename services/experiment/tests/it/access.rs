//! Who may do what, and that workspaces do not see each other.

use cursus_api::experiment as proto;
use futures::future::BoxFuture;
use tonic::Code::{FailedPrecondition, PermissionDenied};
use tonic::Status;

use crate::world::{
    Client, SPRING, World, contact, create_request, design, exposure, outcome, refused,
};

/// A method, asked in a way that is in order.
type Method = fn(Client) -> BoxFuture<'static, Result<(), Status>>;

fn create(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = create_request("summer", design());
    Box::pin(async move { client.create_experiment(request).await.map(drop) })
}

fn get(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = proto::GetExperimentRequest { name: SPRING.to_owned() };
    Box::pin(async move { client.get_experiment(request).await.map(drop) })
}

fn list(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let parent = "workspaces/acme".to_owned();
    let request = proto::ListExperimentsRequest { parent, ..Default::default() };
    Box::pin(async move { client.list_experiments(request).await.map(drop) })
}

fn import(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let experiment = SPRING.to_owned();
    let parts = [proto::ImportAssignmentsRequest { experiment, assignments: Vec::new() }];
    Box::pin(async move { client.import_assignments(tokio_stream::iter(parts)).await.map(drop) })
}

fn start(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = proto::StartExperimentRequest { name: SPRING.to_owned(), ..Default::default() };
    Box::pin(async move { client.start_experiment(request).await.map(drop) })
}

fn assign(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let (experiment, units) = (SPRING.to_owned(), vec![contact("ana")]);
    let request = proto::AssignUnitsRequest { experiment, units, explain: false };
    Box::pin(async move { client.assign_units(request).await.map(drop) })
}

fn expose(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let exposures = vec![exposure("ana", "a", crate::world::noon())];
    let request = proto::RecordExposuresRequest { experiment: SPRING.to_owned(), exposures };
    Box::pin(async move { client.record_exposures(request).await.map(drop) })
}

fn record(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let outcomes = vec![outcome("o", "ana", "site.visited", crate::world::noon())];
    let request = proto::RecordOutcomesRequest { experiment: SPRING.to_owned(), outcomes };
    Box::pin(async move { client.record_outcomes(request).await.map(drop) })
}

fn close(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = proto::CloseExposureRequest { name: SPRING.to_owned(), ..Default::default() };
    Box::pin(async move { client.close_exposure(request).await.map(drop) })
}

fn results(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = proto::GetResultsRequest { name: SPRING.to_owned() };
    Box::pin(async move { client.get_results(request).await.map(drop) })
}

fn decide(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = proto::DecideExperimentRequest { name: SPRING.to_owned(), ..Default::default() };
    Box::pin(async move { client.decide_experiment(request).await.map(drop) })
}

fn looks(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = proto::ListLooksRequest { parent: SPRING.to_owned(), ..Default::default() };
    Box::pin(async move { client.list_looks(request).await.map(drop) })
}

fn audit(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request =
        proto::ListAuditEntriesRequest { parent: SPRING.to_owned(), ..Default::default() };
    Box::pin(async move { client.list_audit_entries(request).await.map(drop) })
}

fn reclassify(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let experiment = SPRING.to_owned();
    let request = proto::ReclassifyOutcomesRequest { experiment, reclassifications: Vec::new() };
    Box::pin(async move { client.reclassify_outcomes(request).await.map(drop) })
}

fn stop(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let (name, reason) = (SPRING.to_owned(), "enough".to_owned());
    let request = proto::StopExperimentRequest { name, reason, ..Default::default() };
    Box::pin(async move { client.stop_experiment(request).await.map(drop) })
}

fn override_decision(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let (name, reason) = (SPRING.to_owned(), "we like it".to_owned());
    let request = proto::OverrideDecisionRequest { name, reason, ..Default::default() };
    Box::pin(async move { client.override_decision(request).await.map(drop) })
}

fn extend(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let (name, reason) = (SPRING.to_owned(), "a holiday".to_owned());
    let deadline = Some(crate::world::moment(crate::world::noon()));
    let request = proto::ExtendExperimentRequest { name, deadline, reason, ..Default::default() };
    Box::pin(async move { client.extend_experiment(request).await.map(drop) })
}

fn path(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request = proto::GetMonitoringPathRequest { name: SPRING.to_owned() };
    Box::pin(async move { client.get_monitoring_path(request).await.map(drop) })
}

fn curves(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let parent = "workspaces/acme".to_owned();
    let request = proto::ListResponseCurvesRequest { parent, ..Default::default() };
    Box::pin(async move { client.list_response_curves(request).await.map(drop) })
}

fn aggregate(mut client: Client) -> BoxFuture<'static, Result<(), Status>> {
    let request =
        proto::RecordAggregatesRequest { experiment: SPRING.to_owned(), ..Default::default() };
    Box::pin(async move { client.record_aggregates(request).await.map(drop) })
}

const READING: [Method; 7] = [get, list, results, looks, audit, path, curves];
const EDITING: [Method; 3] = [create, import, stop];
const SERVING: [Method; 8] = [start, assign, expose, record, aggregate, reclassify, close, decide];
const APPROVING: [Method; 2] = [override_decision, extend];

#[tokio::test]
async fn readers_read_editors_draft_and_only_services_run_experiments() {
    let world = World::new().await;
    let service = world.start().await;
    service.create("spring", design()).await.unwrap();
    let denied = async |who: &str, methods: &[Method]| {
        for method in methods {
            let outcome = method(service.client(who)).await;
            refused(outcome, PermissionDenied, "ROLE_REQUIRED", "");
        }
    };
    for who in ["edith", "grace", "ada", "barbara", "orchestrator"] {
        for method in READING {
            method(service.client(who)).await.unwrap();
        }
    }
    for who in ["edith", "grace"] {
        denied(who, &EDITING).await;
    }
    for who in ["edith", "grace", "ada", "barbara"] {
        denied(who, &SERVING).await;
    }
    for who in ["edith", "ada", "barbara", "orchestrator"] {
        denied(who, &APPROVING).await;
    }
    // What an approver may do, a draft does not allow.
    for method in APPROVING {
        refused(method(service.client("grace")).await, FailedPrecondition, "NOT_STARTED", "");
    }
    for who in ["ada", "barbara", "orchestrator"] {
        import(service.client(who)).await.unwrap();
    }
    // Whatever a service is refused, it is not for its role.
    for method in SERVING {
        if let Err(status) = method(service.client("orchestrator")).await {
            assert_ne!(status.code(), PermissionDenied, "{status:?}");
        }
    }
}

#[tokio::test]
async fn the_token_of_another_workspace_opens_nothing_and_changes_nothing() {
    let world = World::new().await;
    let service = world.start().await;
    let started = service.started(design()).await;
    for (who, methods) in
        [("mallory", &EDITING[..]), ("mallory", &APPROVING[..]), ("spy", &SERVING[..])]
    {
        for method in READING.iter().chain(methods) {
            let outcome = method(service.client(who)).await;
            refused(outcome, PermissionDenied, "NOT_IN_WORKSPACE", "");
        }
    }
    assert_eq!(service.get().await.unwrap(), started);
    assert_eq!(service.results().await.arms[0].unit_count, 0);
    let facts: i64 = sqlx::query_scalar("select count(*) from evidence")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(facts, 0);
}

#[tokio::test]
async fn whoever_is_unknown_is_told_so_before_anything_else() {
    let world = World::new().await;
    let service = world.start().await;
    for method in READING.iter().chain(&EDITING).chain(&SERVING).chain(&APPROVING) {
        let outcome = method(service.client("nobody")).await;
        refused(outcome, tonic::Code::Unauthenticated, "UNKNOWN_TOKEN", "");
    }
}

#[tokio::test]
async fn the_same_names_in_two_workspaces_do_not_mix() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    // `spy` may do in its workspace what it may not in this one.
    let mut there = service.client("spy");
    let parent = "workspaces/elsewhere".to_owned();
    let request = proto::CreateExperimentRequest { parent, ..create_request("spring", design()) };
    let created = there.create_experiment(request).await.unwrap().into_inner();
    let name = created.name;
    let request = proto::StartExperimentRequest {
        name: name.clone(),
        design_digest: created.design_digest,
        request_id: String::new(),
    };
    there.start_experiment(request).await.unwrap();
    let unit = "workspaces/elsewhere/contacts/ana".to_owned();
    let exposures = vec![proto::Exposure { unit, ..exposure("", "a", crate::world::noon()) }];
    let request = proto::RecordExposuresRequest { experiment: name.clone(), exposures };
    there.record_exposures(request).await.unwrap();
    world.ambient.advance(crate::world::DAY);
    let request = proto::GetResultsRequest { name };
    let results = there.get_results(request).await.unwrap().into_inner();
    assert_eq!(results.arms[0].unit_count, 1);
    assert_eq!(service.results().await.arms[0].unit_count, 0);
}
