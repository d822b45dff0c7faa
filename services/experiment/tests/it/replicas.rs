//! Several replicas: the work is shared, taken over, and never done twice.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;

use crate::world::{DAY, Replica, World, design, exposure, noon, outcome, until};

/// So many that each partition of the work has some.
const EXPERIMENTS: usize = 12;
const UNITS: usize = 200;
/// Each is one look: later by more than a fiftieth on the clock of spending, with more visits than before.
const STEP: TimeDelta = TimeDelta::minutes(30);

fn name(number: usize) -> String {
    format!("workspaces/acme/experiments/e{number}")
}

async fn launch(service: &Replica, number: usize) {
    let drafted = service.create(&format!("e{number}"), design()).await.unwrap();
    service.launch(&drafted).await.unwrap();
    let unit = |unit: usize| exposure(&format!("c{unit}"), ["a", "b"][unit % 2], noon());
    let request = proto::RecordExposuresRequest {
        experiment: name(number),
        exposures: (0..UNITS).map(unit).collect(),
    };
    service.client("orchestrator").record_exposures(request).await.unwrap();
    let request = proto::CloseExposureRequest { name: name(number), ..Default::default() };
    service.client("orchestrator").close_exposure(request).await.unwrap();
}

/// Time goes on, and ten more visit each.
async fn step(world: &World, service: &Replica, step: usize) {
    let time = world.ambient.now();
    for number in 0..EXPERIMENTS {
        let visit =
            |unit: usize| outcome(&format!("v{unit}"), &format!("c{unit}"), "site.visited", time);
        let request = proto::RecordOutcomesRequest {
            experiment: name(number),
            outcomes: (step * 10..step * 10 + 10).map(visit).collect(),
        };
        service.client("orchestrator").record_outcomes(request).await.unwrap();
    }
    world.ambient.advance(STEP.to_std().unwrap());
    let expected = i64::try_from(EXPERIMENTS * (step + 1)).unwrap();
    until("everybody was looked at", async || {
        let looks = world.looks().await;
        if looks >= expected { Ok(()) } else { Err(looks) }
    })
    .await;
    assert_eq!(world.looks().await, expected);
}

/// How many replicas hold partitions of the looks.
async fn sharing(world: &World, expected: i64) {
    until("the looks are shared", async || {
        let sharing: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'experiment.looks/replica'",
        )
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        if sharing == expected { Ok(()) } else { Err(sharing) }
    })
    .await;
}

#[tokio::test]
async fn a_killed_monitor_is_replaced_and_no_look_is_taken_twice() {
    let world = World::new().await;
    let first = world.start().await;
    for number in 0..EXPERIMENTS {
        launch(&first, number).await;
    }
    step(&world, &first, 0).await;
    let second = world.start().await;
    sharing(&world, 2).await;
    step(&world, &second, 1).await;
    first.kill();
    step(&world, &second, 2).await;
    let third = world.start().await;
    step(&world, &second, 3).await;
    second.stop().await;
    step(&world, &third, 4).await;
    world.ambient.advance(DAY);
    for number in 0..EXPERIMENTS {
        until("decidable", async || {
            let request = proto::GetExperimentRequest { name: name(number) };
            let read = third.client("edith").get_experiment(request).await.unwrap().into_inner();
            if read.state() == State::Decidable { Ok(()) } else { Err(read.state()) }
        })
        .await;
    }
    // The numbers of an experiment's looks are unique; so is their place on the clock of spending.
    let looks: Vec<(i64, i64, i32)> = sqlx::query_as(
        "select count(*), count(distinct spending_time), max(number) from looks
         group by experiment_id",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(looks, vec![(6, 6, 6); EXPERIMENTS]);
}

#[tokio::test]
async fn a_deadline_that_passed_while_nobody_was_there_is_kept_all_the_same() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 100]).await;
    service.close().await.unwrap();
    service.kill();
    world.ambient.advance(DAY * 3);
    let service = world.start().await;
    service.reaches(State::Decidable).await;
    let verdict = service.verdict().await;
    assert_eq!(verdict.reason_code, "SIGNIFICANT_BEST");
    assert_eq!((verdict.look_count, verdict.r#final), (1, true));
}

#[tokio::test]
async fn a_replica_told_to_stop_ends_in_order_while_it_follows_and_looks() {
    let world = World::following().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 100]).await;
    service.close().await.unwrap();
    until("it follows", async || {
        let watched = (world.outcomes.watched(), world.events.watched());
        if watched == (1, 1) { Ok(()) } else { Err(watched) }
    })
    .await;
    world.ambient.advance(Duration::from_hours(7));
    service.looked(1).await;
    service.stop().await;
}
