//! Experiments that are counted elsewhere: cumulative counts, numbered, in whatever order they come.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};
use tonic::Status;

use crate::world::{
    DAY, Fault, Replica, SPRING, World, design, exposure, moment, noon, outcome, refused,
};

fn counted_elsewhere() -> proto::Design {
    proto::Design { aggregated: true, ..design() }
}

/// What was counted so many minutes after noon.
fn tick(
    sequence: i64,
    minutes: i64,
    units: i64,
    visitors: [i64; 2],
) -> proto::RecordAggregatesRequest {
    let arm = |(arm, visitors): (&str, i64)| proto::ArmAggregate {
        arm: arm.to_owned(),
        unit_count: units,
        metrics: vec![proto::MetricAggregate {
            metric_id: "visits".to_owned(),
            event_unit_count: visitors,
            early_unit_count: visitors / 2,
            machine_unit_count: 3,
            ..proto::MetricAggregate::default()
        }],
    };
    proto::RecordAggregatesRequest {
        experiment: SPRING.to_owned(),
        sequence,
        count_time: Some(moment(noon() + TimeDelta::minutes(minutes))),
        arms: ["a", "b"].into_iter().zip(visitors).map(arm).collect(),
        segments: Vec::new(),
    }
}

async fn tell(
    service: &Replica,
    request: proto::RecordAggregatesRequest,
) -> Result<proto::RecordAggregatesResponse, Status> {
    Ok(service.client("orchestrator").record_aggregates(request).await?.into_inner())
}

#[tokio::test]
async fn the_highest_number_counts_whatever_order_they_come_in() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    for _ in 0..3 {
        let world = World::new().await;
        let service = world.start().await;
        service.started(counted_elsewhere()).await;
        let mut ticks: Vec<_> = (1..=6)
            .map(|number| tick(number, number * 10, 1_000, [10 * number, 12 * number]))
            .collect();
        // Judged anew, there are fewer than before.
        ticks.push(tick(7, 70, 1_000, [55, 60]));
        ticks.shuffle(&mut rng);
        for told in ticks.iter().chain(&ticks[..3]) {
            tell(&service, told.clone()).await.unwrap();
        }
        world.ambient.advance(DAY);
        let visits = service.counted("a", 0).await;
        let counts = (visits.unit_count, visits.event_unit_count, visits.machine_unit_count);
        assert_eq!(counts, (1_000, 55, 3));
        assert_eq!(service.counted("b", 0).await.event_unit_count, 60);
    }
}

#[tokio::test]
async fn the_same_number_is_told_once_and_never_with_other_counts() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(counted_elsewhere()).await;
    let first = tell(&service, tick(4, 10, 100, [10, 12])).await.unwrap();
    assert_eq!((first.recorded, first.latest_sequence), (true, 4));
    let again = tell(&service, tick(4, 10, 100, [10, 12])).await.unwrap();
    assert_eq!((again.recorded, again.latest_sequence), (false, 4));
    let late = tell(&service, tick(2, 5, 100, [5, 6])).await.unwrap();
    assert_eq!((late.recorded, late.latest_sequence), (true, 4));
    let other = tell(&service, tick(4, 10, 100, [10, 13])).await;
    refused(other, AlreadyExists, "SEQUENCE_REUSED", "");
}

#[tokio::test]
async fn segments_that_are_counted_elsewhere_have_results_and_their_differences_are_judged() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(counted_elsewhere()).await;
    let segment = |id: &str, visitors| proto::SegmentAggregate {
        segment: format!("workspaces/acme/segments/{id}"),
        arms: tick(1, 1, 1_000, visitors).arms,
    };
    let mut told = tick(1, 1, 2_000, [250, 300]);
    told.segments = vec![segment("north", [100, 200]), segment("south", [150, 100])];
    tell(&service, told.clone()).await.unwrap();
    assert!(!tell(&service, told.clone()).await.unwrap().recorded);
    world.ambient.advance(DAY);
    let results = service.results().await;
    let counts = |it: &proto::SegmentResult| {
        (it.segment.clone(), it.arms[1].metrics[0].event_unit_count, it.unit_count)
    };
    let found: Vec<_> = results.segments.iter().map(counts).collect();
    let named = |id: &str| format!("workspaces/acme/segments/{id}");
    assert_eq!(found, [(named("north"), 200, 2_000), (named("south"), 100, 2_000)]);
    let difference = &results.segment_differences[0];
    assert!(difference.p < 1e-6 && difference.segments.len() == 2, "{difference:?}");
    // A segment is a part of the whole, and is told once.
    let mut larger = told.clone();
    larger.sequence = 2;
    larger.segments[1].arms[0].unit_count = 2_001;
    refused(tell(&service, larger).await, InvalidArgument, "INVALID_FIELD", "segments[1].arms");
    let mut livelier = told.clone();
    livelier.sequence = 2;
    livelier.segments[1].arms[0].metrics[0].event_unit_count = 251;
    refused(tell(&service, livelier).await, InvalidArgument, "INVALID_FIELD", "segments[1].arms");
    let mut twice = told;
    twice.sequence = 2;
    twice.segments[1].segment = named("north");
    refused(tell(&service, twice).await, InvalidArgument, "INVALID_FIELD", "segments[1].segment");
}

#[tokio::test]
async fn looks_are_taken_of_what_is_counted_elsewhere() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(counted_elsewhere()).await;
    tell(&service, tick(1, 1, 1_000, [100, 300])).await.unwrap();
    service.close().await.unwrap();
    world.ambient.advance(Duration::from_hours(7));
    let verdict = service.looked(1).await;
    assert_eq!((verdict.action(), verdict.arm.as_str()), (Action::Promote, "b"), "{verdict:?}");
    // What was counted after the deadline does not count for the last look.
    tell(&service, tick(2, 25 * 60, 1_000, [400, 300])).await.unwrap();
    world.ambient.advance(DAY);
    service.reaches(State::Decidable).await;
    let verdict = service.verdict().await;
    assert_eq!(
        (verdict.action(), verdict.arm.as_str(), verdict.r#final),
        (Action::Promote, "b", true)
    );
    assert_eq!(service.counted("a", 0).await.event_unit_count, 400);
}

#[tokio::test]
async fn an_experiment_takes_counts_or_facts_and_never_both() {
    let world = World::new().await;
    let service = world.start().await;
    refused(tell(&service, tick(1, 1, 10, [1, 1])).await, NotFound, "NOT_FOUND", "");
    let drafted = service.create("spring", counted_elsewhere()).await.unwrap();
    let outcome_told = tell(&service, tick(1, 1, 10, [1, 1])).await;
    refused(outcome_told, FailedPrecondition, "NOT_STARTED", "");
    service.launch(&drafted).await.unwrap();
    let exposed = service.expose(vec![exposure("ana", "a", noon())]).await;
    refused(exposed, FailedPrecondition, "AGGREGATED", "");
    let recorded = service.record(vec![outcome("o", "ana", "site.visited", noon())]).await;
    refused(recorded, FailedPrecondition, "AGGREGATED", "");

    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    let told = tell(&service, tick(1, 1, 10, [1, 1])).await;
    refused(told, FailedPrecondition, "NOT_AGGREGATED", "");
}

#[tokio::test]
async fn counts_that_make_no_sense_are_refused_by_field() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(counted_elsewhere()).await;
    let faults: [(&str, Fault<proto::RecordAggregatesRequest>); 14] = [
        ("sequence", |it| it.sequence = 0),
        ("count_time", |it| it.count_time = None),
        ("arms[1].arm", |it| it.arms[1].arm = "c".to_owned()),
        ("arms[1].arm", |it| it.arms[1].arm = "a".to_owned()),
        ("arms[0].unit_count", |it| it.arms[0].unit_count = -1),
        ("arms[0].unit_count", |it| it.arms[0].unit_count = i64::MAX),
        ("arms[1].metrics[0].metric_id", |it| metric(it).metric_id = "opens".to_owned()),
        ("arms[1].metrics[1].metric_id", |it| {
            let twice = metric(it).clone();
            it.arms[1].metrics.push(twice);
        }),
        ("arms[1].metrics[0].event_unit_count", |it| metric(it).event_unit_count = 1_001),
        ("arms[1].metrics[0].event_unit_count", |it| metric(it).machine_unit_count = 990),
        ("arms[1].metrics[0].early_unit_count", |it| metric(it).early_unit_count = 13),
        ("arms[1].metrics[0].total", |it| metric(it).total = 1.0),
        ("arms[1].metrics[0].total", |it| {
            metric(it).metric_id = "revenue".to_owned();
            metric(it).total = f64::NAN;
        }),
        ("arms[1].metrics[0].sum_of_squares", |it| {
            metric(it).metric_id = "revenue".to_owned();
            metric(it).total = 120.0;
            metric(it).sum_of_squares = 1_000.0;
        }),
    ];
    for (field, spoil) in faults {
        let mut told = tick(1, 1, 1_000, [10, 12]);
        spoil(&mut told);
        refused(tell(&service, told).await, InvalidArgument, "INVALID_FIELD", field);
    }
    // Twelve orders of ten each.
    let mut told = tick(1, 1, 1_000, [10, 12]);
    *metric(&mut told) = proto::MetricAggregate {
        metric_id: "revenue".to_owned(),
        event_unit_count: 12,
        total: 120.0,
        sum_of_squares: 1_200.0,
        ..proto::MetricAggregate::default()
    };
    tell(&service, told).await.unwrap();
    world.ambient.advance(DAY);
    assert!((service.counted("b", 1).await.total - 120.0).abs() < 1e-9);
}

fn metric(request: &mut proto::RecordAggregatesRequest) -> &mut proto::MetricAggregate {
    &mut request.arms[1].metrics[0]
}
